//! Requests to rotate a token.

use std::time::Duration;

use super::read_expiry;
use crate::{
    domain::{caller::Caller, error::Error, token::MAX_OVERLAP_DAYS},
    grpc::fields::{Fields, duration_up_to},
    pb::{
        RotateTokenRequest, issue_token_request::Expiry as ExpiryForm, rotate_token_request::Expiry,
    },
    service::{RotateRequest, Service},
};

pub(super) fn parse(
    service: &Service,
    caller: &Caller,
    request: &RotateTokenRequest,
) -> Result<RotateRequest, Error> {
    let mut fields = Fields::default();
    let token_id = fields.read("token_id", service.token_id(&request.token_id));
    // The same forms as when a token is issued.
    let expiry = request.expiry.map(|expiry| match expiry {
        Expiry::ExpiresAt(at) => ExpiryForm::ExpiresAt(at),
        Expiry::Ttl(ttl) => ExpiryForm::Ttl(ttl),
        Expiry::Never(flag) => ExpiryForm::Never(flag),
    });
    let expiry = read_expiry(&mut fields, service, expiry.as_ref());
    let overlap = match &request.overlap {
        None => Some(Duration::ZERO),
        Some(overlap) => fields.read("overlap", duration_up_to(overlap, MAX_OVERLAP_DAYS)),
    };
    let origin = fields.origin_of_member(caller, request.actor.as_ref());
    let request_id = fields.read("request_id", service.request_id(&request.request_id));
    match (origin, token_id, expiry, overlap, request_id) {
        (Some(origin), Some(token_id), Some(expiry), Some(overlap), Some(request_id)) => {
            Ok(RotateRequest {
                origin,
                token_id,
                expiry,
                overlap,
                request_id,
            })
        }
        _ => Err(fields.into_error()),
    }
}
