//! The table of requests that were made under an id of their caller's.

use sea_orm::entity::prelude::*;

use super::stored;
use crate::{
    domain::{ids::TokenId, request::ContentDigest},
    store::{fault::Abort, requests::PastRequest},
};

#[sea_orm::model]
#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "request")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub caller: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub request_id: String,
    /// What was asked for, as a keyed hash.
    pub content: Vec<u8>,
    /// The token that the request came to, if it came to any.
    pub token_id: Option<String>,
    pub created_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}

// The content is nobody's business, not even a log's.
debug_only!("request", [caller, request_id], Model, ModelEx);

impl TryFrom<Model> for PastRequest {
    type Error = Abort;

    fn try_from(row: Model) -> Result<Self, Abort> {
        let content = <[u8; 32]>::try_from(row.content)
            .map_err(|_| Abort::corrupt("a request's content is no digest".to_owned()))?;
        let token_id = row.token_id.as_deref().map(TokenId::parse);
        Ok(Self {
            content: ContentDigest(content),
            token_id: stored("token id", token_id.transpose())?,
        })
    }
}
