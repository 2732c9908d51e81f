//! What an error must say.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// The code, the reason in `google.rpc.ErrorInfo`, and, where one is given, a field named in `google.rpc.BadRequest`.
#[track_caller]
pub(crate) fn assert_status(status: &Status, code: Code, reason: &str, field: Option<&str>) {
    let said = format!("{:?} {}", status.code(), status.message());
    assert_eq!(status.code(), code, "{said}");
    assert!(!status.message().is_empty(), "{said}: no sentence");
    let details = status.get_error_details();
    let info = details
        .error_info()
        .unwrap_or_else(|| panic!("{said}: no ErrorInfo"));
    assert_eq!(
        (info.domain.as_str(), info.reason.as_str()),
        ("countersign", reason),
        "{said}"
    );
    if let Some(field) = field {
        let fields = bad_fields(status);
        assert!(fields.iter().any(|bad| bad == field), "{said}: {fields:?}");
    }
}

/// The fields named in `google.rpc.BadRequest`, in order.
pub(crate) fn bad_fields(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let violations = details
        .bad_request()
        .map_or(&[][..], |bad| &bad.field_violations);
    violations.iter().map(|bad| bad.field.clone()).collect()
}

/// Everything that a status says, in one order, to compare with what another says.
pub(crate) fn whole(status: &Status) -> String {
    let mut details = status.get_error_details();
    let info = details.error_info().cloned().expect("an ErrorInfo");
    let metadata: BTreeMap<_, _> = info.metadata.iter().collect();
    let headers: BTreeSet<_> = status
        .metadata()
        .keys()
        .map(|key| format!("{key:?}"))
        .collect();
    let said = format!(
        "{:?} {} {headers:?} {} {} {metadata:?}",
        status.code(),
        status.message(),
        info.domain,
        info.reason,
    );
    details.set_error_info("", "", HashMap::<String, String>::new());
    format!("{said} {details:?}")
}

#[test]
fn a_status_is_matched_by_code_reason_and_field() {
    let mut details = tonic_types::ErrorDetails::new();
    details.set_error_info(
        "FIELD_REQUIRED",
        "countersign",
        std::collections::HashMap::<String, String>::new(),
    );
    details.add_bad_request_violation("name", "is required");
    let status = Status::with_error_details(Code::InvalidArgument, "`name` is required", details);
    let code = Code::InvalidArgument;
    assert_status(&status, code, "FIELD_REQUIRED", Some("name"));
    let differs = |code, reason, field| {
        let compare = || assert_status(&status, code, reason, field);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(compare)).is_err()
    };
    assert!(differs(Code::NotFound, "FIELD_REQUIRED", None));
    assert!(differs(code, "FIELD_TOO_LONG", None));
    assert!(differs(code, "FIELD_REQUIRED", Some("member_id")));
}
