//! Bad pages: sizes that are none, and page tokens that are forged, cut, or of another list.

use countersign::pb::{
    ListEventsRequest, ListMembersRequest, ListTokensRequest, ListWorkspacesRequest,
};

use super::{Call, Case, OUT_OF_RANGE, invalid, world::World};

const INVALID: &str = "PAGE_TOKEN_INVALID";

pub(super) fn cases(world: &World) -> Vec<Case> {
    let mut cases = Vec::new();
    for list in LISTS {
        for size in [-1, -50, i32::MIN] {
            let name = format!("page_size {size}");
            cases.push(invalid(
                name,
                list(size, String::new()),
                OUT_OF_RANGE,
                &["page_size"],
            ));
        }
    }
    // Each list with its own page token spoilt, and with those of all the others.
    let own = [
        &world.tokens_page,
        &world.max_page,
        &world.members_page,
        &world.workspaces_page,
        &world.events_page,
    ];
    for (number, list) in LISTS.into_iter().enumerate() {
        let mut add = |name: &str, token: String| {
            let name = format!("page token {name}");
            cases.push(invalid(name, list(1, token), INVALID, &["page_token"]));
        };
        for (what, token) in forged(own[number]) {
            add(what, token);
        }
        for (other, token) in own.iter().enumerate() {
            if other != number {
                add("of another list", (*token).clone());
            }
        }
    }
    // Another filter of the same list.
    let of_other = |workspace_id: &str, token: &String| ListMembersRequest {
        workspace_id: workspace_id.to_owned(),
        page_token: token.clone(),
        ..Default::default()
    };
    let other = of_other("other", &world.members_page);
    cases.push(invalid(
        "of another workspace's page",
        other,
        INVALID,
        &["page_token"],
    ));
    let in_state = ListTokensRequest {
        workspace_id: "acme".to_owned(),
        states: vec![1],
        page_token: world.tokens_page.clone(),
        ..Default::default()
    };
    cases.push(invalid(
        "page token of all states",
        in_state,
        INVALID,
        &["page_token"],
    ));
    let one = ListEventsRequest {
        workspace_id: "acme".to_owned(),
        page_token: world.events_page.clone(),
        ..Default::default()
    };
    cases.push(invalid(
        "page token of all workspaces",
        one,
        INVALID,
        &["page_token"],
    ));
    cases
}

/// The lists that `own` has the page tokens of, in its order.
const LISTS: [fn(i32, String) -> Call; 5] = [
    |page_size, page_token| {
        let list = ListTokensRequest {
            workspace_id: "acme".to_owned(),
            page_size,
            page_token,
            ..Default::default()
        };
        list.into()
    },
    |page_size, page_token| {
        let list = ListTokensRequest {
            workspace_id: "acme".to_owned(),
            member_id: "max".to_owned(),
            page_size,
            page_token,
            ..Default::default()
        };
        list.into()
    },
    |page_size, page_token| {
        let list = ListMembersRequest {
            workspace_id: "acme".to_owned(),
            page_size,
            page_token,
        };
        list.into()
    },
    |page_size, page_token| {
        let list = ListWorkspacesRequest {
            page_size,
            page_token,
        };
        list.into()
    },
    |page_size, page_token| {
        let list = ListEventsRequest {
            page_size,
            page_token,
            ..Default::default()
        };
        list.into()
    },
];

/// What is not quite this page token.
fn forged(token: &str) -> Vec<(&'static str, String)> {
    let changed = |at: usize| {
        let mut bytes = token.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).expect("base64")
    };
    vec![
        ("made up", "nonsense".to_owned()),
        ("of spaces", "  ".to_owned()),
        ("outside the alphabet", "é/+=".to_owned()),
        ("of one character", "A".to_owned()),
        ("of a bare tag", "A".repeat(22)),
        ("cut at the end", token[..token.len() - 1].to_owned()),
        ("cut to its tag", token[..22].to_owned()),
        ("cut at the start", token[4..].to_owned()),
        ("extended", format!("{token}AAAA")),
        ("padded", format!("{token}=")),
        ("with another first character", changed(0)),
        ("with another cursor", changed(token.len() - 3)),
        ("twice", format!("{token}{token}")),
        ("of 900 KB", "A".repeat(900_000)),
    ]
}
