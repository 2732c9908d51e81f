//! The variables that the commands which talk to a running service read. They stand beside a server's own, under the same
//! prefix, so a server must know them too: it passes them over instead of refusing to start.

/// Where the service is.
pub(crate) const SERVER: &str = "COUNTERSIGN_SERVER";
/// The service key of the caller.
pub(crate) const KEY: &str = "COUNTERSIGN_KEY";
/// A file that holds the service key.
pub(crate) const KEY_FILE: &str = "COUNTERSIGN_KEY_FILE";
/// A file with the certificates by which the service's own is verified.
pub(crate) const CA_FILE: &str = "COUNTERSIGN_CA_FILE";
/// A file with the caller's certificate.
pub(crate) const CLIENT_CERT: &str = "COUNTERSIGN_CLIENT_CERT";
/// A file with the private key of the caller's certificate.
pub(crate) const CLIENT_KEY: &str = "COUNTERSIGN_CLIENT_KEY";

/// All of them.
pub(crate) const VARIABLES: [&str; 6] = [SERVER, KEY, KEY_FILE, CA_FILE, CLIENT_CERT, CLIENT_KEY];
