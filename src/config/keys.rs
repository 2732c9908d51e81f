//! The one table of configuration keys. The spelling in the file, the environment variable and the flag are all derived
//! from a key's name here, so they cannot drift apart.

use std::sync::LazyLock;

use super::Mode;

/// What every environment variable of ours begins with.
pub(super) const VARIABLE_PREFIX: &str = "COUNTERSIGN_";

/// How the file writes a value. The environment and flags write all of them as text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    /// `true` or `false`.
    Truth,
    /// A whole number.
    Number,
    /// An array of strings; comma-separated elsewhere.
    List,
}

/// Which commands take a key as a flag.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    /// `serve` and `dev` only.
    Server,
    /// Those and every command that opens the database.
    Database,
    /// Those and every command that reads the policy.
    Policy,
}

/// The value of a key that nobody gave.
#[derive(Clone, Copy)]
enum Fallback {
    None,
    /// None that could be written down, so it is described.
    Described(&'static str),
    Always(&'static str),
    ByMode {
        serve: &'static str,
        dev: &'static str,
    },
}

/// A row of the table.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) form: Form,
    pub(super) group: Group,
    fallback: Fallback,
    /// No message may show its value.
    pub(super) is_secret: bool,
    pub(super) help: &'static str,
}

/// A row with its other two spellings.
pub(super) struct Key {
    entry: Entry,
    /// Without the leading dashes.
    pub(super) flag: String,
    pub(super) variable: String,
}

impl std::ops::Deref for Key {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        &self.entry
    }
}

impl Entry {
    const fn new(name: &'static str, group: Group, fallback: Fallback, help: &'static str) -> Self {
        Self {
            name,
            form: Form::Text,
            group,
            fallback,
            is_secret: false,
            help,
        }
    }

    const fn form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    const fn secret(mut self) -> Self {
        self.is_secret = true;
        self
    }

    /// The default as help texts tell it.
    pub(super) fn default_told(&self, mode: Mode) -> Option<&'static str> {
        match self.fallback {
            Fallback::Described(text) => Some(text),
            _ => self.default(mode).map(|value| match value {
                "" => "none",
                value => value,
            }),
        }
    }

    /// The value when nobody gave one.
    pub(super) fn default(&self, mode: Mode) -> Option<&'static str> {
        match (self.fallback, mode) {
            (Fallback::None | Fallback::Described(_), _) => None,
            (Fallback::Always(value), _) => Some(value),
            (Fallback::ByMode { serve, .. }, Mode::Serve) => Some(serve),
            (Fallback::ByMode { dev, .. }, Mode::Dev) => Some(dev),
        }
    }
}

