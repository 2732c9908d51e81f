//! How old a replica's view may be, for all replicas; and an index that tells which peppers tokens hang on.

use sea_orm_migration::prelude::*;

/// What applies until somebody says otherwise: a second.
const DEFAULT_MILLIS: i64 = 1000;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let integer = |name: &'static str| ColumnDef::new(name).big_integer().not_null().take();
        let bound = Table::create()
            .table("staleness_bound")
            .col(ColumnDef::new("id").integer().not_null().primary_key())
            .col(integer("millis"))
            .col(integer("previous_millis"))
            .col(integer("changed_at"))
            .take();
        manager.create_table(bound).await?;
        let row = Query::insert()
            .into_table("staleness_bound")
            .columns(["id", "millis", "previous_millis", "changed_at"])
            .values_panic([
                1.into(),
                DEFAULT_MILLIS.into(),
                DEFAULT_MILLIS.into(),
                0_i64.into(),
            ])
            .take();
        manager.execute(row).await?;
        let by_pepper = Index::create()
            .name("token_by_pepper")
            .table("token")
            .col("pepper_id")
            .and_where(Expr::col("revoked_at").is_null())
            .take();
        manager.create_index(by_pepper).await
    }
}
