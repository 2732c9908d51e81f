//! The table of when tokens were last used.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "token_use")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub token_id: String,
    pub last_used_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}
