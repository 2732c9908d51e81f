//! How many of a token's notices of its expiry are behind it, and an index that leads to those that are due.
//!
//! A version that knows nothing of it issues tokens with none behind them, and whoever tells finds out which were due then.

use sea_orm_migration::prelude::*;

use super::add_columns;
use crate::domain::{notice::NOTICES, time::Clock};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let notified = ColumnDef::new("notified")
            .integer()
            .not_null()
            .default(0)
            .take();
        add_columns(manager, "token", [notified]).await?;
        // What has expired by now is nobody's news.
        let expired = Query::update()
            .table("token")
            .value("notified", NOTICES)
            .and_where(Expr::col("expires_at").lte(Clock::system().now().0))
            .take();
        manager.execute(expired).await?;
        let by_notice = Index::create()
            .name("token_by_notice")
            .table("token")
            .col("notified")
            .col("expires_at")
            .col("token_id")
            .and_where(Expr::col("revoked_at").is_null())
            .and_where(Expr::col("expires_at").is_not_null())
            .take();
        manager.create_index(by_notice).await
    }
}
