//! `countersign restore-guard`: ends the tokens that a restored backup brought back.

use clap::Args;

use super::{
    Failure,
    output::{Cell, Printing, Table},
};
use crate::{
    config::{self, PepperFlags, Sources},
    domain::{
        ids::{CallerName, WorkspaceId},
        name::parse_reason,
        policy::Policy,
        secret::TokenFormat,
        time::Clock,
        token::Origin,
    },
    service::{PageRequest, RevokeAllRequest, Rules, Service},
    store::Store,
    view::{self, View},
};

/// How many workspaces are looked at in one go.
const PAGE: u64 = 500;

/// After a restored backup, end the tokens of all or of named workspaces
///
/// A backup knows nothing of what was revoked after it was made: restored, it brings those tokens back to life. This ends
/// every token of the workspaces, in one write each, and says how many were live; their members issue new ones. Run it
/// after the restore and before anything serves from the database. On SQLite no server may be running.
#[derive(Debug, Args)]
pub(super) struct RestoreGuard {
    /// End the tokens of every workspace
    #[arg(
        long,
        required_unless_present = "workspaces",
        conflicts_with = "workspaces"
    )]
    all: bool,

    /// End the tokens of this workspace; can be given several times
    #[arg(long = "workspace", value_name = "WORKSPACE_ID")]
    workspaces: Vec<String>,

    /// Why, for the record of each token: at most 500 characters
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "the database was restored from a backup"
    )]
    reason: String,

    #[command(flatten)]
    flags: PepperFlags,

    #[command(flatten)]
    printing: Printing,
}

impl RestoreGuard {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let named = named(&self.workspaces)?;
        let reason = parse_reason(&self.reason)
            .map_err(|problem| Failure::Usage(format!("the reason {}", problem.description)))?;
        let (ring, url) = config::load_peppers(&Sources::gather(self.flags.0)?)?;
        let clock = Clock::system();
        let store = Store::open(&url, &ring, clock.clone())
            .await
            .map_err(Failure::of)?;
        // The policy has no say in this; any will do.
        let policy =
            Policy::embedded().map_err(|_| Failure::of("the embedded policy is broken"))?;
        let rules = Rules {
            policy,
            format: TokenFormat::default(),
            ring,
        };
        // Nothing is decided here, so it is never asked.
        let view = View::new(&store, &view::Settings::unused(&url), &clock).map_err(Failure::of)?;
        let service = Service::new(store.clone(), rules, clock, view);
        let caller =
            CallerName::parse("restore-guard").map_err(|_| Failure::of("no such caller"))?;
        let origin = Origin {
            caller,
            actor: None,
        };
        let workspaces = match self.all {
            true => every_workspace(&service).await?,
            false => named,
        };
        let mut ended = Vec::new();
        for workspace_id in workspaces {
            let live = service
                .count_live_tokens(&workspace_id)
                .await
                .map_err(Failure::of)?;
            let request = RevokeAllRequest {
                origin: origin.clone(),
                workspace_id: workspace_id.clone(),
                member_id: None,
                reason: reason.clone(),
                wait_for_replicas: false,
            };
            service.revoke_tokens(request).await.map_err(Failure::of)?;
            ended.push((workspace_id, live));
        }
        store.close().await;
        tell(&self.printing, &ended)
    }
}

fn named(ids: &[String]) -> Result<Vec<WorkspaceId>, Failure> {
    let parsed = ids.iter().map(|id| {
        WorkspaceId::parse(id)
            .map_err(|problem| Failure::Usage(format!("workspace `{id}` {}", problem.description)))
    });
    parsed.collect()
}

async fn every_workspace(service: &Service) -> Result<Vec<WorkspaceId>, Failure> {
    let mut all = Vec::new();
    let mut token = String::new();
    loop {
        let page = service
            .list_workspaces(PageRequest { size: PAGE, token })
            .await
            .map_err(Failure::of)?;
        let ids = page
            .items
            .iter()
            .map(|workspace| workspace.workspace_id.clone());
        all.extend(ids);
        match all.last() {
            Some(last) if page.has_more => token = service.page_token(&page.filter, last.as_str()),
            _ => return Ok(all),
        }
    }
}

fn tell(printing: &Printing, ended: &[(WorkspaceId, u64)]) -> Result<(), Failure> {
    let json = serde_json::Value::from_iter(ended.iter().map(|(workspace_id, live)| {
        serde_json::json!({"workspace_id": workspace_id.as_str(), "live_tokens_ended": live})
    }));
    printing.value(&json, |paint| {
        if ended.is_empty() {
            return "there is no workspace\n".to_owned();
        }
        let mut table = Table::new(&["WORKSPACE", "LIVE TOKENS ENDED"]);
        for (workspace_id, live) in ended {
            table.row([
                Cell::from(workspace_id.as_str()),
                Cell::from(live.to_string()),
            ]);
        }
        table.text(paint)
    })
}
