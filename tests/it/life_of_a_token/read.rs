//! Reading what the service answers into the form in which it can be compared.

use countersign::{domain::time::Timestamp, pb};

use super::{
    service::Service,
    steps::{
        Answer, By, Caller, Decision, End, Key, Made, Member, Millis, Policy, Principal, Told,
        Workspace,
    },
};
use crate::support::{
    clock,
    server::{DASHBOARD, PLATFORM},
};

/// What stands for a number that nothing has that is known.
const NOBODY: usize = usize::MAX;

impl Service {
    pub(super) fn issued(&mut self, answer: pb::IssueTokenResponse) -> Answer {
        let warnings = &answer.warnings;
        Answer::Issued(self.made(answer.token, answer.secret, answer.replayed, warnings))
    }

    pub(super) fn rotated(&mut self, answer: pb::RotateTokenResponse) -> Answer {
        let warnings = &answer.warnings;
        let made = self.made(answer.token, answer.secret, answer.replayed, warnings);
        let predecessor = answer.predecessor.expect("the answer carries it");
        Answer::Rotated(made, Box::new(self.token(predecessor)))
    }

    fn made(
        &mut self,
        token: Option<pb::Token>,
        secret: String,
        is_replayed: bool,
        warnings: &[pb::Warning],
    ) -> Made {
        let token = token.expect("the answer carries it");
        let has_secret = !secret.is_empty();
        if !is_replayed {
            assert!(secret.ends_with(&token.hint), "the hint is the secret's");
            let is_new = |(id, known): &(String, String)| *id != token.token_id && *known != secret;
            assert!(self.tokens.iter().all(is_new), "id and secret are new");
            self.tokens.push((token.token_id.clone(), secret));
        }
        let kinds: Vec<_> = warnings.iter().map(pb::Warning::kind).collect();
        Made {
            token: self.token(token),
            has_secret,
            is_replayed,
            warns_of_no_expiry: kinds == [pb::WarningKind::NoExpiry],
        }
    }

    /// The number of the token with this id. None: there is no id.
    fn number(&self, id: &str) -> Option<usize> {
        let known = || self.tokens.iter().position(|(known, _)| known == id);
        (!id.is_empty()).then(|| known().unwrap_or(NOBODY))
    }

    fn key(&self, workspace_id: &str, member_id: &str) -> Key {
        let number = |text: Option<&str>| text.and_then(|text| text.parse().ok());
        let prefix = self.workspace_id_prefix();
        let workspace = number(workspace_id.strip_prefix(prefix.as_str()));
        Key {
            workspace: workspace.unwrap_or(NOBODY),
            member: number(member_id.strip_prefix('m')).unwrap_or(NOBODY),
        }
    }

    pub(super) fn token(&self, token: pb::Token) -> Told {
        let by = token.revoked_by.as_ref();
        let end = token.revoked_at.as_ref().zip(by).map(|(at, by)| End {
            at: millis(at),
            by: By {
                caller: match by.caller.as_str() {
                    PLATFORM => Caller::Platform,
                    DASHBOARD => Caller::Dashboard,
                    other => panic!("{other} revokes nothing here"),
                },
                actor: by
                    .actor
                    .as_ref()
                    .map(|actor| self.key(&actor.workspace_id, &actor.member_id)),
            },
            reason: token.revoke_reason.clone(),
        });
        Told {
            number: self.number(&token.token_id).unwrap_or(NOBODY),
            member: self.key(&token.workspace_id, &token.member_id),
            state: token.state(),
            created_at: token.created_at.as_ref().map_or(0, millis),
            expires_at: token.expires_at.as_ref().map(millis),
            end,
            predecessor: self.number(&token.predecessor_id),
            name: token.name,
            scopes: token.scopes,
            networks: token.allowed_cidrs,
        }
    }

