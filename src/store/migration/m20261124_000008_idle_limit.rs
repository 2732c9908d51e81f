//! What else a workspace asks of its tokens: that they are used, and what becomes of the family of one that is reused.

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
            integer("idle_limit"),
            ColumnDef::new("revoke_family_on_reuse")
                .boolean()
                .not_null()
                .default(false)
                .take(),
        ];
        add_columns(manager, "workspace", columns).await
    }
}
