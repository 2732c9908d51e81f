//! The table of raised generations: one row each time all tokens of a member or of a workspace were ended by one write.

use sea_orm::entity::prelude::*;

use super::origin;
use crate::{
    domain::{time::Timestamp, token::Revocation},
    store::fault::Abort,
};

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "revocation")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub workspace_id: String,
    /// Empty: all members of the workspace.
    #[sea_orm(primary_key, auto_increment = false)]
    pub member_id: String,
    /// The generation it raised to. Each raise is by one, so a token was ended by the row one above its own.
    #[sea_orm(primary_key, auto_increment = false)]
    pub generation: i64,
    pub revoked_at: i64,
    pub revoked_by_caller: String,
    pub revoked_by_actor: Option<String>,
    pub reason: String,
}

impl ActiveModelBehavior for ActiveModel {}

impl TryFrom<Model> for Revocation {
    type Error = Abort;

    fn try_from(row: Model) -> Result<Self, Abort> {
        Ok(Self {
            at: Timestamp(row.revoked_at),
            by: origin(&row.revoked_by_caller, row.revoked_by_actor.as_deref())?,
            reason: row.reason,
        })
    }
}
