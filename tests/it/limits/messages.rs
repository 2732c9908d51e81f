//! What a message may be: its size, its form, its method.

use countersign::pb::{AuthorizeRequest, AuthorizeResponse, ListEventsResponse, Outcome};
use prost::Message;
use tonic::{Code, Request, Status, client::Grpc};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt;

use super::{AUTHORIZE, ISSUE, ended, serve};
use crate::support::{
    call::as_caller,
    server::{PLATFORM, TestServer},
    status::assert_status,
};

const MOST: usize = 1 << 20;

/// Bytes that are no message of ours, or any.
#[derive(Clone, PartialEq, prost::Message)]
struct Odd {
    #[prost(bytes = "vec", tag = "1")]
    bytes: Vec<u8>,
}

/// Calls any method with any message, with this in its metadata besides.
async fn call<M: Message + Default + 'static, R: Message + Default + 'static>(
    server: &TestServer,
    path: &'static str,
    message: M,
    more: &[(&'static str, &'static str)],
) -> Result<R, Status> {
    let mut grpc = Grpc::new(server.channel()).max_decoding_message_size(2 * MOST);
    grpc.ready().await.expect("it is there");
    let mut metadata = as_caller(PLATFORM);
    for (key, value) in more {
        metadata.insert(*key, value.parse().expect("a value"));
    }
    let request = Request::from_parts(metadata, tonic::Extensions::default(), message);
    let path = path.parse().expect("a path");
    let codec = ProstCodec::<M, R>::default();
    let answer = grpc.unary(request, path, codec).await;
    answer.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_one_mib_is_read_and_a_larger_one_is_not() {
    let (server, _database) = serve(Default::default()).await;
    let sized = |size: usize| {
        let mut request = AuthorizeRequest {
            token: "t".repeat(size - 100),
            action: "bookings.read".to_owned(),
            resource: Some(countersign::pb::Resource {
                owner: Some(countersign::pb::resource::Owner::Bearer(true)),
                ..Default::default()
            }),
            ..Default::default()
        };
        let missing = size - request.encoded_len();
        request.token.push_str(&"t".repeat(missing));
        assert_eq!(request.encoded_len(), size);
        request
    };
    let answer: AuthorizeResponse = call(&server, AUTHORIZE, sized(MOST), &[])
        .await
        .expect("it is decided");
    let decision = answer.decision.expect("a decision");
    assert_eq!(decision.outcome(), Outcome::Deny);
    for size in [MOST + 1, 2 * MOST] {
        let refused = call::<_, AuthorizeResponse>(&server, AUTHORIZE, sized(size), &[]).await;
        let status = refused.expect_err("it is too large");
        assert_status(&status, Code::ResourceExhausted, "MESSAGE_TOO_LARGE", None);
        let details = status.get_error_details();
        let info = details.error_info().expect("details");
        assert_eq!(info.metadata["limit"], MOST.to_string());
    }
    let counted = ended(server.metrics_address(), AUTHORIZE, "RESOURCE_EXHAUSTED").await;
    assert_eq!(counted, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_or_no_method_is_told_apart() {
    let (server, _database) = serve(Default::default()).await;
    let odd = |bytes: &[u8]| Odd {
        bytes: bytes.to_vec(),
    };
    // A text that is no UTF-8.
    let refused = call::<_, AuthorizeResponse>(&server, AUTHORIZE, odd(&[0xff]), &[]).await;
    let status = refused.expect_err("it is no message");
    assert_status(&status, Code::InvalidArgument, "MESSAGE_MALFORMED", None);
    let unknown = [
        "/countersign.v1.TokenService/BakeToken",
        "/countersign.v1.BakeryService/Bake",
        "/example.v1.BakeryService/Bake",
        "/nonsense",
    ];
    for path in unknown {
        let refused = call::<_, ListEventsResponse>(&server, path, odd(&[]), &[]).await;
        let status = refused.expect_err("there is no such method");
        assert_status(&status, Code::Unimplemented, "METHOD_UNKNOWN", None);
    }
    let compressed = [("grpc-encoding", "gzip")];
    let refused = call::<_, AuthorizeResponse>(&server, ISSUE, odd(b"x"), &compressed).await;
    let status = refused.expect_err("compression is not supported");
    assert_status(&status, Code::Unimplemented, "ENCODING_NOT_SUPPORTED", None);
    let offered = status.metadata().get("grpc-accept-encoding");
    assert_eq!(
        offered.map(|value| value.as_bytes()),
        Some(&b"identity"[..])
    );
}
