//! The table of members.

use sea_orm::entity::prelude::*;

use super::stored;
use crate::{
    domain::{
        directory::{Member, MemberState},
        ids::{MemberId, RoleName, WorkspaceId},
        shared::Mark,
        time::Timestamp,
    },
    store::fault::Abort,
};

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "member")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub workspace_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub member_id: String,
    pub role: String,
    pub state: String,
    pub generation: i64,
    pub version: i64,
    pub created_at: i64,
    pub updated_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}

impl TryFrom<Model> for Member {
    type Error = Abort;

    fn try_from(row: Model) -> Result<Self, Abort> {
        Ok(Self {
            workspace_id: stored("workspace id", WorkspaceId::parse(&row.workspace_id))?,
            member_id: stored("member id", MemberId::parse(&row.member_id))?,
            role: stored("role", RoleName::parse(&row.role))?,
            state: MemberState::parse(&row.state)
                .ok_or_else(|| Abort::corrupt(format!("member state `{}`", row.state)))?,
            generation: row.generation,
            version: row.version,
            created_at: Timestamp(row.created_at),
            updated_at: Timestamp(row.updated_at),
            is_outdated: Mark::default(),
        })
    }
}

impl From<&Member> for Model {
    fn from(member: &Member) -> Self {
        Self {
            workspace_id: member.workspace_id.to_string(),
            member_id: member.member_id.to_string(),
            role: member.role.to_string(),
            state: member.state.as_str().to_owned(),
            generation: member.generation,
            version: member.version,
            created_at: member.created_at.0,
            updated_at: member.updated_at.0,
        }
    }
}
