//! Reflection, v1 and v1alpha: older clients, grpcurl before 1.8.8 among them, ask for the latter only.

use std::sync::Arc;

use tonic::{
    Request, Status,
    service::{Routes, interceptor::InterceptedService},
};
use tonic_reflection::server::{Builder, Error};

use super::Gate;
use crate::pb;

/// Adds both versions to the routes, for callers that the gate knows.
pub fn reflection(routes: Routes, gate: &Arc<Gate>) -> Result<Routes, Error> {
    let gate = Arc::clone(gate);
    let known_callers_only = move |request: Request<()>| -> Result<Request<()>, Status> {
        gate.authenticate_now(request.metadata().as_ref(), request.extensions())?;
        Ok(request)
    };
    let builder = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // So that clients which resolve details by reflection can show those of errors.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
            // Both, so that either version lists both.
            .include_reflection_service(false)
            .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(
                tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
            )
    };
    let v1 = InterceptedService::new(builder().build_v1()?, known_callers_only.clone());
    let v1alpha = InterceptedService::new(builder().build_v1alpha()?, known_callers_only);
    Ok(routes.add_service(v1).add_service(v1alpha))
}
