//! When tokens were last used. Beside the tokens, so that what is written all the time moves none of what decisions read, and
//! without a foreign key, which would have every write look for its token.

use sea_orm_migration::prelude::*;

use super::{integer, text};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let token_use = Table::create()
            .table("token_use")
            .col(text(manager, "token_id").not_null().primary_key())
            .col(integer("last_used_at").not_null())
            .take();
        manager.create_table(token_use).await
    }
}
