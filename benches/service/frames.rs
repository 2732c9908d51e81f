//! As much of HTTP/2 as a caller needs that sends unary calls and does not read headers: it must cost little beside the
//! server that it shares a machine with.

/// Frame types.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RESET: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GO_AWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;

/// Flags.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD: usize = 9;
/// The most that is sent in one frame: what every peer takes.
const MAX_FRAME: usize = 16_384;
const INITIAL_WINDOW: u16 = 4;
/// What a peer may send before it is told of more.
const WINDOW: u32 = 1 << 30;
const DEFAULT_WINDOW: u32 = 65_535;

/// The head of a frame.
#[derive(Clone, Copy)]
pub(crate) struct Head {
    pub(crate) length: usize,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
}

/// The first frame of these bytes and what is in it, if all of it is there.
pub(crate) fn first(bytes: &[u8]) -> Option<(Head, &[u8])> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
    let head = Head {
        length,
        kind: head[3],
        flags: head[4],
        stream,
    };
    Some((head, rest.get(..length)?))
}

impl Head {
    /// With the head itself.
    pub(crate) fn whole(self) -> usize {
        HEAD + self.length
    }
}

fn head(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    let length = u32::try_from(length).expect("a frame is short");
    out.extend_from_slice(&length.to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
}

/// What a client begins with: large windows for what it receives.
pub(crate) fn greeting(out: &mut Vec<u8>) {
    out.extend_from_slice(PREFACE);
    head(out, 6, SETTINGS, 0, 0);
    out.extend_from_slice(&INITIAL_WINDOW.to_be_bytes());
    out.extend_from_slice(&WINDOW.to_be_bytes());
    window_update(out, WINDOW - DEFAULT_WINDOW);
}

/// Lets the peer send so much more.
pub(crate) fn window_update(out: &mut Vec<u8>, more: u32) {
    head(out, 4, WINDOW_UPDATE, 0, 0);
    out.extend_from_slice(&more.to_be_bytes());
}

/// Acknowledges settings (empty) or a ping (what it carried).
pub(crate) fn acknowledge(out: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    head(out, payload.len(), kind, ACK, 0);
    out.extend_from_slice(payload);
}

/// The header fields that were sent on a connection, which the peer remembers too (RFC 7541).
#[derive(Default)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Writes the headers of a call. What was sent before is named by its place, as every client does.
    pub(crate) fn headers(&mut self, out: &mut Vec<u8>, stream: u32, fields: &[(&str, &str)]) {
        let start = out.len();
        head(out, 0, HEADERS, END_HEADERS, stream);
        // `:method: POST` and `:scheme: http` of the table that everybody has.
        out.extend_from_slice(&[0x83, 0x86]);
        for (name, value) in fields {
            let known = self.0.iter().position(|(n, v)| n == name && v == value);
            match known {
                Some(place) => integer(out, 0x80, 7, 61 + self.0.len() - place),
                None => {
                    out.push(0x40);
                    for text in [name, value] {
                        integer(out, 0, 7, text.len());
                        out.extend_from_slice(text.as_bytes());
                    }
                    self.0.push(((*name).to_owned(), (*value).to_owned()));
                }
            }
        }
        let length = u32::try_from(out.len() - start - HEAD).expect("headers are short");
        out[start..start + 3].copy_from_slice(&length.to_be_bytes()[1..]);
    }
}

fn integer(out: &mut Vec<u8>, pattern: u8, bits: u8, value: usize) {
    let most = (1_usize << bits) - 1;
    let byte = |value: usize| u8::try_from(value).expect("it fits");
    if value < most {
        out.push(pattern | byte(value));
        return;
    }
    out.push(pattern | byte(most));
    let mut rest = value - most;
    while rest >= 0x80 {
        out.push(0x80 | byte(rest & 0x7f));
        rest >>= 7;
    }
    out.push(byte(rest));
}

/// Writes the body of a call, which ends it.
pub(crate) fn data(out: &mut Vec<u8>, stream: u32, body: &[u8]) {
    let mut chunks = body.chunks(MAX_FRAME).peekable();
    while let Some(chunk) = chunks.next() {
        let flags = if chunks.peek().is_none() {
            END_STREAM
        } else {
            0
        };
        head(out, chunk.len(), DATA, flags, stream);
        out.extend_from_slice(chunk);
    }
}
