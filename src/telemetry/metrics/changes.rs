//! Metrics of what became of tokens.

use prometheus::{Error, IntCounter, Registry};

use super::family::counter;
use crate::domain::event::Details;

/// Counts changes of tokens.
pub(super) struct Changes {
    issued: IntCounter,
    revoked: IntCounter,
    rotated: IntCounter,
    reused: IntCounter,
}

impl Changes {
    pub(super) fn new(registry: &Registry) -> Result<Self, Error> {
        Ok(Self {
            issued: counter(
                registry,
                "countersign_tokens_issued_total",
                "Tokens issued.",
            )?,
            revoked: counter(
                registry,
                "countersign_tokens_revoked_total",
                "Tokens revoked one by one.",
            )?,
            rotated: counter(
                registry,
                "countersign_tokens_rotated_total",
                "Tokens rotated.",
            )?,
            reused: counter(
                registry,
                "countersign_tokens_reused_total",
                "Rotated tokens that were presented when their overlap was over, each once.",
            )?,
        })
    }

    pub(super) fn count(&self, details: &Details) {
        match details {
            Details::TokenIssued { .. } => self.issued.inc(),
            Details::TokenRevoked { .. } => self.revoked.inc(),
            Details::TokenRotated { .. } => self.rotated.inc(),
            Details::TokenReused { .. } => self.reused.inc(),
            _ => {}
        }
    }
}
