//! `countersign authorize`: asks for one decision.

use clap::Args;

use super::{
    Failure,
    bearer::{Presented, reach_told, reason_told, undecided, whose},
    call,
    output::{Cell, Paint, Printing, Tone, record},
    remote::Caller,
};
use crate::pb::{
    AuthorizeRequest, AuthorizeResponse, DenyReason, Outcome, Resource,
    authorization_service_client::AuthorizationServiceClient, resource,
};

/// Ask whether the bearer of a token may do one thing
///
/// Reads the token from standard input, or from a file. Needs a service key with the grant `authorize`.
///
/// Exit codes: 0 allowed, 1 denied, 2 could not decide (no server, no key, a wrong request …), 64 the command line is
/// wrong.
#[derive(Debug, Args)]
#[command(after_help = "Example: countersign authorize --action bookings.read --bearer < token")]
pub(super) struct Authorize {
    /// What is to be done: `<resource type>.<verb>`, such as `bookings.read`
    #[arg(long)]
    action: String,

    /// The workspace the resource is in; with --bearer or --collection the token's own unless given
    #[arg(
        long,
        value_name = "WORKSPACE_ID",
        default_value = "",
        hide_default_value = true
    )]
    workspace: String,

    #[command(flatten)]
    owner: Owner,

    /// Tell how the decision came about
    #[arg(long)]
    explain: bool,

    #[command(flatten)]
    presented: Presented,

    #[command(flatten)]
    caller: Caller,

    #[command(flatten)]
    printing: Printing,
}

/// Whose the resource is.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Owner {
    /// It is this member's
    #[arg(long, value_name = "MEMBER_ID")]
    owner_id: Option<String>,

    /// It is the bearer's own, such as what is being created
    #[arg(long)]
    bearer: bool,

    /// It is a listing
    #[arg(long)]
    collection: bool,

    /// It is nobody's: a role that reaches only its own is denied
    #[arg(long)]
    no_owner: bool,
}

impl Owner {
    fn message(self) -> Option<resource::Owner> {
        match self.owner_id {
            Some(id) => Some(resource::Owner::OwnerId(id)),
            None if self.bearer => Some(resource::Owner::Bearer(true)),
            None if self.collection => Some(resource::Owner::Collection(true)),
            None => None,
        }
    }
}

impl Authorize {
    pub(super) fn run(self) -> Result<(), Failure> {
        call(self.ask()).map_err(undecided)
    }

    async fn ask(self) -> Result<(), Failure> {
        let token = self.presented.token()?;
        let session = self.caller.connect().await?;
        let request = AuthorizeRequest {
            token: token.expose().to_owned(),
            action: self.action,
            resource: Some(Resource {
                workspace_id: self.workspace,
                owner: self.owner.message(),
                ..Resource::default()
            }),
            context: self.presented.context(),
            explain: self.explain,
        };
        let mut client = AuthorizationServiceClient::new(session.channel());
        let answer = session.answer(client.authorize(session.request(request)).await)?;
        let decision = answer.decision.clone().unwrap_or_default();
        // Anything but the two is no decision, whatever a server may say.
        match decision.outcome() {
            Outcome::Allow => self.printing.answer(&answer, text),
            Outcome::Deny => {
                self.printing.answer(&answer, text)?;
                Err(Failure::Answered)
            }
            Outcome::Unspecified | Outcome::NotEvaluated => {
                Err(Failure::Undecided("the answer is no decision".to_owned()))
            }
        }
    }
}

fn text(answer: &AuthorizeResponse, paint: Paint) -> String {
    let decision = answer.decision.clone().unwrap_or_default();
    let outcome = match decision.outcome() {
        Outcome::Allow => Cell::new("ALLOW", Tone::Good),
        _ => Cell::new("DENY", Tone::Bad),
    };
    let mut fields = vec![("decision", outcome)];
    if decision.reason() != DenyReason::Unspecified {
        fields.push(("reason", reason_told(decision.reason()).into()));
    }
    fields.push(("message", decision.message.as_str().into()));
    if decision.outcome() == Outcome::Allow {
        fields.push(("reach", reach_told(decision.reach()).into()));
    }
    fields.extend(whose(answer.principal.as_deref()));
    if let Some(explanation) = &answer.explanation {
        fields.push(("rule", explanation.rule.as_str().into()));
        let reach = reach_told(explanation.reach());
        fields.push(("rule's reach", reach.into()));
        if !explanation.missing_scope.is_empty() {
            fields.push(("missing scope", explanation.missing_scope.as_str().into()));
        }
        fields.push(("policy", explanation.policy_hash.as_str().into()));
    }
    record(fields, paint)
}