const TABLE: [Entry; 22] = {
    use Fallback::{Always, ByMode, Described, None};
    use Group::{Database, Policy, Server};
    [
        Entry::new(
            "listen_addr",
            Server,
            ByMode {
                serve: "0.0.0.0:50051",
                dev: "127.0.0.1:50051",
            },
            "IP address and port of the gRPC API; port 0 takes a free one. `dev` accepts loopback only; \
             `serve` anywhere else needs TLS, or `tls = \"off\"`",
        ),
        Entry::new(
            "metrics_addr",
            Server,
            ByMode {
                serve: "0.0.0.0:9464",
                dev: "127.0.0.1:9464",
            },
            "IP address and port of /metrics, /livez and /readyz, always plain HTTP",
        ),
        Entry::new(
            "database_url",
            Database,
            Always("sqlite://countersign.db"),
            "Where the database is: `sqlite://<path>` (created when missing, one server process) or \
             `postgres://user:password@host/name`",
        )
        .secret(),
        Entry::new(
            "database_url_file",
            Database,
            None,
            "A file that holds the database_url, instead of giving it here",
        ),
        Entry::new(
            "database_direct_url",
            Database,
            Described("database_url"),
            "The same database without a transaction pooler between, which migrations need because \
             their lock belongs to a session",
        )
        .secret(),
        Entry::new(
            "database_direct_url_file",
            Database,
            None,
            "A file that holds the database_direct_url",
        ),
        Entry::new(
            "peppers",
            Server,
            None,
            "The keys under which secrets are hashed, as printed by `countersign pepper new`: `id:` and \
             32 bytes in standard base64, comma-separated, the active one first. `serve` requires them; \
             `dev` makes one and keeps it beside the SQLite database",
        )
        .secret(),
        Entry::new(
            "peppers_file",
            Server,
            None,
            "A file that holds the peppers, separated by commas or lines",
        ),
        Entry::new(
            "policy_file",
            Policy,
            Described("the one that `countersign policy show` prints"),
            "The policy: which actions exist and how far each role may do them (TOML)",
        ),
        Entry::new(
            "token_prefix",
            Server,
            Always("csn_pat"),
            "What new tokens begin with: 2 to 20 characters `a-z 0-9 _`, a letter first, no `_` last",
        ),
        Entry::new(
            "retired_token_prefixes",
            Server,
            Always(""),
            "Earlier prefixes that are still accepted, comma-separated",
        )
        .form(Form::List),
        Entry::new(
            "staleness_bound",
            Database,
            Always("1s"),
            "How long after a revocation has returned another replica may still allow, and after which time without \
             news from the database decisions end: 250ms to 30s. `migrate` writes it into the database, for all \
             replicas; one whose own is smaller uses that",
        ),
        Entry::new(
            "view_capacity",
            Server,
            Always("1000000"),
            "How many tokens are remembered, so that decisions on them need no database: 1 to 100000000. Each takes \
             about 0.5 KB",
        )
        .form(Form::Number),
        Entry::new(
            "tls",
            Server,
            None,
            "`off` says that the network between callers and this service is trusted; otherwise it is the table \
             of the files below",
        ),
        Entry::new(
            "tls.cert_file",
            Server,
            None,
            "The server's certificate chain (PEM), its own first. Read again when it changes",
        ),
        Entry::new(
            "tls.key_file",
            Server,
            None,
            "The private key of that certificate (PEM)",
        ),
        Entry::new(
            "tls.client_ca_file",
            Server,
            None,
            "The authorities (PEM) of which callers must show a certificate; without it they need none. `spiffe_ids` of \
             [[callers]] are names in such certificates",
        ),
        Entry::new(
            "reflection",
            Server,
            Always("true"),
            "Whether to serve gRPC reflection, which grpcurl needs: `true` or `false`",
        )
        .form(Form::Truth),
        Entry::new(
            "drain_delay",
            Server,
            ByMode {
                serve: "2s",
                dev: "0s",
            },
            "How long the listeners stay open after readiness has turned NOT_SERVING: 0s to 5m",
        ),
        Entry::new(
            "log",
            Server,
            Always("info"),
            "What is logged to standard error: a level (`off`, `error`, `warn`, `info`, `debug`, \
             `trace`), then levels per target, such as `info,countersign::store=debug`",
        ),
        Entry::new(
            "decision_log",
            Server,
            Always("off"),
            "Which decisions are logged, at level info to the target `countersign::decision`: `off`, or every denial \
             and this share of the allows, from `0` to `1`, such as `0.01`",
        ),
        Entry::new(
            "event_retention",
            Server,
            Always("forever"),
            "How long events are kept: `forever`, or 7d to 36500d. The oldest are dropped first, for good, a few at \
             once; of several servers the shortest counts",
        ),
    ]
};

static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
    let words = |name: &str| name.replace('.', "_");
    TABLE
        .into_iter()
        .map(|entry| Key {
            flag: words(entry.name).replace('_', "-"),
            variable: format!("{VARIABLE_PREFIX}{}", words(entry.name).to_uppercase()),
            entry,
        })
        .collect()
});

/// Every key.
pub(super) fn all() -> &'static [Key] {
    &KEYS
}

/// The key of this name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    all().iter().find(|key| key.name == name)
}

impl Key {
    /// The key that this one is another way to give: `database_url` for `database_url_file`, itself for most.
    pub(super) fn base(&self) -> &'static str {
        let whole = self
            .name
            .strip_suffix("_file")
            .and_then(find)
            .map(|key| key.name);
        whole.unwrap_or(self.name)
    }
}
