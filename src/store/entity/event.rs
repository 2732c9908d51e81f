//! The table of events: the audit trail and the feed in one.

use sea_orm::entity::prelude::*;

use crate::{
    domain::{
        event::Event,
        ids::{EventId, Revision},
        time::Timestamp,
    },
    store::fault::Abort,
};

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "event")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub revision: i64,
    pub event_id: Vec<u8>,
    pub at: i64,
    pub kind: String,
    pub caller: String,
    pub actor: Option<String>,
    pub workspace_id: String,
    pub member_id: Option<String>,
    pub token_id: Option<String>,
    /// A JSON object that repeats the kind.
    pub details: String,
}

impl ActiveModelBehavior for ActiveModel {}

/// A position from its two columns.
pub(in crate::store) fn revision(number: i64, event_id: &[u8]) -> Result<Revision, Abort> {
    let event_id = <[u8; 16]>::try_from(event_id)
        .map_err(|_| Abort::corrupt(format!("event id at revision {number}")))?;
    Ok(Revision {
        number,
        event_id: EventId(event_id),
    })
}

impl TryFrom<Model> for Event {
    type Error = Abort;

    fn try_from(row: Model) -> Result<Self, Abort> {
        Ok(Self {
            revision: revision(row.revision, &row.event_id)?,
            at: Timestamp(row.at),
            caller: row.caller,
            actor: row.actor.as_deref().and_then(|actor| {
                actor.split_once('/').map(|(workspace_id, member_id)| {
                    (workspace_id.to_owned(), member_id.to_owned())
                })
            }),
            workspace_id: row.workspace_id,
            member_id: row.member_id,
            token_id: row.token_id,
            details: serde_json::from_str(&row.details).ok(),
        })
    }
}
