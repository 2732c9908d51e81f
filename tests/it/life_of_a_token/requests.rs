//! What steps are as requests.

use countersign::pb::{
    self, IssueTokenRequest, ListTokensRequest, Resource, RotateTokenRequest,
    UpdateWorkspaceRequest, issue_token_request::Expiry as IssueExpiry,
    resource::Owner as ResourceOwner, rotate_token_request::Expiry as RotateExpiry,
};

use super::{
    read::{instant, span},
    service::Service,
    steps::{
        Ask, By, Context, Expiry, Issue, List, Owner, PARTS, Part, Rotate, Secret, Target, Update,
    },
};
use crate::support::{call::unknown_secret, client::policy_request};

impl Service {
    pub(super) fn workspace_id(&self, number: usize) -> String {
        format!("{}{number}", self.workspace_id_prefix())
    }

    pub(super) fn workspace_id_prefix(&self) -> String {
        format!("h{}-w", self.history)
    }

    pub(super) fn request_id(&self, request: Option<usize>) -> String {
        request.map_or_else(String::new, |number| format!("h{}-r{number}", self.history))
    }

    pub(super) fn actor(&self, by: By) -> Option<pb::Actor> {
        by.actor.map(|key| pb::Actor {
            workspace_id: self.workspace_id(key.workspace),
            member_id: member_id(key.member),
        })
    }

    pub(super) fn secret(&self, secret: Secret) -> String {
        match secret {
            // Half of them as the whole header value, in some case.
            Secret::Of(number) => match number % 4 {
                0 => format!("Bearer {}", self.tokens[number].1),
                1 => format!("bEARER {}", self.tokens[number].1),
                _ => self.tokens[number].1.clone(),
            },
            Secret::Unknown => unknown_secret(),
            Secret::Malformed => "csn_pat_1nonsense".to_owned(),
        }
    }

    /// The id, or the secret.
    pub(super) fn target(&self, target: Target) -> Result<String, String> {
        match target {
            Target::Id(number) => Ok(self.tokens[number].0.clone()),
            Target::UnknownId => Ok("tok_0000000000000000000000".to_owned()),
            Target::Secret(secret) => Err(self.secret(secret)),
        }
    }

    pub(super) fn issue_request(
        &self,
        by: By,
        issue: &Issue,
        request: Option<usize>,
    ) -> IssueTokenRequest {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        IssueTokenRequest {
            workspace_id: self.workspace_id(issue.member.workspace),
            member_id: member_id(issue.member.member),
            name: issue.name.clone(),
            scopes: texts(issue.scopes),
            allowed_cidrs: texts(issue.networks),
            actor: self.actor(by),
            request_id: self.request_id(request),
            expiry: match issue.expiry {
                Expiry::Unset => None,
                Expiry::At(at) => Some(IssueExpiry::ExpiresAt(instant(at))),
                Expiry::Ttl(ttl) => Some(IssueExpiry::Ttl(span(ttl))),
                Expiry::Never => Some(IssueExpiry::Never(true)),
            },
        }
    }

    pub(super) fn rotate_request(
        &self,
        by: By,
        rotate: &Rotate,
        request: Option<usize>,
    ) -> RotateTokenRequest {
        let target = rotate.token.map_or(Target::UnknownId, Target::Id);
        RotateTokenRequest {
            token_id: self.target(target).expect("an id"),
            overlap: (rotate.overlap > 0).then(|| span(rotate.overlap)),
            actor: self.actor(by),
            request_id: self.request_id(request),
            expiry: match rotate.expiry {
                Expiry::Unset => None,
                Expiry::At(at) => Some(RotateExpiry::ExpiresAt(instant(at))),
                Expiry::Ttl(ttl) => Some(RotateExpiry::Ttl(span(ttl))),
                Expiry::Never => Some(RotateExpiry::Never(true)),
            },
        }
    }

    pub(super) fn list_request(&self, by: By, list: &List) -> ListTokensRequest {
        ListTokensRequest {
            workspace_id: self.workspace_id(list.workspace),
            member_id: list.member.map_or_else(String::new, member_id),
            states: list.states.iter().map(|state| (*state).into()).collect(),
            expires_before: list.expires_before.map(instant),
            actor: self.actor(by),
            page_size: 7,
            ..Default::default()
        }
    }

    pub(super) fn update_request(&self, update: &Update) -> UpdateWorkspaceRequest {
        let mut paths: Vec<&str> = Vec::new();
        paths.extend(update.name.as_ref().map(|_| "name"));
        paths.extend(update.state.as_ref().map(|_| "state"));
        match update.parts == PARTS {
            true => paths.push("token_policy"),
            false => paths.extend(update.parts.iter().map(|part| match part {
                Part::RequireExpiry => "token_policy.require_expiry",
                Part::MaxLifetime => "token_policy.max_lifetime",
                Part::DefaultLifetime => "token_policy.default_lifetime",
                Part::MaxLiveTokens => "token_policy.max_live_tokens_per_member",
            })),
        }
        let policy = pb::TokenPolicy {
            require_expiry: update.policy.require_expiry,
            max_lifetime: update.policy.max_lifetime.map(span),
            default_lifetime: update.policy.default_lifetime.map(span),
            max_live_tokens_per_member: update.policy.max_live_tokens,
            ..Default::default()
        };
        UpdateWorkspaceRequest {
            name: update.name.clone().unwrap_or_default(),
            state: update.state.map_or(0, Into::into),
            validate_only: update.validate_only,
            ..policy_request(&self.workspace_id(update.workspace), policy, &paths)
        }
    }

    pub(super) fn resource(&self, asked: Ask) -> Resource {
        Resource {
            workspace_id: asked
                .workspace
                .map_or_else(String::new, |number| self.workspace_id(number)),
            owner: match asked.owner {
                Owner::Nobody => None,
                Owner::Bearer => Some(ResourceOwner::Bearer(true)),
                Owner::Collection => Some(ResourceOwner::Collection(true)),
                Owner::Member(number) => Some(ResourceOwner::OwnerId(member_id(number))),
            },
            ..Default::default()
        }
    }
}

pub(super) fn member_id(number: usize) -> String {
    format!("m{number}")
}

pub(super) fn context_of(context: Context) -> Option<pb::Context> {
    Some(pb::Context {
        client_ip: context.client_ip.to_owned(),
        on_behalf_of: context.on_behalf_of.map_or_else(String::new, member_id),
        min_revision: String::new(),
    })
}
