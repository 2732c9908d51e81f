//! `countersign token inspect`: what can be said of a token without asking anyone.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::{
    cli::{
        Failure,
        output::{Cell, Printing, Tone, record},
        secret_input::SecretInput,
    },
    domain::secret::{DEFAULT_PREFIX, TokenFormat},
};

/// Tell whether a token is well formed, or what is wrong with it
///
/// Works without a server: it looks at the form and the checksum only, so it cannot tell whether the token was ever issued
/// or still works (`countersign permissions` does). Reads the bare token or an `Authorization` header value (`Bearer …`)
/// and never repeats it.
///
/// Exit codes: 0 well formed, 1 not.
#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// Read the token from this file instead of standard input
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,

    /// A prefix that tokens may have, as the service's token_prefix; may be given more than once
    #[arg(long, value_name = "PREFIX", default_value = DEFAULT_PREFIX)]
    prefix: Vec<String>,

    #[command(flatten)]
    printing: Printing,
}

impl Inspect {
    pub(super) fn run(self) -> Result<(), Failure> {
        let (first, others) = match self.prefix.split_first() {
            Some((first, others)) => (first.as_str(), others),
            None => (DEFAULT_PREFIX, &[][..]),
        };
        let format = TokenFormat::new(first, others).map_err(Failure::Usage)?;
        let token = SecretInput::read(self.secret_file.as_deref())?;
        match format.diagnose(token.expose()) {
            Ok(form) => {
                let value = json!({
                    "well_formed": true,
                    "prefix": form.prefix,
                    "version": form.version,
                    "hint": form.hint,
                });
                self.printing.value(&value, |paint| {
                    let verdict = Cell::new("well formed", Tone::Good);
                    record(
                        [
                            ("token", verdict),
                            ("prefix", form.prefix.into()),
                            ("version", form.version.into()),
                            ("hint", format!("…{}", form.hint).into()),
                        ],
                        paint,
                    )
                })
            }
            Err(malformed) => {
                let value = json!({
                    "well_formed": false,
                    "problem": malformed.as_str(),
                    "message": malformed.to_string(),
                });
                self.printing.value(&value, |paint| {
                    let verdict = Cell::new("malformed", Tone::Bad);
                    let problem = malformed.to_string();
                    record([("token", verdict), ("problem", problem.into())], paint)
                })?;
                Err(Failure::Answered)
            }
        }
    }
}
