//! The tables as sea-orm sees them. Plain columns only: what they mean is in `domain`, and each has its conversion beside
//! it.

/// Has types shown by some of their fields only.
macro_rules! debug_only {
    ($name:literal, $fields:tt, $($model:ty),+) => {
        $(debug_only!(@ $name, $fields, $model);)+
    };
    (@ $name:literal, [$($field:ident),+], $model:ty) => {
        impl std::fmt::Debug for $model {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct($name)
                    $(.field(stringify!($field), &self.$field))+
                    .finish_non_exhaustive()
            }
        }
    };
}

pub(super) mod dropped_event;
pub(super) mod event;
pub(super) mod feed_head;
pub(super) mod feed_tail;
pub(super) mod member;
pub(super) mod request;
pub(super) mod revocation;
pub(super) mod token;
pub(super) mod token_use;
pub(super) mod workspace;

use super::fault::Abort;
use crate::domain::{
    error::Problem,
    ids::{CallerName, MemberId, MemberKey, WorkspaceId},
    token::Origin,
};

/// Unwraps a stored value that was valid when it was written.
pub(super) fn stored<T>(what: &str, value: Result<T, Problem>) -> Result<T, Abort> {
    value.map_err(|problem| Abort::corrupt(format!("{what} {}", problem.description)))
}

/// An actor as one column: no id has a slash.
pub(super) fn actor_column(actor: Option<&MemberKey>) -> Option<String> {
    actor.map(|key| format!("{}/{}", key.workspace_id, key.member_id))
}

/// Who did something, from its two columns.
pub(super) fn origin(caller: &str, actor: Option<&str>) -> Result<Origin, Abort> {
    let actor = match actor.map(|text| text.split_once('/')) {
        None => None,
        Some(Some((workspace_id, member_id))) => Some(MemberKey {
            workspace_id: stored("actor", WorkspaceId::parse(workspace_id))?,
            member_id: stored("actor", MemberId::parse(member_id))?,
        }),
        Some(None) => return Err(Abort::corrupt("actor has no slash".to_owned())),
    };
    Ok(Origin {
        caller: stored("caller", CallerName::parse(caller))?,
        actor,
    })
}

/// The entities are written by hand and the tables by migrations: here they meet. On Postgres the driver checks types with
/// every row that a test reads.
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::collections::BTreeSet;

    use sea_orm::{ConnectionTrait, Database, DatabaseConnection, EntityTrait, Schema, Statement};
    use sea_orm_migration::MigratorTrait;

    use super::*;
    use crate::store::migration::Migrator;

    /// Name, type, whether it must be there and its place in the primary key, of each column. SQLite's types are names:
    /// one that holds `char` or `text` is text.
    async fn columns(
        db: &DatabaseConnection,
        table: &str,
    ) -> BTreeSet<(String, String, bool, bool)> {
        let sql = format!("SELECT name, type, \"notnull\", pk FROM pragma_table_info('{table}')");
        let statement = Statement::from_string(db.get_database_backend(), sql);
        let rows = db.query_all_raw(statement).await.unwrap();
        let column = |row: &sea_orm::QueryResult| {
            let kind: String = row.try_get_by_index(1).unwrap();
            let kind = match kind.to_lowercase() {
                kind if kind.contains("char") || kind.contains("text") => "text".to_owned(),
                kind if kind.contains("blob") => "blob".to_owned(),
                kind => kind,
            };
            let is_key = row.try_get_by_index::<i32>(3).unwrap() > 0;
            let must_be = is_key || row.try_get_by_index::<bool>(2).unwrap();
            (row.try_get_by_index(0).unwrap(), kind, must_be, is_key)
        };
        rows.iter().map(column).collect()
    }

    async fn assert_same<E: EntityTrait>(migrated: &DatabaseConnection, entity: E) {
        let declared = Database::connect("sqlite::memory:").await.unwrap();
        let schema = Schema::new(declared.get_database_backend());
        let table = schema.create_table_from_entity(entity);
        declared.execute(&table).await.unwrap();
        let name = entity.table_name();
        let expected = columns(migrated, name).await;
        assert!(!expected.is_empty(), "{name}");
        assert_eq!(columns(&declared, name).await, expected, "{name}");
    }

    #[tokio::test]
    async fn every_entity_declares_the_columns_of_its_table() {
        let db = Database::connect("sqlite::memory:").await.unwrap();
        Migrator::up(&db, None).await.unwrap();
        assert_same(&db, workspace::Entity).await;
        assert_same(&db, member::Entity).await;
        assert_same(&db, token::Entity).await;
        assert_same(&db, token_use::Entity).await;
        assert_same(&db, revocation::Entity).await;
        assert_same(&db, event::Entity).await;
        assert_same(&db, request::Entity).await;
        assert_same(&db, feed_head::Entity).await;
        assert_same(&db, feed_tail::Entity).await;
        assert_same(&db, dropped_event::Entity).await;
    }
}
