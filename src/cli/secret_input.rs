//! Secrets that a person hands to a command: by standard input or a file, never as an argument, because the process list
//! shows those. They are wiped when dropped and never printed.

use std::{
    fs::File,
    io::{IsTerminal, Read, StdinLock},
    path::Path,
};

use zeroize::Zeroizing;

use super::{Failure, complain};

/// More than any secret, and than any header that would carry one.
const LIMIT: usize = 64 * 1024;
/// The same for many of them.
const LIMIT_OF_MANY: usize = 4 * 1024 * 1024;

/// A secret as it was handed over, without outer white space.
pub(super) struct SecretInput(Zeroizing<Vec<u8>>);

impl SecretInput {
    /// From the file, or from standard input where none is named or it is `-`. A person at a terminal is asked for a line.
    pub(super) fn read(file: Option<&Path>) -> Result<Self, Failure> {
        Self::from(file, LIMIT, |stdin| {
            let is_asked = stdin.is_terminal();
            if is_asked {
                complain("Paste the secret and press Enter: ");
            }
            is_asked
        })
    }

    /// The same for many secrets, one a line. A person at a terminal is asked for all of them.
    pub(super) fn read_many(file: Option<&Path>) -> Result<Self, Failure> {
        Self::from(file, LIMIT_OF_MANY, |stdin| {
            if stdin.is_terminal() {
                complain("Paste the secrets, one a line, and press Ctrl-D: ");
            }
            false
        })
    }

    /// Of standard input, `ask` tells whether it ends with its first line.
    fn from(
        file: Option<&Path>,
        limit: usize,
        ask: impl Fn(&StdinLock<'_>) -> bool,
    ) -> Result<Self, Failure> {
        match file {
            Some(path) if path != Path::new("-") => {
                let attempt = format!("cannot read `{}`", path.display());
                let mut file = File::open(path).map_err(|error| Failure::new(&attempt, error))?;
                Self::gather(&mut file, limit, false, &attempt)
            }
            _ => {
                let mut stdin = std::io::stdin().lock();
                let is_one_line = ask(&stdin);
                Self::gather(&mut stdin, limit, is_one_line, "cannot read standard input")
            }
        }
    }

    /// Reads into one buffer that never grows: growing would leave copies behind that nothing wipes.
    fn gather(
        from: &mut impl Read,
        limit: usize,
        one_line: bool,
        attempt: &str,
    ) -> Result<Self, Failure> {
        let mut buffer = Zeroizing::new(vec![0; limit + 1]);
        let mut length = 0;
        while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
            let read = from
                .read(rest)
                .map_err(|error| Failure::new(attempt, error))?;
            length += read;
            if read == 0 || one_line && buffer[..length].ends_with(b"\n") {
                break;
            }
        }
        if length > limit {
            let message = format!("more than {limit} bytes is no secret");
            return Err(Failure::new(attempt, message));
        }
        buffer.truncate(length);
        match std::str::from_utf8(&buffer) {
            Ok(_) => Ok(Self(buffer)),
            Err(_) => Err(Failure::new(attempt, "it is not text")),
        }
    }

    /// The text, for the one place it belongs in.
    pub(super) fn expose(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default().trim()
    }
}
