//! What a workspace asks of its tokens.

use sea_orm_migration::prelude::*;

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
            ColumnDef::new("max_lifetime").big_integer().take(),
            ColumnDef::new("default_lifetime").big_integer().take(),
            ColumnDef::new("max_live_tokens").integer().take(),
        ];
        // One at a time: SQLite adds no more with one statement.
        for column in columns {
            let alter = Table::alter().table("workspace").add_column(column).take();
            manager.alter_table(alter).await?;
        }
        Ok(())
    }
}
