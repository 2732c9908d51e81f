//! Wrong configurations, one fault each, and how they are told.

const DIGEST_FORM: &str =
    "must be `blake3:` and 64 hexadecimal digits, as printed by `countersign key new`";
/// What `GRANTS` stands for in the tables below.
pub(super) const GRANTS: &str = "`authorize`, `tokens.issue`, `tokens.revoke`, `tokens.read`, `directory.read`, `directory.write`, `events.read`";

/// What stands in the file from line 4 on, and the one fault it leads to: its line, key and message. `D1` stands for the
/// digest of the caller that is there anyway, `D2` for another.
pub(super) const IN_THE_FILE: &[(&str, usize, &str, &str)] = &[
    (
        "stalenes_bound = \"1s\"",
        4,
        "stalenes_bound",
        "there is no such key",
    ),
    ("tls = 1", 4, "tls", "must be a string, in quotes"),
    (
        "\n\ntoken.prefix = \"x\"",
        6,
        "token",
        "there is no such key",
    ),
    (
        "staleness_bound = 1",
        4,
        "staleness_bound",
        "must be a string, in quotes",
    ),
    (
        "staleness_bound = \"1\"",
        4,
        "staleness_bound",
        "must be a whole number and one of `ms s m h d`, such as `250ms` or `90d`, not `1`",
    ),
    (
        "staleness_bound = \"249ms\"",
        4,
        "staleness_bound",
        "must be from 250ms to 30s, not `249ms`",
    ),
    (
        "drain_delay = \"301s\"",
        4,
        "drain_delay",
        "must be from 0s to 5m, not `301s`",
    ),
    (
        "reflection = \"true\"",
        4,
        "reflection",
        "must be `true` or `false`, without quotes",
    ),
    (
        "log = \"inof\"",
        4,
        "log",
        "must be a level (`off`, `error`, `warn`, `info`, `debug`, `trace`) and levels per target, such as `info,countersign=debug`, not `inof`",
    ),
    (
        "decision_log = \"1.5\"",
        4,
        "decision_log",
        "must be `off`, or a number from 0 to 1 with up to nine decimals, such as `0.01`, not `1.5`",
    ),
    (
        "decision_log = 1",
        4,
        "decision_log",
        "must be a string, in quotes",
    ),
    (
        "event_retention = \"6d\"",
        4,
        "event_retention",
        "must be `forever`, or from 7d to 36500d, such as `90d`, not `6d`",
    ),
    (
        "event_retention = \"never\"",
        4,
        "event_retention",
        "must be `forever`, or from 7d to 36500d, such as `90d`, not `never`",
    ),
    (
        "token_prefix = \"Csn\"",
        4,
        "token_prefix",
        "token prefix `Csn` is not of the form [a-z][a-z0-9_]{0,18}[a-z0-9]",
    ),
    (
        "retired_token_prefixes = \"old\"",
        4,
        "retired_token_prefixes",
        "must be an array of strings",
    ),
    (
        "retired_token_prefixes = [\n\"old\",\n\"older,oldest\"]",
        6,
        "retired_token_prefixes",
        "must be one string for each, without commas in them",
    ),
    (
        "tls = \"on\"",
        4,
        "tls",
        "must be `off`, or a table with `cert_file` and `key_file`",
    ),
    (
        "tls = { certfile = \"cert.pem\" }",
        4,
        "tls.certfile",
        "there is no such key",
    ),
    (
        "database_url = \"mysql://host/name\"",
        4,
        "database_url",
        "must be `sqlite://<path>` or `postgres://…`",
    ),
    (
        "database_url = \"sqlite://:memory:\"",
        4,
        "database_url",
        "an in-memory database would forget every token: name a file",
    ),
    (
        "database_direct_url = \"postgres://host/name\"",
        4,
        "database_direct_url",
        "must lead to the same database as `database_url`, so be of the same kind",
    ),
    (
        "peppers_file = \"peppers\"",
        4,
        "peppers_file",
        "`peppers` is given too, in the same place: give one of them",
    ),
    (
        "policy_file = \"nowhere.toml\"",
        4,
        "policy_file",
        "cannot read `nowhere.toml`: No such file or directory (os error 2)",
    ),
    (
        "policy_file = \"greedy.toml\"",
        4,
        "policy_file",
        "`greedy.toml`, line 2: `tokens.issue` is above what any token may do",
    ),
    (
        "[[callers]]\nkey_digests = [\"D2\"]\ngrants = [\"authorize\"]",
        4,
        "callers.name",
        "every caller needs a name",
    ),
    (
        "[[callers]]\nname = \"bookings\"\nkey_digests = [\"D2\"]\ngrants = [\"authorize\"]",
        9,
        "callers.name",
        "there is another caller named `bookings`",
    ),
    (
        "[[callers]]\nname = \"a b\"\nkey_digests = [\"D2\"]\ngrants = [\"authorize\"]",
        5,
        "callers.name",
        "must consist of `A-Z a-z 0-9 . _ : -`",
    ),
    (
        "[[callers]]\nname = \"a\"\ngrants = [\"authorize\"]",
        4,
        "callers.key_digests",
        "every caller needs a digest, as printed by `countersign key new`, or `spiffe_ids`, `service_accounts` or `subjects`",
    ),
    (
        "[[callers]]\nname = \"a\"\nkey_digests = []\ngrants = [\"authorize\"]",
        6,
        "callers.key_digests",
        "must hold at least one digest, as printed by `countersign key new`, where the caller is known by nothing else",
    ),
    (
        "[[callers]]\nname = \"a\"\nkey_digests = [\"csn_key_secret\"]\ngrants = [\"authorize\"]",
        6,
        "callers.key_digests",
        DIGEST_FORM,
    ),
    (
        "[[callers]]\nname = \"a\"\nkey_digests = [\"D1\"]\ngrants = [\"authorize\"]",
        10,
        "callers.key_digests",
        "caller `a` has the same digest",
    ),
    (
        "[[callers]]\nname = \"a\"\nkey_digests = [\"D2\",\n\"D2\"]\ngrants = [\"authorize\"]",
        7,
        "callers.key_digests",
        "the digest is there twice",
    ),
    (
        "[[callers]]\nname = \"a\"\nkey_digests = [\"D2\"]",
        4,
        "callers.grants",
        "every caller needs at least one grant",
    ),
    (
        "[[callers]]\nname = \"a\"\nkey_digests = [\"D2\"]\ngrants = []",
        7,
        "callers.grants",
        "must hold at least one of GRANTS",
    ),
    (
        "[[callers]]\nname = \"a\"\nkey_digests = [\"D2\"]\ngrants = [\"token.issue\"]",
        7,
        "callers.grants",
        "must be among GRANTS, not `token.issue`",
    ),
    (
        "[[callers]]\nname = \"a\"\nkey_digests = [\"D2\"]\ngrants = [\"authorize\"]\nacts_for = \"all\"",
        8,
        "callers.acts_for",
        "must be `\"members\"` or `\"platform\"`",
    ),
    (
        "[[callers]]\nname = \"a\"\nkey_digests = [\"D2\"]\ngrants = [\"authorize\"]\nspiffe_ids = [\"spiffe://a\"]",
        8,
        "callers.spiffe_ids",
        "must be like `spiffe://example.org/ns/shop/sa/bookings`, but `spiffe://a` has no path, so it names no workload",
    ),
    (
        "[[callers]]\nname = \"a\"\nspiffe_ids = [\"spiffe://a/b\"]\ngrants = [\"authorize\"]",
        6,
        "callers.spiffe_ids",
        "needs `tls.client_ca_file`, by which the certificates of callers are verified",
    ),
    (
        "[[callers]]\nname = \"a\"\nspiffe_ids = []\ngrants = [\"authorize\"]",
        6,
        "callers.spiffe_ids",
        "must hold at least one SPIFFE ID where the caller is known by nothing else",
    ),
    (
        "[[callers]]\nname = \"a\"\nspiffe_ids = \"spiffe://a/b\"\ngrants = [\"authorize\"]",
        6,
        "callers.spiffe_ids",
        "must be an array of strings",
    ),
    (
        "[[callers]]\nname = \"a\"\nkey_digests = [\"D2\"]\ngrants = [\"authorize\"]\nservice_accounts = [\"a/b\"]",
        8,
        "callers.service_accounts",
        "needs the cluster among the `[[issuers]]`, with `kubernetes = true`",
    ),
    (
        "[[callers]]\nname = \"a\"\nkey_digests = [\"D2\"]\ngrants = [\"authorize\"]\nrole = \"x\"",
        8,
        "callers.role",
        "there is no such key",
    ),
];

