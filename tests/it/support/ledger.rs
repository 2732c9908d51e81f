//! The tokens whose issue was acknowledged, kept where no end of a server can reach: each must be there ever after.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use countersign::pb::{ListTokensRequest, Outcome, resource::Owner};
use tonic::Status;

use super::{
    client::{Client, authorize_request, is_too_slow, issue_request},
    database::TestDatabase,
    history::{Acknowledged, History, subject},
    random::Random,
};

const WORKSPACE: &str = "acme";
/// Enough for 2,000 tokens under the cap of 50, even if every issue that an end cut off was carried out.
const MEMBERS: usize = 48;
/// How many ask at once in the end.
const ASKERS: usize = 8;
const PAGE: i32 = 500;

/// All of them.
#[derive(Default)]
pub(crate) struct Ledger {
    acknowledged: Mutex<Vec<(Acknowledged, String)>>,
    /// Names for the next issue.
    names: AtomicUsize,
}

impl Ledger {
    /// Makes those for whom tokens are issued.
    pub(crate) async fn create_members(client: &Client) {
        client.create_workspace(WORKSPACE).await;
        for member in 0..MEMBERS {
            let member_id = format!("m{member}");
            client.put_member(WORKSPACE, &member_id, "member").await;
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.acknowledged.lock().expect("the ledger").len()
    }

    /// Issues one more, and remembers it if that is acknowledged.
    pub(crate) async fn issue(&self, client: &Client) -> Result<(), Status> {
        let name = self.names.fetch_add(1, Ordering::Relaxed);
        let member_id = format!("m{}", name % MEMBERS);
        let request = issue_request(WORKSPACE, &member_id, &format!("token {name}"), None);
        let response = client.tokens.clone().issue_token(request).await?;
        let response = response.into_inner();
        let token_id = response.token.expect("a token").token_id;
        let acknowledged = Acknowledged {
            revision: response.revision,
            kind: "TOKEN_ISSUED",
            subject: subject(WORKSPACE, &member_id, &token_id),
        };
        let mut ledger = self.acknowledged.lock().expect("the ledger");
        ledger.push((acknowledged, response.secret));
        Ok(())
    }

    /// The secret of one of them.
    pub(crate) fn pick(&self, random: &mut Random) -> Option<String> {
        let ledger = self.acknowledged.lock().expect("the ledger");
        (!ledger.is_empty()).then(|| random.pick(&ledger).1.clone())
    }

    /// Fails unless each of them is listed and authorizes, and the database is sound.
    pub(crate) async fn assert_kept(&self, database: &TestDatabase, client: &Client) {
        let (acknowledged, secrets): (Vec<_>, Vec<_>) = {
            let ledger = self.acknowledged.lock().expect("the ledger");
            ledger.iter().cloned().unzip()
        };
        History::read(database).await.assert_sound(&acknowledged);
        let listed = listed(client).await;
        for issued in &acknowledged {
            assert!(listed.contains(&issued.subject), "{}", issued.subject);
        }
        let checks: Vec<_> = secrets
            .chunks(secrets.len().div_ceil(ASKERS).max(1))
            .map(|secrets| {
                let (secrets, client) = (secrets.to_vec(), client.clone());
                tokio::spawn(async move {
                    for secret in secrets {
                        let owner = Some(Owner::Bearer(true));
                        let request = authorize_request(&secret, "bookings.read", "", owner);
                        let answer = loop {
                            let mut authorization = client.authorization.clone();
                            match authorization.authorize(request.clone()).await {
                                // A machine that is busy loses nothing by that.
                                Err(status) if is_too_slow(&status) => {}
                                answer => break answer.expect("an answer").into_inner(),
                            }
                        };
                        let decision = answer.decision.expect("a decision");
                        assert_eq!(decision.outcome(), Outcome::Allow, "{}", decision.message);
                    }
                })
            })
            .collect();
        for check in checks {
            check.await.expect("every token authorizes");
        }
    }
}

/// The subject of every token in the list.
async fn listed(client: &Client) -> BTreeSet<String> {
    let mut request = ListTokensRequest {
        workspace_id: WORKSPACE.to_owned(),
        page_size: PAGE,
        ..Default::default()
    };
    let mut listed = BTreeSet::new();
    loop {
        let page = client.tokens.clone().list_tokens(request.clone()).await;
        let page = page.expect("a page").into_inner();
        let tokens = page.tokens.iter();
        listed.extend(tokens.map(|it| subject(&it.workspace_id, &it.member_id, &it.token_id)));
        if page.next_page_token.is_empty() {
            return listed;
        }
        request.page_token = page.next_page_token;
    }
}
