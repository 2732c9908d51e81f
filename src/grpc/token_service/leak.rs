//! Reports of secrets that were found where they should not be.

use zeroize::Zeroizing;

use crate::{
    domain::{
        caller::Caller,
        error::{Error, Problem},
        name::parse_source,
    },
    grpc::fields::Fields,
    pb::RevokeLeakedTokensRequest,
    service::{LeakReport, Service},
};

/// How many secrets one report holds at most.
const MAX_SECRETS: usize = 1000;

pub(super) fn parse(
    service: &Service,
    caller: &Caller,
    request: RevokeLeakedTokensRequest,
) -> Result<LeakReport, Error> {
    let mut fields = Fields::default();
    // Taken over first, so that they are wiped whatever is wrong with the request.
    let secrets: Vec<Zeroizing<String>> = request.secrets.into_iter().map(Zeroizing::new).collect();
    let number = match secrets.len() {
        0 => Err(Problem::required()),
        1..=MAX_SECRETS => Ok(()),
        _ => Err(Problem::too_long(MAX_SECRETS, "secrets")),
    };
    let number = fields.read("secrets", number);
    let source = fields.read("source", parse_source(&request.source));
    let origin = fields.origin(caller, None);
    match (origin, number, source) {
        (Some(origin), Some(()), Some(source)) => {
            let secrets = secrets
                .iter()
                .filter_map(|secret| service.read_secret(secret));
            Ok(LeakReport {
                origin,
                secrets: secrets.collect(),
                source,
            })
        }
        _ => Err(fields.into_error()),
    }
}
