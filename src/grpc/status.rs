//! Errors on the wire: the only place that knows both the domain's codes and tonic's.

use tonic::Status;
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::domain::error::{Code, Error};

/// The `domain` of every `google.rpc.ErrorInfo`.
const DOMAIN: &str = "countersign";

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let metadata = error
            .metadata()
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect::<std::collections::HashMap<_, _>>();
        let mut details = ErrorDetails::with_error_info(error.reason(), DOMAIN, metadata);
        if let Error::Invalid(violations) = &error {
            let violations = violations.iter().map(|violation| {
                let problem = &violation.problem;
                let mut violated = FieldViolation::new(&violation.field, &problem.description);
                violated.reason = problem.reason.as_str().to_owned();
                violated
            });
            details.set_bad_request(violations.collect::<Vec<_>>());
        }
        if let Some(retry_after) = error.retry_after() {
            details.set_retry_info(Some(retry_after));
        }
        Self::with_error_details(code(error.code()), error.to_string(), details)
    }
}

fn code(code: Code) -> tonic::Code {
    match code {
        Code::InvalidArgument => tonic::Code::InvalidArgument,
        Code::NotFound => tonic::Code::NotFound,
        Code::AlreadyExists => tonic::Code::AlreadyExists,
        Code::PermissionDenied => tonic::Code::PermissionDenied,
        Code::Unauthenticated => tonic::Code::Unauthenticated,
        Code::FailedPrecondition => tonic::Code::FailedPrecondition,
        Code::Aborted => tonic::Code::Aborted,
        Code::ResourceExhausted => tonic::Code::ResourceExhausted,
        Code::Unimplemented => tonic::Code::Unimplemented,
        Code::DeadlineExceeded => tonic::Code::DeadlineExceeded,
        Code::Unavailable => tonic::Code::Unavailable,
    }
}
