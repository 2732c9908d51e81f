//! What tokens are limited to: scopes, and networks of clients. Every token of before is limited to nothing.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // One at a time: SQLite adds no two columns in one statement.
        for name in ["scopes", "allowed_cidrs"] {
            let column = ColumnDef::new(name).text().take();
            let alter = Table::alter().table("token").add_column(column).take();
            manager.alter_table(alter).await?;
        }
        Ok(())
    }
}
