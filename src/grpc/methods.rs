//! Which methods there are, as the descriptors tell.

use prost::Message;
use prost_types::FileDescriptorSet;

use crate::pb;

/// The full name of every method that may be served, such as `countersign.v1.TokenService/IssueToken`: a closed set.
pub fn methods() -> Vec<String> {
    let sets = [
        pb::FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    let files = sets
        .into_iter()
        .filter_map(|set| FileDescriptorSet::decode(set).ok())
        .flat_map(|set| set.file);
    let mut names = Vec::new();
    for file in files {
        for service in &file.service {
            let service_name = format!("{}.{}", file.package(), service.name());
            let methods = service.method.iter();
            names.extend(methods.map(|method| format!("{service_name}/{}", method.name())));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_on_the_port_is_among_them() {
        let methods = methods();
        for name in [
            "countersign.v1.AuthorizationService/Authorize",
            "countersign.v1.DirectoryService/PutMember",
            "countersign.v1.EventService/ListEvents",
            "countersign.v1.TokenService/IssueToken",
            "grpc.health.v1.Health/Watch",
            "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        ] {
            assert!(methods.iter().any(|method| method == name), "{name}");
        }
    }
}
