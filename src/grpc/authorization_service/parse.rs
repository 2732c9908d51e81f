//! Reading what is asked of AuthorizationService.

use zeroize::Zeroizing;

use crate::{
    domain::{
        action::Action,
        address::ClientIp,
        decide::{Ask, BatchMode, Circumstances, Owner},
        error::{Error, Problem, ProblemReason},
        ids::{MemberId, RevisionName, WorkspaceId},
    },
    grpc::fields::{Fields, only_true},
    pb::{self, AuthorizeRequest, BatchAuthorizeRequest},
};

/// The longest resource id, in bytes.
const MAX_RESOURCE_ID: usize = 256;
/// How many checks a batch may have.
const MAX_CHECKS: usize = 1000;

/// What a bearer presented, unchecked since it is the bearer's.
pub(super) type Token = Zeroizing<String>;

/// What goes for all that is asked in one request.
pub(super) struct Context {
    /// Of these `on_behalf_of` is unchecked: the bearer may be the one who says it.
    pub(super) circumstances: Circumstances,
    /// Which change the state must include.
    pub(super) min_revision: Option<RevisionName>,
}

/// One thing to decide.
pub(super) fn one(request: AuthorizeRequest) -> Result<(Token, Ask, Context), Error> {
    let token = Zeroizing::new(request.token);
    let mut fields = Fields::default();
    let context = read_context(&mut fields, request.context);
    let resource = request.resource.unwrap_or_default();
    let ask = ask(&mut fields, &request.action, &resource);
    let (Some(context), Some(mut ask)) = (context, ask) else {
        return Err(fields.into_error());
    };
    fields.finish()?;
    ask.circumstances = context.circumstances.clone();
    Ok((token, ask, context))
}

/// Many things to decide for one bearer.
pub(super) fn batch(
    request: BatchAuthorizeRequest,
) -> Result<(Token, Vec<Ask>, BatchMode, Context), Error> {
    let token = Zeroizing::new(request.token);
    let mut fields = Fields::default();
    let context = read_context(&mut fields, request.context);
    let mode = fields.read("mode", batch_mode(request.mode));
    fields.read("checks", check_number(request.checks.len()));
    let mut asks = Vec::with_capacity(request.checks.len().min(MAX_CHECKS));
    for (i, check) in request.checks.into_iter().take(MAX_CHECKS).enumerate() {
        fields.within(format!("checks[{i}]."));
        let resource = check.resource.unwrap_or_default();
        asks.extend(ask(&mut fields, &check.action, &resource));
    }
    let (Some(context), Some(mode)) = (context, mode) else {
        return Err(fields.into_error());
    };
    fields.finish()?;
    for ask in &mut asks {
        ask.circumstances = context.circumstances.clone();
    }
    Ok((token, asks, mode, context))
}

/// The context alone.
pub(super) fn context(context: Option<pb::Context>) -> Result<Context, Error> {
    let mut fields = Fields::default();
    read_context(&mut fields, context).ok_or_else(|| fields.into_error())
}

fn read_context(fields: &mut Fields, context: Option<pb::Context>) -> Option<Context> {
    let context = context.unwrap_or_default();
    let client_ip = match context.client_ip.as_str() {
        "" => Some(None),
        text => fields
            .read("context.client_ip", ClientIp::parse(text))
            .map(Some),
    };
    let min_revision = match context.min_revision.as_str() {
        "" => Some(None),
        text => fields
            .read("context.min_revision", RevisionName::parse(text))
            .map(Some),
    };
    Some(Context {
        circumstances: Circumstances {
            on_behalf_of: Some(context.on_behalf_of)
                .filter(|other| !other.is_empty())
                .map(Into::into),
            client_ip: client_ip?,
        },
        min_revision: min_revision?,
    })
}

