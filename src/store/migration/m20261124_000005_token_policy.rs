//! What a workspace asks of its tokens.

use sea_orm_migration::prelude::*;

use super::{add_columns, integer};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = [
            ColumnDef::new("require_expiry")
                .boolean()
                .not_null()
                .default(false)
                .take(),
            integer("max_lifetime"),
            integer("default_lifetime"),
            ColumnDef::new("max_live_tokens").integer().take(),
        ];
        add_columns(manager, "workspace", columns).await
    }
}
