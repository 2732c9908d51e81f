//! What the certificate of a client says: read once for each connection, after TLS has verified it.

use x509_parser::{
    certificate::X509Certificate, error::X509Error, extensions::GeneralName, prelude::FromDer,
};

use crate::domain::{
    spiffe::{Certificate, SpiffeId, Unnamed},
    time::Timestamp,
};

/// The context-specific tag of a URI among the names, where it is not even text.
const URI_TAG: u32 = 6;

/// Reads a client's own certificate.
pub(super) fn read(der: &[u8]) -> Certificate {
    match X509Certificate::from_der(der) {
        Ok((_, certificate)) => {
            let seconds = certificate.validity().not_after.timestamp();
            Certificate {
                id: workload(&certificate),
                not_after: Timestamp(seconds.saturating_mul(1000)),
            }
        }
        // TLS has taken it, so it is good for the transport.
        Err(_) => Certificate {
            id: Err(Unnamed::Unreadable),
            not_after: Timestamp(i64::MIN),
        },
    }
}

/// The workload that it names, by the rules of an X.509-SVID.
fn workload(certificate: &X509Certificate<'_>) -> Result<SpiffeId, Unnamed> {
    let unreadable = |_: X509Error| Unnamed::Unreadable;
    let names = certificate.subject_alternative_name().map_err(unreadable)?;
    let names = names.map_or(&[][..], |names| &names.value.general_names);
    let mut uris = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(Some(*uri)),
        GeneralName::Invalid(tag, _) if tag.0 == URI_TAG => Some(None),
        _ => None,
    });
    let uri = match (uris.next(), uris.next()) {
        (None, _) => return Err(Unnamed::NoUri),
        (Some(uri), None) => uri.ok_or(Unnamed::Unreadable)?,
        (Some(_), Some(_)) => return Err(Unnamed::SeveralUris),
    };
    let constraints = certificate.basic_constraints().map_err(unreadable)?;
    let usage = certificate.key_usage().map_err(unreadable)?;
    let may_sign = constraints.is_some_and(|constraints| constraints.value.ca)
        || usage.is_some_and(|usage| usage.value.key_cert_sign() || usage.value.crl_sign());
    match may_sign {
        true => Err(Unnamed::MaySign),
        false => Ok(SpiffeId::parse(uri)?),
    }
}
