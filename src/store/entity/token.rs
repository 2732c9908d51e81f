//! The table of tokens.

use std::fmt;

use sea_orm::entity::prelude::*;

use super::{origin, stored};
use crate::{
    domain::{
        address::Cidr,
        error::{Error, Problem},
        ids::{MemberId, MemberKey, TokenId, WorkspaceId},
        scope::Scope,
        secret::Hint,
        shared::Mark,
        time::Timestamp,
        token::{Extras, LIMITED_RULES, LastUse, Limits, PLAIN_RULES, Revocation, Rotated, Token},
    },
    store::fault::Abort,
};

#[sea_orm::model]
#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "token")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub token_id: String,
    pub workspace_id: String,
    pub member_id: String,
    pub workspace_generation: i64,
    pub member_generation: i64,
    pub name: String,
    /// What is equal for equal names.
    pub name_key: String,
    /// Whether another live token may have the name: set when an expired one has to make room.
    pub name_released: bool,
    pub hint: String,
    #[sea_orm(unique)]
    pub digest: Vec<u8>,
    pub pepper_id: String,
    pub rules_version: i32,
    pub created_at: i64,
    pub expires_at: Option<i64>,
    pub revoked_at: Option<i64>,
    pub revoked_by_caller: Option<String>,
    pub revoked_by_actor: Option<String>,
    pub revoke_reason: Option<String>,
    /// With spaces between.
    pub scopes: Option<String>,
    /// With spaces between.
    pub allowed_cidrs: Option<String>,
    pub predecessor_id: Option<String>,
    pub successor_id: Option<String>,
    /// When it was first presented after its overlap with the successor was over.
    pub reused_at: Option<i64>,
    /// How many of its notices are behind it.
    pub notified: i32,
}

impl ActiveModelBehavior for ActiveModel {}

// The digest is nobody's business, not even a log's.
debug_only!("token", [token_id], Model, ModelEx);

impl TryFrom<Model> for Token {
    type Error = Abort;

    /// Refuses a row of rules that this version does not know: whatever else it holds might mean less than it seems.
    fn try_from(row: Model) -> Result<Self, Abort> {
        let limits = limits(&row)?;
        let revoked = match (row.revoked_at, &row.revoked_by_caller) {
            (Some(at), Some(caller)) => Some(Box::new(Revocation {
                at: Timestamp(at),
                by: origin(caller, row.revoked_by_actor.as_deref())?,
                reason: row.revoke_reason.unwrap_or_default(),
            })),
            (None, None) => None,
            _ => return Err(Abort::corrupt("token is half revoked".to_owned())),
        };
        let stored_id = |id: String| stored("token id", TokenId::parse(&id));
        let is_reuse_recorded = row.reused_at.is_some();
        let rotated = row.successor_id.map(stored_id).transpose()?;
        let rotated = rotated.map(|successor_id| Rotated {
            successor_id,
            is_reuse_recorded,
        });
        let extras = Extras {
            limits,
            predecessor_id: row.predecessor_id.map(stored_id).transpose()?,
            rotated,
        };
        let hint = Hint::parse(&row.hint);
        Ok(Self {
            token_id: stored_id(row.token_id)?,
            member: MemberKey {
                workspace_id: stored("workspace id", WorkspaceId::parse(&row.workspace_id))?,
                member_id: stored("member id", MemberId::parse(&row.member_id))?,
            },
            workspace_generation: row.workspace_generation,
            member_generation: row.member_generation,
            name: row.name.into(),
            hint: hint.ok_or_else(|| Abort::corrupt("token hint is malformed".to_owned()))?,
            created_at: Timestamp(row.created_at),
            expires_at: row.expires_at.map(Timestamp),
            // That of another table's is not known here.
            last_use: LastUse::issued(Timestamp(row.created_at)),
            extras: extras.boxed(),
            revoked,
            awaits_record: Mark::default(),
        })
    }
}

/// What the token is limited to. Limits that are lost must never make it a plain one.
fn limits(row: &Model) -> Result<Limits, Abort> {
    let [scopes, allowed_cidrs] = [&row.scopes, &row.allowed_cidrs];
    match (
        row.rules_version,
        scopes.is_some() || allowed_cidrs.is_some(),
    ) {
        (PLAIN_RULES, false) => Ok(Limits::default()),
        (LIMITED_RULES, true) => {
            let limits = Limits {
                scopes: stored("scopes", each(scopes.as_deref(), Scope::parse))?,
                allowed_cidrs: stored("networks", each(allowed_cidrs.as_deref(), Cidr::parse))?,
            };
            Ok(limits)
        }
        (PLAIN_RULES | LIMITED_RULES, _) => Err(Abort::corrupt("token is half limited".to_owned())),
        _ => Err(Error::NewerRulesNeeded.into()),
    }
}

/// A list as one column; nothing for an empty one.
pub(in crate::store) fn list_column<T: fmt::Display>(items: &[T]) -> Option<String> {
    let texts: Vec<String> = items.iter().map(T::to_string).collect();
    (!texts.is_empty()).then(|| texts.join(" "))
}

/// The items of such a column. One that is there has some.
fn each<T>(
    column: Option<&str>,
    parse: impl Fn(&str) -> Result<T, Problem>,
) -> Result<Vec<T>, Problem> {
    let items = column.into_iter().flat_map(|text| text.split(' '));
    items.map(parse).collect()
}
