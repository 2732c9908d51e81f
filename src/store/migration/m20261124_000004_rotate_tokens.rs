//! Rotation: what a token took the place of, and what took its place. And requests by their ids, so that a retry is known.
//!
//! A version that knows nothing of it reads the tokens rightly: one that was rotated has let go of its name and expires.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

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
        for column in columns {
            // SQLite adds them one by one.
            let token = Table::alter().table("token").add_column(column).take();
            manager.alter_table(token).await?;
        }
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

/// A text column that is compared byte by byte on either database.
fn text(manager: &SchemaManager, name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(name);
    column.text();
    if manager.get_database_backend() == DbBackend::Postgres {
        column.extra("COLLATE \"C\"");
    }
    column
}

fn integer(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().take()
}