fn batch_mode(mode: i32) -> Result<BatchMode, Problem> {
    match pb::BatchMode::try_from(mode) {
        Ok(pb::BatchMode::All) => Ok(BatchMode::All),
        Ok(pb::BatchMode::StopAtFirstDeny) => Ok(BatchMode::StopAtFirstDeny),
        Ok(pb::BatchMode::StopAtFirstAllow) => Ok(BatchMode::StopAtFirstAllow),
        Ok(pb::BatchMode::Unspecified) | Err(_) => Err(Problem::new(
            ProblemReason::Malformed,
            "must be ALL, STOP_AT_FIRST_DENY or STOP_AT_FIRST_ALLOW",
        )),
    }
}

fn check_number(number: usize) -> Result<(), Problem> {
    match number {
        0 => Err(Problem::required()),
        1..=MAX_CHECKS => Ok(()),
        _ => Err(Problem::too_long(MAX_CHECKS, "checks")),
    }
}

fn ask(fields: &mut Fields, action: &str, resource: &pb::Resource) -> Option<Ask> {
    let action = fields.read("action", Action::parse(action));
    let id = fields.read("resource.id", within(&resource.id, MAX_RESOURCE_ID));
    if let Some(action) = &action {
        let matches = matches_action(&resource.r#type, action);
        fields.read("resource.type", matches);
    }
    let owner = owner(fields, resource.owner.as_ref());
    let workspace_id = workspace(fields, &resource.workspace_id, owner.as_ref());
    id?;
    Some(Ask {
        action: action?,
        workspace_id: workspace_id?,
        owner: owner?,
        circumstances: Circumstances::default(),
    })
}

fn within(id: &str, limit: usize) -> Result<(), Problem> {
    match id.len() > limit {
        true => Err(Problem::too_long(limit, "bytes")),
        false => Ok(()),
    }
}

fn matches_action(resource_type: &str, action: &Action) -> Result<(), Problem> {
    if resource_type.is_empty() || resource_type == action.resource_type() {
        return Ok(());
    }
    let expected = action.resource_type();
    let description = format!("must be the action's, `{expected}`, or left out");
    Err(Problem::new(ProblemReason::Conflict, description).with("expected", expected))
}

fn owner(fields: &mut Fields, owner: Option<&pb::resource::Owner>) -> Option<Owner> {
    use pb::resource::Owner as Form;

    match owner {
        None => Some(Owner::Nobody),
        Some(Form::OwnerId(id)) => fields
            .read("resource.owner_id", MemberId::parse(id))
            .map(Owner::Member),
        Some(Form::Bearer(flag)) => fields
            .read("resource.bearer", only_true(*flag))
            .map(|()| Owner::Bearer),
        Some(Form::Collection(flag)) => fields
            .read("resource.collection", only_true(*flag))
            .map(|()| Owner::Collection),
    }
}

/// The workspace, which may be left out (`Some(None)`) only where the token's own is meant.
fn workspace(fields: &mut Fields, id: &str, owner: Option<&Owner>) -> Option<Option<WorkspaceId>> {
    let may_be_empty = matches!(owner, Some(Owner::Bearer | Owner::Collection));
    if id.is_empty() && may_be_empty {
        return Some(None);
    }
    fields
        .read("resource.workspace_id", WorkspaceId::parse(id))
        .map(Some)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_batch_holds_its_context_once() {
        let request = BatchAuthorizeRequest {
            token: "anything".to_owned(),
            checks: vec![
                pb::Check {
                    action: "bookings.read".to_owned(),
                    resource: Some(pb::Resource {
                        owner: Some(pb::resource::Owner::Bearer(true)),
                        ..Default::default()
                    }),
                };
                MAX_CHECKS
            ],
            context: Some(pb::Context {
                on_behalf_of: "x".repeat(900_000),
                ..Default::default()
            }),
            mode: pb::BatchMode::All.into(),
        };
        let asks = batch(request).map(|(_, asks, ..)| asks);
        let asks = asks.unwrap_or_default();
        assert_eq!(asks.len(), MAX_CHECKS);
        let of = |ask: &Ask| ask.circumstances.on_behalf_of.clone().unwrap_or_default();
        let first = of(&asks[0]);
        assert_eq!(first.len(), 900_000);
        assert!(asks.iter().all(|ask| Arc::ptr_eq(&of(ask), &first)));
    }
}
