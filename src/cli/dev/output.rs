//! What `dev` prints. Its standard output is one of the few places where a token's secret may appear.

use serde::Serialize;

use super::demo::{Demo, DemoMember, WORKSPACE_ID};
use crate::cli::Failure;

#[derive(Serialize)]
struct Output<'a> {
    address: String,
    workspace_id: &'static str,
    members: Vec<Member<'a>>,
}

#[derive(Serialize)]
struct Member<'a> {
    member_id: &'static str,
    role: &'static str,
    token: &'a str,
}

/// One object on one line.
pub(super) fn json(demo: &Demo) -> Result<String, Failure> {
    let members = demo.members.iter().map(|member| Member {
        member_id: member.member_id,
        role: member.role,
        token: &member.token,
    });
    let output = Output {
        address: demo.address.to_string(),
        workspace_id: WORKSPACE_ID,
        members: members.collect(),
    };
    serde_json::to_string(&output)
        .map(|line| line + "\n")
        .map_err(|error| Failure::new("cannot write JSON", error))
}

/// For people: what there is, then calls to paste.
pub(super) fn text(demo: &Demo) -> String {
    let address = demo.address;
    let mut text = format!(
        "countersign listens on {address}, for this machine only: no TLS, and everyone may call.\n\n\
         workspace {WORKSPACE_ID}\n"
    );
    for member in &demo.members {
        let (id, role, token) = (member.member_id, member.role, member.token.as_str());
        text.push_str(&format!("  {id:<4}{role:<8}{token}\n"));
    }
    text.push_str(&format!(
        "\nWhat it serves:\n  grpcurl -plaintext {address} list\n"
    ));
    // The last of the members is one without an admin's reach, so there is something to deny.
    if let Some(member) = demo.members.last() {
        for (title, service, method, request) in calls(member) {
            text.push_str(&format!(
                "\n{title}:\n  grpcurl -plaintext -d '{request}' {address} countersign.v1.{service}/{method}\n"
            ));
        }
    }
    text
}

fn calls(member: &DemoMember) -> [(String, &'static str, &'static str, String); 5] {
    let (id, token) = (member.member_id, member.token.as_str());
    let whose = format!(r#""workspace_id": "{WORKSPACE_ID}", "member_id": "{id}""#);
    [
        (
            format!("May {id} read a booking of his own? Allowed"),
            "AuthorizationService",
            "Authorize",
            format!(
                r#"{{"token": "{token}", "action": "bookings.read", "resource": {{"bearer": true}}}}"#
            ),
        ),
        (
            format!("May {id} list users? Denied"),
            "AuthorizationService",
            "Authorize",
            format!(
                r#"{{"token": "{token}", "action": "users.list", "resource": {{"collection": true}}}}"#
            ),
        ),
        (
            format!("Another token for {id}, its secret shown this once"),
            "TokenService",
            "IssueToken",
            format!(r#"{{{whose}, "name": "laptop", "ttl": "7776000s"}}"#),
        ),
        (
            "All of his tokens".to_owned(),
            "TokenService",
            "ListTokens",
            format!("{{{whose}}}"),
        ),
        (
            "Revoke his first token; the first call is denied from then on".to_owned(),
            "TokenService",
            "RevokeToken",
            format!(
                r#"{{"token_id": "{}", "reason": "lost laptop"}}"#,
                member.token_id
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;

    fn demo() -> Demo {
        let member = |member_id, role, token: &str| DemoMember {
            member_id,
            role,
            token_id: format!("tok_{member_id}"),
            token: token.to_owned().into(),
        };
        Demo {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 50051)),
            members: vec![
                member("ada", "admin", "secret-a"),
                member("max", "member", "secret-m"),
            ],
        }
    }

    #[test]
    fn json_is_one_object_on_one_line() {
        let expected = concat!(
            r#"{"address":"127.0.0.1:50051","workspace_id":"demo","members":["#,
            r#"{"member_id":"ada","role":"admin","token":"secret-a"},"#,
            r#"{"member_id":"max","role":"member","token":"secret-m"}]}"#,
            "\n"
        );
        assert_eq!(json(&demo()).ok().as_deref(), Some(expected));
    }

    #[test]
    fn text_has_calls_to_paste() {
        let text = text(&demo());
        let calls: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("  grpcurl -plaintext "))
            .collect();
        assert_eq!(calls.len(), 6, "{text}");
        for call in &calls[1..] {
            let request = call.split('\'').nth(1).unwrap_or_default();
            let read: Result<serde_json::Value, _> = serde_json::from_str(request);
            assert!(read.is_ok(), "{call}");
            assert!(call.contains(" 127.0.0.1:50051 countersign.v1."), "{call}");
        }
        assert!(text.contains("  ada admin   secret-a\n  max member  secret-m\n"));
    }
}
