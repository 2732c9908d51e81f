//! The one row that holds the newest position of the feed.

use sea_orm::entity::prelude::*;

use super::event::revision;
use crate::{domain::ids::Revision, store::fault::Abort};

/// The only row's key.
pub(in crate::store) const ONLY: i32 = 1;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "feed_head")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i32,
    pub revision: i64,
    pub event_id: Vec<u8>,
}

impl ActiveModelBehavior for ActiveModel {}

impl TryFrom<Model> for Revision {
    type Error = Abort;

    fn try_from(row: Model) -> Result<Self, Abort> {
        revision(row.revision, &row.event_id)
    }
}
