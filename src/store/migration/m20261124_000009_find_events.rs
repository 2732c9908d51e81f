//! What happened to a token, found however many events there are.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let by_token = Index::create()
            .name("event_by_token")
            .table("event")
            .col("token_id")
            .col("revision")
            .take();
        manager.create_index(by_token).await
    }
}
