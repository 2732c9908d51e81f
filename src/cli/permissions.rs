//! `countersign permissions`: whose a token is and what it may do.

use clap::Args;

use super::{
    Failure,
    bearer::{Presented, reach_told, reason_told, undecided, whose},
    call,
    output::{Cell, Paint, Printing, Table, Tone, record},
    remote::Caller,
};
use crate::pb::{
    DenyReason, ListPermissionsRequest, ListPermissionsResponse,
    authorization_service_client::AuthorizationServiceClient,
};

/// Tell whose a token is and everything it may do now
///
/// Reads the token from standard input, or from a file. Needs a service key with the grant `authorize`.
///
/// Exit codes: 0 the token is good, 1 it is not, 2 could not tell (no server, no key …), 64 the command line is wrong.
#[derive(Debug, Args)]
pub(super) struct Permissions {
    #[command(flatten)]
    presented: Presented,

    #[command(flatten)]
    caller: Caller,

    #[command(flatten)]
    printing: Printing,
}

impl Permissions {
    pub(super) fn run(self) -> Result<(), Failure> {
        call(self.ask()).map_err(undecided)
    }

    async fn ask(self) -> Result<(), Failure> {
        let token = self.presented.token()?;
        let session = self.caller.connect().await?;
        let request = ListPermissionsRequest {
            token: token.expose().to_owned(),
            context: self.presented.context(),
        };
        let mut client = AuthorizationServiceClient::new(session.channel());
        let answer = client.list_permissions(session.request(request)).await;
        let answer = session.answer(answer)?;
        self.printing.answer(&answer, text)?;
        match answer.reason() {
            DenyReason::Unspecified => Ok(()),
            _ => Err(Failure::Answered),
        }
    }
}

fn text(answer: &ListPermissionsResponse, paint: Paint) -> String {
    let state = match answer.reason() {
        DenyReason::Unspecified => Cell::new("good", Tone::Good),
        reason => Cell::new(reason_told(reason), Tone::Bad),
    };
    let mut fields = vec![("state", state)];
    fields.extend(whose(answer.principal.as_ref()));
    let mut text = record(fields, paint);
    if !answer.permissions.is_empty() {
        let mut table = Table::new(&["ACTION", "REACH"]);
        for permission in &answer.permissions {
            let reach = reach_told(permission.reach());
            table.row([permission.action.as_str().into(), reach.into()]);
        }
        text.push('\n');
        text.push_str(&table.text(paint));
    }
    text
}
