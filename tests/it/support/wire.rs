//! HTTP/2 by hand: for what no well-behaved client does. It reads frames and does not decode headers.

use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::server::{PLATFORM, key_of};

/// What a client says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long to wait for what must come.
const PATIENCE: Duration = Duration::from_secs(20);
/// The last frame of a call.
pub(crate) const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// Kinds of frames.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RESET: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GO_AWAY: u8 = 7;
const CONTINUATION: u8 = 9;

/// A health check in its five bytes of gRPC, and the answer that the service serves.
const CHECK: [u8; 5] = [0; 5];
const SERVING: [u8; 7] = [0, 0, 0, 0, 2, 8, 1];

/// A connection.
pub(crate) struct Wire<S> {
    stream: S,
    answers_pings: bool,
}

/// What came.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// Whether it is the last of its call.
    pub(crate) fn ends(&self, stream: u32) -> bool {
        let ends = matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0;
        self.stream == stream && ends
    }

    /// Whether it resets this call, for this reason.
    pub(crate) fn resets(&self, stream: u32, reason: u32) -> bool {
        self.kind == RESET && self.stream == stream && self.payload == reason.to_be_bytes()
    }

    /// The value of a setting that it tells.
    pub(crate) fn setting(&self, id: u16) -> Option<u32> {
        let pairs = self.payload.chunks_exact(6);
        let found = pairs
            .into_iter()
            .find(|pair| self.kind == SETTINGS && pair[..2] == id.to_be_bytes());
        found.map(|pair| u32::from_be_bytes([pair[2], pair[3], pair[4], pair[5]]))
    }
}

impl Wire<TcpStream> {
    /// Connects to this port in plain text, and waits until it is served.
    pub(crate) async fn connect(address: std::net::SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("it connects");
        let mut wire = Self::over(stream).await;
        wire.until(|frame| frame.kind == SETTINGS && frame.flags & ACK != 0)
            .await;
        wire
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Begins a connection over this. If it has ended already, reading will tell.
    pub(crate) async fn over(stream: S) -> Self {
        let mut wire = Self {
            stream,
            answers_pings: true,
        };
        if wire.stream.write_all(PREFACE).await.is_ok() {
            wire.try_send(SETTINGS, 0, 0, &[]).await;
        }
        wire
    }

    /// The same, leaving it to others to say that it is still there.
    pub(crate) fn without_answers_to_pings(mut self) -> Self {
        self.answers_pings = false;
        self
    }

    /// Begins a call of this method, with these headers besides, and sends no message.
    pub(crate) async fn call(&mut self, stream: u32, path: &str, more: &[(&str, &str)]) {
        let block = headers(path, more);
        self.send(HEADERS, END_HEADERS, stream, &block).await;
    }

    /// The same. Whether the server still listens.
    pub(crate) async fn try_call(&mut self, stream: u32, path: &str) -> bool {
        let block = headers(path, &[]);
        self.try_send(HEADERS, END_HEADERS, stream, &block).await
    }

    /// Begins a call whose headers go on, part after part, without end. Whether the server still listens.
    pub(crate) async fn continue_headers(&mut self, stream: u32, is_first: bool) -> bool {
        let mut block = match is_first {
            true => headers("/x/y", &[]),
            false => Vec::new(),
        };
        push_literal(&mut block, "x-more", &"m".repeat(16_000));
        let kind = if is_first { HEADERS } else { CONTINUATION };
        self.try_send(kind, 0, stream, &block).await
    }

    /// The whole of a health check, which must be answered well.
    pub(crate) async fn must_be_healthy(&mut self, stream: u32) {
        self.call(stream, "/grpc.health.v1.Health/Check", &[]).await;
        self.send(DATA, END_STREAM, stream, &CHECK).await;
        let is_answer = |frame: &Frame| frame.kind == DATA && frame.stream == stream;
        let answer = self.until(is_answer).await;
        assert_eq!(answer.payload, SERVING);
        self.until(|frame| frame.ends(stream)).await;
    }

    /// Gives a call up.
    pub(crate) async fn reset(&mut self, stream: u32) -> bool {
        self.try_send(RESET, 0, stream, &8u32.to_be_bytes()).await
    }

    /// Sends a frame.
    pub(crate) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let sent = self.try_send(kind, flags, stream, payload).await;
        assert!(sent, "the connection is there");
    }

    async fn try_send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let length = u32::try_from(payload.len()).expect("a frame is small");
        let mut bytes = length.to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        self.stream.write_all(&bytes).await.is_ok()
    }

    /// The next frame, with settings and pings answered. None: the connection has ended.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        let next = timeout(PATIENCE, self.read());
        let frame = next.await.expect("something comes, if only the end")?;
        if frame.kind == SETTINGS && frame.flags & ACK == 0 {
            self.try_send(SETTINGS, ACK, 0, &[]).await;
        }
        if frame.kind == PING && frame.flags & ACK == 0 && self.answers_pings {
            self.try_send(PING, ACK, 0, &frame.payload).await;
        }
        Some(frame)
    }

    async fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload).await.ok()?;
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]),
            payload,
        })
    }

    /// Reads on until such a frame comes, which must happen.
    pub(crate) async fn until(&mut self, is_it: impl Fn(&Frame) -> bool) -> Frame {
        loop {
            let frame = self.frame().await.expect("the connection goes on");
            if is_it(&frame) {
                return frame;
            }
        }
    }

    /// Reads on until the connection ends, which must happen. All that came.
    pub(crate) async fn until_the_end(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.frame().await {
            frames.push(frame);
        }
        frames
    }
}

/// The headers of a gRPC call, each written out in full (RFC 7541, section 6.2.2).
fn headers(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    // `:method: POST` and `:scheme: http` of the static table, then `:authority` and `:path`, whose names are of it.
    let mut block = vec![0x83, 0x86, 0x01];
    push_text(&mut block, "localhost");
    block.push(0x04);
    push_text(&mut block, path);
    for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")] {
        push_literal(&mut block, name, value);
    }
    // Of a caller who may do everything, where it matters who calls.
    if path.starts_with("/countersign.v1.") {
        push_literal(&mut block, "x-countersign-key", &key_of(PLATFORM));
    }
    for (name, value) in more {
        push_literal(&mut block, name, value);
    }
    block
}

/// How large the list of these headers is, as HTTP/2 counts it (RFC 9113, section 10.5.1).
pub(crate) fn size_of_headers(path: &str, more: &[(&str, &str)]) -> usize {
    let usual = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "localhost"),
        (":path", path),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    let all = usual.iter().chain(more);
    all.map(|(name, value)| name.len() + value.len() + 32).sum()
}

fn push_literal(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    push_text(block, name);
    push_text(block, value);
}

/// Its length as an integer with a prefix of seven bits, and its bytes.
fn push_text(block: &mut Vec<u8>, text: &str) {
    let mut rest = text.len();
    if rest < 127 {
        block.push(rest.to_le_bytes()[0]);
    } else {
        block.push(127);
        rest -= 127;
        while rest >= 128 {
            block.push(rest.to_le_bytes()[0] | 0x80);
            rest >>= 7;
        }
        block.push(rest.to_le_bytes()[0]);
    }
    block.extend(text.bytes());
}
