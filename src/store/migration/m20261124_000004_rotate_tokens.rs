//! Rotation: what a token took the place of, and what took its place. And requests by their ids, so that a retry is known.
//!
//! A version that knows nothing of it reads the tokens rightly: one that was rotated has let go of its name and expires.

use sea_orm_migration::prelude::*;

use super::{add_columns, integer, text};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = [
            text(manager, "predecessor_id"),
            text(manager, "successor_id"),
            integer("reused_at"),
        ];
        add_columns(manager, "token", columns).await?;
        let request = Table::create()
            .table("request")
            .col(text(manager, "caller").not_null())
            .col(text(manager, "request_id").not_null())
            .col(ColumnDef::new("content").blob().not_null())
            .col(text(manager, "token_id"))
            .col(integer("created_at").not_null())
            .primary_key(Index::create().col("caller").col("request_id"))
            .take();
        manager.create_table(request).await?;
        // To forget the oldest.
        let by_time = Index::create()
            .name("request_by_time")
            .table("request")
            .col("created_at")
            .take();
        manager.create_index(by_time).await
    }
}
