//! The wire: requests into domain types, answers and errors out of them. Every handler authenticates, parses, calls and
//! renders, and does nothing else.

mod authorization_service;
mod codec;
mod decision_log;
mod direct;
mod directory_service;
mod event_service;
mod fields;
mod gate;
mod guard;
mod methods;
mod page;
mod peer;
mod reflection;
mod render;
mod status;
mod token_service;

use std::sync::Arc;

pub use decision_log::{DecisionLog, Written};
pub use direct::DirectLayer;
pub use gate::Gate;
pub use guard::{CallLimits, GuardLayer};
pub use methods::methods;
pub use peer::Peer;
pub use reflection::reflection;

use crate::{
    domain::decide::Decision,
    pb::{
        authorization_service_server::AuthorizationServiceServer,
        directory_service_server::DirectoryServiceServer, event_service_server::EventServiceServer,
        token_service_server::TokenServiceServer,
    },
    service::Service,
};

/// The largest message that is read, in bytes. No field needs as much; a batch may.
pub const MAX_MESSAGE: usize = 1 << 20;

/// What the paths of AuthorizationService begin with.
const DECISIONS: &str = "/countersign.v1.AuthorizationService/";

/// What every handler works with.
#[derive(Clone)]
pub struct Api {
    service: Service,
    gate: Arc<Gate>,
    on_decision: Option<DecisionObserver>,
    decision_log: Option<DecisionLog>,
}

type DecisionObserver = Arc<dyn Fn(Decision) + Send + Sync>;

impl Api {
    /// An API over this service, behind this gate.
    pub fn new(service: Service, gate: Arc<Gate>) -> Self {
        Self {
            service,
            gate,
            on_decision: None,
            decision_log: None,
        }
    }

    /// The same API, which tells of decisions in this log, if any.
    #[must_use]
    pub fn with_decision_log(self, decision_log: Option<DecisionLog>) -> Self {
        Self {
            decision_log,
            ..self
        }
    }

    /// The same API, which calls back with every decision.
    #[must_use]
    pub fn on_decision(mut self, observer: impl Fn(Decision) + Send + Sync + 'static) -> Self {
        self.on_decision = Some(Arc::new(observer));
        self
    }

    fn tell_decision(&self, decision: Decision) {
        if let Some(observer) = &self.on_decision {
            observer(decision);
        }
    }

    /// AuthorizationService.
    pub fn authorization(&self) -> AuthorizationServiceServer<Self> {
        AuthorizationServiceServer::new(self.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    /// DirectoryService.
    pub fn directory(&self) -> DirectoryServiceServer<Self> {
        DirectoryServiceServer::new(self.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    /// EventService.
    pub fn event(&self) -> EventServiceServer<Self> {
        EventServiceServer::new(self.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    /// TokenService.
    pub fn token(&self) -> TokenServiceServer<Self> {
        TokenServiceServer::new(self.clone()).max_decoding_message_size(MAX_MESSAGE)
    }
}
