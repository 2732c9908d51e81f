//! The peppers that `dev` makes for itself and keeps, so that the tokens of one run work in the next.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::domain::{
    base62,
    ids::random_bytes,
    pepper::{Pepper, PepperRing},
};

/// The peppers kept beside an embedded database, made on the first run and, if they may be, written down. Readable by
/// their owner only.
pub(super) fn kept_beside(database: &Path, may_write: bool) -> Result<PepperRing, String> {
    let mut path = database.as_os_str().to_owned();
    path.push(".peppers");
    let path = PathBuf::from(path);
    let text = match fs::read_to_string(&path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == ErrorKind::NotFound => make(&path, may_write)?,
        Err(error) => return Err(format!("cannot read `{}`: {error}", path.display())),
    };
    PepperRing::parse(&text).map_err(|message| format!("`{}`: {message}", path.display()))
}

fn make(path: &Path, may_write: bool) -> Result<Zeroizing<String>, String> {
    let refusal =
        |error: &dyn std::fmt::Display| format!("cannot make `{}`: {error}", path.display());
    // The id is random too: were it always the same, a pepper made anew after the file was lost would pass for the one
    // that the database's tokens hang on.
    let suffix = random_bytes().map_err(|error| refusal(&error))?;
    let id = format!("dev-{}", &base62::encode16(suffix)[..8]);
    let pepper = Pepper::random(&id).map_err(|error| refusal(&error))?;
    let text = pepper.expose();
    if !may_write {
        return Ok(text);
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| refusal(&error))?;
    file.write_all(text.as_bytes())
        .map_err(|error| refusal(&error))?;
    Ok(text)
}
