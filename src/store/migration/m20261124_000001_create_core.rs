//! Workspaces, members, tokens, raised generations, and the feed with its first event.

use sea_orm_migration::prelude::*;

use super::{integer, text};
use crate::domain::{ids::EventId, time::Clock};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create_directory(manager).await?;
        create_token(manager).await?;
        create_feed(manager).await
    }
}

async fn create_directory(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let workspace = Table::create()
        .table("workspace")
        .col(text(manager, "workspace_id").not_null().primary_key())
        .col(text(manager, "name").not_null())
        .col(text(manager, "state").not_null())
        .col(integer("generation").not_null())
        .col(integer("version").not_null())
        .col(integer("created_at").not_null())
        .col(integer("updated_at").not_null())
        .take();
    manager.create_table(workspace).await?;
    let member = Table::create()
        .table("member")
        .col(text(manager, "workspace_id").not_null())
        .col(text(manager, "member_id").not_null())
        .col(text(manager, "role").not_null())
        .col(text(manager, "state").not_null())
        .col(integer("generation").not_null())
        .col(integer("version").not_null())
        .col(integer("created_at").not_null())
        .col(integer("updated_at").not_null())
        .primary_key(Index::create().col("workspace_id").col("member_id"))
        .foreign_key(
            ForeignKey::create()
                .from("member", "workspace_id")
                .to("workspace", "workspace_id"),
        )
        .take();
    manager.create_table(member).await?;
    let revocation = Table::create()
        .table("revocation")
        .col(text(manager, "workspace_id").not_null())
        .col(text(manager, "member_id").not_null())
        .col(integer("generation").not_null())
        .col(integer("revoked_at").not_null())
        .col(text(manager, "revoked_by_caller").not_null())
        .col(text(manager, "revoked_by_actor"))
        .col(text(manager, "reason").not_null())
        .primary_key(
            Index::create()
                .col("workspace_id")
                .col("member_id")
                .col("generation"),
        )
        .take();
    manager.create_table(revocation).await
}

async fn create_token(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let token = Table::create()
        .table("token")
        .col(text(manager, "token_id").not_null().primary_key())
        .col(text(manager, "workspace_id").not_null())
        .col(text(manager, "member_id").not_null())
        .col(integer("workspace_generation").not_null())
        .col(integer("member_generation").not_null())
        .col(text(manager, "name").not_null())
        .col(text(manager, "name_key").not_null())
        .col(ColumnDef::new("name_released").boolean().not_null())
        .col(text(manager, "hint").not_null())
        .col(ColumnDef::new("digest").blob().not_null().unique_key())
        .col(text(manager, "pepper_id").not_null())
        .col(ColumnDef::new("rules_version").integer().not_null())
        .col(integer("created_at").not_null())
        .col(integer("expires_at"))
        .col(integer("revoked_at"))
        .col(text(manager, "revoked_by_caller"))
        .col(text(manager, "revoked_by_actor"))
        .col(text(manager, "revoke_reason"))
        .foreign_key(
            ForeignKey::create()
                .from("token", ("workspace_id", "member_id"))
                .to("member", ("workspace_id", "member_id")),
        )
        .take();
    manager.create_table(token).await?;
    // A name is unique among the tokens that neither were revoked nor ended with a generation.
    let name = Index::create()
        .name("token_name")
        .table("token")
        .unique()
        .col("workspace_id")
        .col("member_id")
        .col("workspace_generation")
        .col("member_generation")
        .col("name_key")
        .and_where(Expr::col("revoked_at").is_null())
        .and_where(Expr::col("name_released").not())
        .take();
    manager.create_index(name).await?;
    // Both listings, newest first: of a workspace and of a member.
    let by_workspace = Index::create()
        .name("token_by_workspace")
        .table("token")
        .col("workspace_id")
        .col("created_at")
        .col("token_id")
        .take();
    manager.create_index(by_workspace).await?;
    let by_member = Index::create()
        .name("token_by_member")
        .table("token")
        .col("workspace_id")
        .col("member_id")
        .col("created_at")
        .col("token_id")
        .take();
    manager.create_index(by_member).await
}

async fn create_feed(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let head = Table::create()
        .table("feed_head")
        .col(ColumnDef::new("id").integer().not_null().primary_key())
        .col(integer("revision").not_null())
        .col(ColumnDef::new("event_id").blob().not_null())
        .take();
    manager.create_table(head).await?;
    let event = Table::create()
        .table("event")
        .col(integer("revision").not_null().primary_key())
        .col(ColumnDef::new("event_id").blob().not_null().unique_key())
        .col(integer("at").not_null())
        .col(text(manager, "kind").not_null())
        .col(text(manager, "caller").not_null())
        .col(text(manager, "actor"))
        .col(text(manager, "workspace_id").not_null())
        .col(text(manager, "member_id"))
        .col(text(manager, "token_id"))
        .col(text(manager, "details").not_null())
        .take();
    manager.create_table(event).await?;
    let by_workspace = Index::create()
        .name("event_by_workspace")
        .table("event")
        .col("workspace_id")
        .col("revision")
        .take();
    manager.create_index(by_workspace).await?;
    write_first_event(manager).await
}

/// Event 0, whose random id tells this feed from every other.
async fn write_first_event(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let event_id = EventId::random().map_err(|error| DbErr::Custom(error.to_string()))?;
    let head = Query::insert()
        .into_table("feed_head")
        .columns(["id", "revision", "event_id"])
        .values_panic([1.into(), 0_i64.into(), event_id.0.to_vec().into()])
        .take();
    manager.execute(head).await?;
    let event = Query::insert()
        .into_table("event")
        .columns([
            "revision",
            "event_id",
            "at",
            "kind",
            "caller",
            "workspace_id",
            "details",
        ])
        .values_panic([
            0_i64.into(),
            event_id.0.to_vec().into(),
            Clock::system().now().0.into(),
            "FEED_STARTED".into(),
            "".into(),
            "".into(),
            r#"{"kind":"FEED_STARTED"}"#.into(),
        ])
        .take();
    manager.execute(event).await
}
