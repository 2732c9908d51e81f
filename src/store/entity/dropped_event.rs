//! The table of what is left of dropped events: their names, of many in a row.

use sea_orm::entity::prelude::*;

use crate::domain::ids::RevisionName;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "dropped_event")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub first_revision: i64,
    /// The starts of their ids, one behind the other.
    pub names: Vec<u8>,
}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Whether this is one of them.
    pub(in crate::store) fn has(&self, name: &RevisionName) -> bool {
        let place = name.number.checked_sub(self.first_revision);
        let place = place.and_then(|place| usize::try_from(place).ok());
        let mut starts = self.names.chunks(name.start().len());
        place.and_then(|place| starts.nth(place)) == Some(name.start())
    }
}
