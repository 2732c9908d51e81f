//! Errors of a call, in words for people: one sentence with its stable reason, each bad field on a line of its own, and
//! what may help.

use std::{error::Error, time::Duration};

use tonic::{Code, Status, transport};
use tonic_types::StatusExt;

use super::{Server, Session};
use crate::cli::{Failure, output::printable};

/// There is no connection.
pub(super) fn unreachable(server: &Server, error: &transport::Error) -> Failure {
    let cause = deepest(error);
    let hint = hint(server, &cause);
    Failure::Failed(format!("cannot reach {server}: {cause}\n{hint}"))
}

/// The files for TLS are not what they should be.
pub(super) fn unusable_files(error: &transport::Error) -> Failure {
    Failure::new("the files for TLS cannot be used", deepest(error))
}

/// There is no connection so far.
pub(super) fn no_connection_in_time(server: &Server, timeout: Duration) -> Failure {
    Failure::Failed(format!(
        "cannot reach {server}: no connection within {timeout:?}\n{}",
        hint(server, "")
    ))
}

fn hint(server: &Server, cause: &str) -> &'static str {
    match cause {
        _ if cause.contains("InvalidContentType") || cause.contains("eof") => {
            "does it speak TLS there? if not, write `http://` for `--server`"
        }
        _ if cause.contains("certificate") && server.is_tls() => {
            "give the certificates of its authority with `--ca-file`"
        }
        _ => "is it running there? say where it is with `--server` or COUNTERSIGN_SERVER",
    }
}

/// The service, or the way to it, refused a call.
pub(super) fn told(session: &Session, status: &Status) -> Failure {
    let details = status.get_error_details();
    let Some(info) = details.error_info() else {
        return Failure::Failed(without_details(session, status));
    };
    let reason = printable(&info.reason);
    let mut text = match details.bad_request() {
        Some(bad) if !bad.field_violations.is_empty() => {
            let mut text = format!("the request was refused ({reason})");
            for violation in &bad.field_violations {
                let (field, description) = (&violation.field, &violation.description);
                text.push_str(&format!(
                    "\n{}: {}",
                    printable(field),
                    printable(description)
                ));
            }
            text
        }
        _ => format!("{} ({reason})", printable(status.message())),
    };
    if status.code() == Code::Unauthenticated && session.key.is_none() {
        text.push_str(
            "\ngive a service key: `--key-file`, COUNTERSIGN_KEY_FILE or COUNTERSIGN_KEY",
        );
    }
    let delay = details.retry_info().and_then(|info| info.retry_delay);
    if let Some(delay) = delay {
        text.push_str(&format!("\ntrying again may help, after {delay:?}"));
    }
    Failure::Failed(text)
}

/// An answer that is not the service's own: the connection's, the client's, or that of something between.
fn without_details(session: &Session, status: &Status) -> String {
    let Session {
        server, timeout, ..
    } = session;
    let cause = status.source().map(deepest);
    match (status.code(), cause) {
        (Code::DeadlineExceeded | Code::Cancelled, _) => {
            format!("no answer from {server} within {timeout:?}\nwait longer with `--timeout`")
        }
        (Code::Unimplemented, _) => format!(
            "{server} does not know this call: {}\nis it countersign, and of this version?",
            printable(status.message())
        ),
        (_, Some(cause)) => {
            let hint = match server.is_tls() {
                true => "",
                false => "\nif it speaks TLS there, write `https://` for `--server`",
            };
            format!("the connection to {server} broke: {cause}{hint}")
        }
        (code, None) => {
            let message = match status.message() {
                "" => code.description(),
                message => message,
            };
            format!("{} (gRPC code {code:?})", printable(message))
        }
    }
}

/// The cause at the bottom, which is the one that says what happened.
fn deepest(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    printable(&error.to_string())
}
