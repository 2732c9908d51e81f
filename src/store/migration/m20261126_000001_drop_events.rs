//! Where the feed begins once old events are dropped, and the names of those that were.

use sea_orm_migration::prelude::*;

use super::integer;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let tail = Table::create()
            .table("feed_tail")
            .col(ColumnDef::new("id").integer().not_null().primary_key())
            .col(integer("revision").not_null())
            .take();
        manager.create_table(tail).await?;
        let row = Query::insert()
            .into_table("feed_tail")
            .columns(["id", "revision"])
            .values_panic([1.into(), 0_i64.into()])
            .take();
        manager.execute(row).await?;
        let dropped = Table::create()
            .table("dropped_event")
            .col(integer("first_revision").not_null().primary_key())
            .col(ColumnDef::new("names").blob().not_null())
            .take();
        manager.create_table(dropped).await
    }
}
