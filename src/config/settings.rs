//! The layers laid over each other: file < environment < flags. What results are texts that know where they came from;
//! what they mean is for the loader to say.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use super::{
    callers::CallerTables,
    client,
    fault::{Fault, Faults, Origin},
    file,
    flags::FlagValues,
    issuers::IssuerTables,
    keys::{self, Key, VARIABLE_PREFIX},
};

/// The variable that says where the file is.
const CONFIG_VARIABLE: &str = "COUNTERSIGN_CONFIG";

/// Everything a configuration is made from, read but not understood. It may hold secrets, so nothing prints it.
#[derive(Clone, Default)]
pub(crate) struct Sources {
    /// What was given on the command line.
    pub(super) flags: FlagValues,
    /// The environment. Variables that are not ours are passed over.
    pub(super) env: BTreeMap<String, String>,
    /// The file's path, as faults tell it, and its text.
    pub(super) file: Option<(PathBuf, String)>,
}

impl Sources {
    /// Reads the process's environment, and the file that the flags or the environment name. A file that cannot be read
    /// is told alone: without it, everything it holds would be reported as missing.
    pub(crate) fn gather(flags: FlagValues) -> Result<Self, Faults> {
        let lossy = |text: OsString| text.to_string_lossy().into_owned();
        let env: BTreeMap<String, String> = std::env::vars_os()
            .map(|(name, value)| (lossy(name), lossy(value)))
            .filter(|(name, _)| name.starts_with(VARIABLE_PREFIX))
            .collect();
        let named = match &flags.config {
            Some(path) => Some((path.clone(), Origin::Flag("config".to_owned()))),
            None => env
                .get(CONFIG_VARIABLE)
                .map(|path| (path.clone(), Origin::Variable(CONFIG_VARIABLE.to_owned()))),
        };
        let file = match named {
            None => None,
            Some((path, origin)) => match read_file(Path::new(&path)) {
                Ok(text) => Some((PathBuf::from(path), text)),
                Err(message) => {
                    let key = "config".to_owned();
                    return Err(Faults(vec![Fault {
                        key,
                        origin,
                        message,
                    }]));
                }
            },
        };
        Ok(Self { flags, env, file })
    }
}

#[cfg(test)]
impl Sources {
    /// Only a file, of this text: no flags and an empty environment.
    pub(super) fn of_file(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self {
            file: Some((path.into(), text.into())),
            ..Self::default()
        }
    }

    /// With this variable in the environment besides.
    pub(super) fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }
}

/// The text of a file, or a sentence why there is none.
pub(super) fn read_file(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))
}

/// A value with its key and its origin.
#[derive(Clone)]
pub(super) struct Setting {
    pub(super) key: &'static Key,
    pub(super) text: String,
    pub(super) origin: Origin,
}

/// The values of one source, by the key's name.
pub(super) type Layer = BTreeMap<&'static str, Setting>;

/// The values that won.
#[derive(Default)]
pub(super) struct Settings {
    pub(super) values: Layer,
    pub(super) callers: CallerTables,
    pub(super) issuers: IssuerTables,
    /// The file is not TOML: what is missing may be in it.
    is_incomplete: bool,
    /// Keys given in the file with a value of the wrong kind, which has been told.
    mistyped: Vec<&'static str>,
    pub(super) faults: Vec<Fault>,
}

impl Settings {
    /// Lays the sources over each other.
    pub(super) fn collect(sources: &Sources) -> Self {
        let mut settings = Self::default();
        if let Some((path, text)) = &sources.file {
            let contents = file::read(path, text);
            settings.faults = contents.faults;
            settings.is_incomplete = contents.is_broken;
            settings.mistyped = contents.mistyped;
            settings.callers = contents.callers;
            settings.issuers = contents.issuers;
            settings.overlay(contents.layer);
        }
        let environment = settings.environment(&sources.env);
        settings.overlay(environment);
        let flags = sources.flags.values.iter().filter_map(|(name, text)| {
            let key = keys::find(name)?;
            let setting = Setting {
                key,
                text: text.clone(),
                origin: Origin::Flag(key.flag.clone()),
            };
            Some((key.name, setting))
        });
        settings.overlay(flags.collect());
        settings
    }

    /// Whether a key without a value was left out, as far as can be known.
    pub(super) fn is_missing(&self, name: &str) -> bool {
        !self.is_incomplete && !self.mistyped.contains(&name)
    }

    fn environment(&mut self, env: &BTreeMap<String, String>) -> Layer {
        let mut layer = Layer::new();
        for (name, text) in env {
            let Some(rest) = name.strip_prefix(VARIABLE_PREFIX) else {
                continue;
            };
            let origin = Origin::Variable(name.clone());
            if let Some(key) = keys::all().iter().find(|key| key.variable == *name) {
                let text = text.clone();
                layer.insert(key.name, Setting { key, text, origin });
            } else if name != CONFIG_VARIABLE
                && !client::VARIABLES.contains(&name.as_str())
                && !is_service_link(rest, text)
            {
                let message = match rest {
                    "CALLERS" => "callers can be given in the file only, as `[[callers]]`",
                    "ISSUERS" => "issuers can be given in the file only, as `[[issuers]]`",
                    _ => "there is no such variable",
                };
                self.faults.push(Fault {
                    key: name.clone(),
                    origin,
                    message: message.to_owned(),
                });
            }
        }
        layer
    }

    /// Lays a layer over what is there. A value replaces one given in another way below: a `database_url` the
    /// `database_url_file`, and `tls = "off"` the files of TLS.
    fn overlay(&mut self, layer: Layer) {
        for setting in layer.values() {
            let base = setting.key.base();
            if base != setting.key.name && layer.contains_key(base) {
                self.faults.push(Fault {
                    key: setting.key.name.to_owned(),
                    origin: setting.origin.clone(),
                    message: format!("`{base}` is given too, in the same place: give one of them"),
                });
            }
            self.values.retain(|name, other| {
                other.key.base() != base && !(base == "tls" && name.starts_with("tls."))
            });
        }
        self.values.extend(layer);
    }
}

/// Whether a variable is one that Kubernetes puts into every pod of a namespace with a service whose name begins with
/// `countersign`. Those come uninvited, so they are no faults.
fn is_service_link(rest: &str, value: &str) -> bool {
    let is_word = |word: &str| format!("_{rest}").ends_with(&format!("_{word}"));
    let is_url = ["tcp://", "udp://", "sctp://"]
        .iter()
        .any(|scheme| value.starts_with(scheme));
    let names_a_port = ["_TCP", "_UDP", "_SCTP"].iter().any(|protocol| {
        rest.split_once(protocol).is_some_and(|(before, _)| {
            let (name, number) = before.rsplit_once('_').unwrap_or_default();
            format!("_{name}").ends_with("_PORT") && number.bytes().all(|b| b.is_ascii_digit())
        })
    });
    is_word("SERVICE_HOST")
        || format!("_{rest}_").contains("_SERVICE_PORT_")
        || is_word("PORT") && is_url
        || names_a_port
}
