//! Compiles the protobuf files, without `protoc`, into Rust and into the descriptor set that reflection serves.

use std::{error::Error, fs, path::PathBuf};

use prost::Message;

const ROOT: &str = "proto";
const FILES: [&str; 5] = [
    "countersign/v1/actor.proto",
    "countersign/v1/authorization_service.proto",
    "countersign/v1/directory_service.proto",
    "countersign/v1/event_service.proto",
    "countersign/v1/token_service.proto",
];

/// Messages that hold a secret: a derived `Debug` would print it, so `pb` writes theirs by hand.
const SECRET_HOLDERS: [&str; 10] = [
    ".countersign.v1.AuthorizeRequest",
    ".countersign.v1.BatchAuthorizeRequest",
    ".countersign.v1.GetTokenRequest",
    ".countersign.v1.GetTokenRequest.target",
    ".countersign.v1.IssueTokenResponse",
    ".countersign.v1.ListPermissionsRequest",
    ".countersign.v1.RevokeLeakedTokensRequest",
    ".countersign.v1.RevokeTokenRequest",
    ".countersign.v1.RevokeTokenRequest.target",
    ".countersign.v1.RotateTokenResponse",
];

/// Parts of the messages of a decision that are large: in a box of their own they are not copied along from step to step.
const BOXED: [&str; 2] = [
    ".countersign.v1.AuthorizeResponse.principal",
    ".countersign.v1.AuthorizeResponse.explanation",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={ROOT}");
    let descriptors = protox::compile(FILES, [ROOT])?;
    let out: PathBuf = std::env::var_os("OUT_DIR")
        .ok_or("OUT_DIR is not set")?
        .into();
    fs::write(out.join("countersign.binpb"), descriptors.encode_to_vec())?;
    let configured = tonic_prost_build::configure().skip_debug(SECRET_HOLDERS);
    BOXED
        .into_iter()
        .fold(configured, |configured, path| configured.boxed(path))
        .compile_fds(descriptors)?;
    Ok(())
}