    /// By number: of several that are of one instant the order is the service's own.
    pub(super) fn listed(&self, tokens: Vec<pb::Token>) -> Answer {
        let instants: Vec<_> = tokens
            .iter()
            .map(|token| token.created_at.as_ref().map(millis))
            .collect();
        assert!(
            instants.is_sorted_by(|one, next| one >= next),
            "the newest come first: {instants:?}"
        );
        let told = tokens.into_iter().map(|token| self.token(token));
        let mut told: Vec<_> = told.collect();
        told.sort_by_key(|token| token.number);
        Answer::Tokens(told)
    }

    pub(super) fn member(&self, member: Option<pb::Member>) -> Answer {
        let member = member.expect("the answer carries it");
        Answer::Member(Member {
            key: self.key(&member.workspace_id, &member.member_id),
            state: member.state(),
            created_at: member.created_at.as_ref().map_or(0, millis),
            updated_at: member.updated_at.as_ref().map_or(0, millis),
            role: member.role,
        })
    }

    pub(super) fn workspace(&self, workspace: Option<pb::Workspace>) -> Answer {
        Answer::Workspace(self.read_workspace(workspace))
    }

    pub(super) fn validated(&self, answer: pb::UpdateWorkspaceResponse) -> Answer {
        assert_eq!(answer.revision, "", "nothing is changed");
        Answer::Validated(
            self.read_workspace(answer.workspace),
            answer.live_tokens_ended,
        )
    }

    fn read_workspace(&self, workspace: Option<pb::Workspace>) -> Workspace {
        let workspace = workspace.expect("the answer carries it");
        let policy = workspace.token_policy.expect("the answer carries it");
        Workspace {
            number: self.key(&workspace.workspace_id, "").workspace,
            state: workspace.state(),
            policy: Policy {
                require_expiry: policy.require_expiry,
                max_lifetime: policy.max_lifetime.as_ref().map(span_millis),
                default_lifetime: policy.default_lifetime.as_ref().map(span_millis),
                max_live_tokens: policy.max_live_tokens_per_member,
            },
            created_at: workspace.created_at.as_ref().map_or(0, millis),
            updated_at: workspace.updated_at.as_ref().map_or(0, millis),
            name: workspace.name,
        }
    }

    pub(super) fn decided(
        &self,
        decisions: Vec<pb::Decision>,
        principal: Option<pb::Principal>,
    ) -> Answer {
        let read = |decision: &pb::Decision| Decision {
            outcome: decision.outcome(),
            reason: decision.reason(),
            reach: decision.reach(),
        };
        let decisions = decisions.iter().map(read).collect();
        Answer::Decided(
            decisions,
            principal.map(|principal| self.principal(principal)),
        )
    }

    pub(super) fn permitted(&self, answer: pb::ListPermissionsResponse) -> Answer {
        let reason = answer.reason();
        let permissions = answer.permissions.iter();
        let permissions = permissions.map(|one| (one.action.clone(), one.reach()));
        let permissions = permissions.collect();
        let principal = answer.principal.map(|principal| self.principal(principal));
        Answer::Permitted(reason, principal, permissions)
    }

    fn principal(&self, principal: pb::Principal) -> Principal {
        Principal {
            key: self.key(&principal.workspace_id, &principal.member_id),
            token: self.number(&principal.token_id).unwrap_or(NOBODY),
            role: principal.role,
            token_name: principal.token_name,
            scopes: principal.scopes,
            expires_at: principal.expires_at.as_ref().map(millis),
        }
    }
}

fn millis(at: &prost_types::Timestamp) -> Millis {
    at.seconds * 1000 + Millis::from(at.nanos) / 1_000_000
}

fn span_millis(span: &prost_types::Duration) -> Millis {
    span.seconds * 1000 + Millis::from(span.nanos) / 1_000_000
}

pub(super) fn instant(at: Millis) -> prost_types::Timestamp {
    clock::instant(Timestamp(at))
}

pub(super) fn span(millis: Millis) -> prost_types::Duration {
    let prost_types::Timestamp { seconds, nanos } = instant(millis);
    prost_types::Duration { seconds, nanos }
}
