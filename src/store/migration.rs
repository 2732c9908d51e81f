//! The migrations, which alone change the schema. Each keeps the release before it working.

mod m20261124_000001_create_core;
mod m20261124_000002_bound_staleness;
mod m20261124_000003_limit_tokens;
mod m20261124_000004_rotate_tokens;
mod m20261124_000005_token_policy;
mod m20261124_000006_token_use;
mod m20261124_000007_notices;
mod m20261124_000008_idle_limit;
mod m20261124_000009_find_events;
mod m20261126_000001_drop_events;

use std::collections::HashSet;

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, EntityTrait};
use sea_orm_migration::{
    MigrationTrait, MigratorTrait, SchemaManager,
    async_trait::async_trait,
    sea_query::{ColumnDef, Table},
    seaql_migrations,
};

pub(super) struct Migrator;

#[async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261124_000001_create_core::Migration),
            Box::new(m20261124_000002_bound_staleness::Migration),
            Box::new(m20261124_000003_limit_tokens::Migration),
            Box::new(m20261124_000004_rotate_tokens::Migration),
            Box::new(m20261124_000005_token_policy::Migration),
            Box::new(m20261124_000006_token_use::Migration),
            Box::new(m20261124_000007_notices::Migration),
            Box::new(m20261124_000008_idle_limit::Migration),
            Box::new(m20261124_000009_find_events::Migration),
            Box::new(m20261126_000001_drop_events::Migration),
        ]
    }

    /// Those of the applied migrations that this version knows: a newer version may have applied more, and a rollback to
    /// this one must still start.
    async fn get_migration_models<C>(db: &C) -> Result<Vec<seaql_migrations::Model>, DbErr>
    where
        C: ConnectionTrait,
    {
        Self::install(db).await?;
        let known: HashSet<String> = Self::names().into_iter().collect();
        let mut applied = seaql_migrations::Entity::find().all(db).await?;
        applied.retain(|row| known.contains(&row.version));
        Ok(applied)
    }
}

impl Migrator {
    fn names() -> Vec<String> {
        Self::migrations()
            .iter()
            .map(|migration| migration.name().to_owned())
            .collect()
    }

    /// The migrations that this version knows and the database lacks, found without changing anything.
    pub(super) async fn pending(db: &DatabaseConnection) -> Result<Vec<String>, DbErr> {
        let manager = SchemaManager::new(db);
        let applied: HashSet<String> = match manager.has_table("seaql_migrations").await? {
            true => seaql_migrations::Entity::find().all(db).await?,
            false => Vec::new(),
        }
        .into_iter()
        .map(|row| row.version)
        .collect();
        let mut names = Self::names();
        names.retain(|name| !applied.contains(name));
        Ok(names)
    }
}

/// A text column that is compared byte by byte: SQLite's default, and on Postgres whatever the database's locale is, so
/// that no collation ever takes two ids for one.
fn text(manager: &SchemaManager, name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(name);
    column.text();
    if manager.get_database_backend() == DbBackend::Postgres {
        column.extra("COLLATE \"C\"");
    }
    column
}

fn integer(name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(name);
    column.big_integer();
    column
}

/// Adds columns to a table: one at a time, as SQLite takes no more in one statement.
async fn add_columns(
    manager: &SchemaManager<'_>,
    table: &'static str,
    columns: impl IntoIterator<Item = ColumnDef>,
) -> Result<(), DbErr> {
    for column in columns {
        let alter = Table::alter().table(table).add_column(column).take();
        manager.alter_table(alter).await?;
    }
    Ok(())
}
