//! When tokens were last used. Beside the tokens, so that what is written all the time moves none of what decisions read, and
//! without a foreign key, which would have every write look for its token.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut token_id = ColumnDef::new("token_id");
        token_id.text().not_null().primary_key();
        if manager.get_database_backend() == DbBackend::Postgres {
            token_id.extra("COLLATE \"C\"");
        }
        let mut last_used_at = ColumnDef::new("last_used_at");
        last_used_at.big_integer().not_null();
        let token_use = Table::create()
            .table("token_use")
            .col(token_id)
            .col(last_used_at)
            .take();
        manager.create_table(token_use).await
    }
}
