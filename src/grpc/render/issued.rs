//! Tokens that have come to be, with their secrets where this is the answer that has them.

use super::token;
use crate::{
    domain::{secret::SecretText, token::TokenRecord},
    pb,
    service::{Issued, Rotated},
};

pub(in crate::grpc) fn issued(issued: &Issued) -> pb::IssueTokenResponse {
    pb::IssueTokenResponse {
        token: Some(token(&issued.record)),
        secret: secret(issued.secret.as_ref()),
        warnings: warnings(&issued.record),
        revision: issued.revision.to_string(),
        replayed: issued.secret.is_none(),
    }
}

pub(in crate::grpc) fn rotated(rotated: &Rotated) -> pb::RotateTokenResponse {
    pb::RotateTokenResponse {
        token: Some(token(&rotated.successor)),
        secret: secret(rotated.secret.as_ref()),
        warnings: warnings(&rotated.successor),
        predecessor: Some(token(&rotated.predecessor)),
        revision: rotated.revision.to_string(),
        replayed: rotated.secret.is_none(),
    }
}

fn secret(secret: Option<&SecretText>) -> String {
    secret.map_or_else(String::new, |secret| secret.expose().to_owned())
}

fn warnings(record: &TokenRecord) -> Vec<pb::Warning> {
    match record.token.expires_at {
        Some(_) => Vec::new(),
        None => vec![pb::Warning {
            kind: pb::WarningKind::NoExpiry.into(),
            message: "the token never expires: an expiry limits what a leak can do".to_owned(),
        }],
    }
}
