//! What tokens are limited to: scopes, and networks of clients. Every token of before is limited to nothing.

use sea_orm_migration::prelude::*;

use super::add_columns;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = ["scopes", "allowed_cidrs"].map(|name| ColumnDef::new(name).text().take());
        add_columns(manager, "token", columns).await
    }
}
