//! Calls that go wrong in ways of their own: tokens that are none, secrets in fields that are for something else, and what
//! is no call at all.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use countersign::pb::{
    AuthorizeRequest, Context, GetTokenRequest, IssueTokenRequest, ListTokensRequest,
    RevokeTokenRequest, get_token_request,
};
use tonic::Request;

use super::{Session, by_secret, revoke_by_secret};
use crate::support::{
    client::{Client, authorize_request, issue_request, revoke_request, rotate_request},
    process::Process,
    server::{PLATFORM, key_of},
};

impl Session {
    /// Tokens that are none, or nobody's, but hold a secret whole.
    pub(super) async fn bad_tokens(&mut self, client: &Client, live: &str, unknown: &str) {
        let wrong_checksum = match live.strip_suffix('0') {
            Some(rest) => format!("{rest}1"),
            None => format!("{}0", &live[..live.len() - 1]),
        };
        let texts = [
            unknown.to_owned(),
            wrong_checksum,
            format!("{live}0"),
            format!(" {live}"),
            format!("{live}\n"),
            format!("{live}{live}"),
            format!("Basic {}", BASE64_STANDARD.encode(live)),
            format!("Basic {live}"),
            live[live.len() - 49..].to_owned(),
            live.replace("csn_pat", "abc_pat"),
            live.repeat(2000),
        ];
        for text in texts {
            let request = authorize_request(&text, "bookings.read", "acme", None);
            let request = self.request(request, None);
            let done = client.authorization.clone().authorize(request).await;
            self.hear("Authorize", done);
        }
        for text in [unknown, &format!("{live}0")] {
            let request = self.request(by_secret(text), None);
            let done = client.tokens.clone().get_token(request).await;
            self.hear("GetToken", done);
            let request = self.request(revoke_by_secret(text), None);
            let done = client.tokens.clone().revoke_token(request).await;
            self.hear("RevokeToken", done);
        }
    }

    /// Requests by somebody who confused two fields. How such a request prints itself is its sender's business.
    pub(super) async fn secrets_in_the_wrong_place(&mut self, client: &Client, live: &str) {
        let text = || live.to_owned();
        let mut tokens = client.tokens.clone();
        let by_id = GetTokenRequest {
            target: Some(get_token_request::Target::TokenId(text())),
            ..Default::default()
        };
        let done = tokens.get_token(by_id).await;
        self.hear("GetToken", done);
        let done = tokens.revoke_token(revoke_request(live)).await;
        self.hear("RevokeToken", done);
        let done = tokens.rotate_token(rotate_request(live)).await;
        self.hear("RotateToken", done);
        let named = RevokeTokenRequest {
            request_id: text(),
            ..revoke_request("tok_none")
        };
        let done = tokens.revoke_token(named).await;
        self.hear("RevokeToken", done);
        let mut decisions = client.authorization.clone();
        let fine = || authorize_request(live, "bookings.read", "acme", None);
        let contexts = [
            Context {
                client_ip: text(),
                ..Default::default()
            },
            Context {
                min_revision: text(),
                ..Default::default()
            },
            Context {
                on_behalf_of: text(),
                ..Default::default()
            },
        ];
        for context in contexts {
            let request = AuthorizeRequest {
                context: Some(context),
                ..fine()
            };
            let done = decisions.authorize(request).await;
            self.hear("Authorize", done);
        }
        let request = AuthorizeRequest {
            action: text(),
            ..fine()
        };
        let done = decisions.authorize(request).await;
        self.hear("Authorize", done);
        let mut request = fine();
        request.resource.get_or_insert_default().r#type = text();
        let done = decisions.authorize(request).await;
        self.hear("Authorize", done);
        for is_scope in [true, false] {
            let list = |is_here| if is_here { vec![text()] } else { vec![] };
            let request = IssueTokenRequest {
                scopes: list(is_scope),
                allowed_cidrs: list(!is_scope),
                ..issue_request("acme", "max", "misplaced", None)
            };
            let done = tokens.issue_token(request).await;
            self.hear("IssueToken", done);
        }
        let request = ListTokensRequest {
            workspace_id: "acme".to_owned(),
            page_token: text(),
            ..Default::default()
        };
        let done = tokens.list_tokens(request).await;
        self.hear("ListTokens", done);
    }

    /// What is no gRPC at all: HTTP/1.1, and noise after the preface of HTTP/2.
    pub(super) fn not_grpc(&mut self, process: &Process, live: &str) {
        let key = key_of(PLATFORM);
        let head = format!(
            "GET /{live} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {live}\r\n\
             x-countersign-key: {key}\r\n\r\n"
        );
        let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        for text in [head.clone(), format!("{preface}{head}")] {
            let mut stream = TcpStream::connect(process.address()).expect("it listens");
            stream.write_all(text.as_bytes()).expect("it is sent");
            stream.shutdown(Shutdown::Write).expect("it is open");
            // It may be cut off, which is an answer as well.
            stream.read_to_end(&mut self.heard).ok();
        }
    }

    /// Messages of the wrong kind: a token where another field is expected, and what cannot be decoded.
    pub(super) async fn undecodable(&mut self, process: &Process, live: &str) {
        let channel =
            tonic::transport::Endpoint::from_shared(format!("http://{}", process.address()));
        let channel = channel.expect("an address").connect_lazy();
        // Its second field is bytes, which need not be UTF-8; those of our requests are strings.
        let message = prost_types::Any {
            type_url: live.to_owned(),
            value: [live.as_bytes(), &[0xff, 0xfe]].concat(),
        };
        let paths = [
            "/countersign.v1.AuthorizationService/Authorize",
            "/countersign.v1.TokenService/GetToken",
            "/countersign.v1.TokenService/NoSuchMethod",
        ];
        for path in paths {
            let mut grpc = tonic::client::Grpc::new(channel.clone());
            grpc.ready().await.expect("it is there");
            let mut request = Request::new(message.clone());
            let key = key_of(PLATFORM).parse().expect("it is ASCII");
            request.metadata_mut().insert("x-countersign-key", key);
            let codec = tonic_prost::ProstCodec::<prost_types::Any, prost_types::Any>::default();
            let path = path.parse().expect("a path");
            let done = grpc.unary(request, path, codec).await;
            let status = done.expect_err("it cannot be decoded");
            self.note(format!("{status:?} {}", status.message()));
        }
    }
}