/// Command and flags, a variable and its value, and the one fault they lead to.
pub(super) const OUTSIDE_THE_FILE: &[(&str, (&str, &str), &str)] = &[
    (
        "serve",
        ("COUNTERSIGN_LISTEN_ADDR", "localhost:1"),
        "listen_addr (COUNTERSIGN_LISTEN_ADDR): must be an IP address and a port, such as `127.0.0.1:50051`, not `localhost:1`",
    ),
    (
        "serve --metrics-addr localhost:1",
        ("", ""),
        "metrics_addr (--metrics-addr): must be an IP address and a port, such as `127.0.0.1:50051`, not `localhost:1`",
    ),
    (
        "serve --listen-addr 127.0.0.1:1 --metrics-addr 127.0.0.1:1",
        ("", ""),
        "metrics_addr (--metrics-addr): must differ from `listen_addr`",
    ),
    (
        "serve --listen-addr 10.0.0.1:1",
        ("", ""),
        "tls (not set): listening on `10.0.0.1:1`, which is not loopback, needs `tls.cert_file` and `tls.key_file`, or `tls = \"off\"` to say that the network is trusted",
    ),
    (
        "serve",
        ("COUNTERSIGN_TLS_KEY_FILE", "key.pem"),
        "tls.cert_file (not set): must be given with the other files of TLS",
    ),
    (
        "serve",
        ("COUNTERSIGN_STALENES_BOUND", "1s"),
        "COUNTERSIGN_STALENES_BOUND (COUNTERSIGN_STALENES_BOUND): there is no such variable",
    ),
    (
        "serve",
        ("COUNTERSIGN_CALLERS", "bookings"),
        "COUNTERSIGN_CALLERS (COUNTERSIGN_CALLERS): callers can be given in the file only, as `[[callers]]`",
    ),
    (
        "serve --reflection yes",
        ("", ""),
        "reflection (--reflection): must be `true` or `false`, not `yes`",
    ),
    (
        "serve",
        ("COUNTERSIGN_PEPPERS", "p1:c2VjcmV0"),
        "peppers (COUNTERSIGN_PEPPERS): pepper `p1` is not 32 bytes long",
    ),
    (
        "serve --peppers-file nowhere",
        ("", ""),
        "peppers_file (--peppers-file): cannot read `nowhere`: No such file or directory (os error 2)",
    ),
    (
        "serve --peppers-file empty",
        ("", ""),
        "peppers_file (--peppers-file): there is no pepper",
    ),
    (
        "serve --database-url-file empty",
        ("", ""),
        "database_url_file (--database-url-file): must be `sqlite://<path>` or `postgres://…`",
    ),
    (
        "serve --config nowhere.toml",
        ("", ""),
        "config (--config): cannot read `nowhere.toml`: No such file or directory (os error 2)",
    ),
    (
        "dev --listen-addr 0.0.0.0:1",
        ("COUNTERSIGN_CONFIG", "empty"),
        "listen_addr (--listen-addr): `dev` lets everyone call, so it must listen on loopback, such as `127.0.0.1:1`, not on `0.0.0.0:1`",
    ),
    (
        "dev --database-url postgres://host/name",
        ("COUNTERSIGN_CONFIG", "empty"),
        "peppers (not set): must be given, because the database is no file beside which they could be kept",
    ),
    (
        "dev --config c.toml",
        ("", ""),
        "callers (the file c.toml, line 5): `dev` lets everyone call: give callers to `serve` only",
    ),
    (
        "migrate --database-url postgres:x",
        ("", ""),
        "database_url (--database-url): must be `sqlite://<path>` or `postgres://…`",
    ),
    (
        "policy show --policy-file nowhere",
        ("", ""),
        "policy_file (--policy-file): cannot read `nowhere`: No such file or directory (os error 2)",
    ),
];
