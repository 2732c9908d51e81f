//! Which methods there are, as the descriptors tell.

use prost::Message;
use prost_types::FileDescriptorSet;

use crate::pb;

/// What the names of methods begin with that change nothing.
const READ: [&str; 3] = ["Get", "List", "Watch"];

/// Whether a call of this path may change something. Not for decisions, which never do.
pub(super) fn may_change(path: &str) -> bool {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    !READ.iter().any(|read| name.starts_with(read))
}

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
    fn what_changes_something_is_told_from_what_reads() {
        let of_ours = |name: &String| {
            let name = name.strip_prefix("countersign.v1.")?;
            (!name.starts_with("AuthorizationService/")).then(|| name.to_owned())
        };
        let ours: Vec<String> = methods().iter().filter_map(of_ours).collect();
        let changes: Vec<&String> = ours.iter().filter(|name| may_change(name)).collect();
        let expected = [
            "DirectoryService/CreateWorkspace",
            "DirectoryService/UpdateWorkspace",
            "DirectoryService/DeleteWorkspace",
            "DirectoryService/PutMember",
            "DirectoryService/SetMemberRole",
            "DirectoryService/SetMemberState",
            "DirectoryService/RemoveMember",
            "TokenService/IssueToken",
            "TokenService/RotateToken",
            "TokenService/RevokeToken",
            "TokenService/RevokeTokens",
            "TokenService/RevokeLeakedTokens",
        ];
        assert_eq!(changes, expected);
    }

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
