//! How messages of Authorize are read and written: as those of any method, in less time.

use prost::{Message, bytes::Buf};
use tonic::{
    Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder},
};
use tonic_prost::{ProstCodec, ProstEncoder};

use crate::pb::{AuthorizeRequest, AuthorizeResponse};

/// What most messages need, in bytes. They may be longer. Otherwise each call gets two buffers of 8 KiB, which the allocator
/// takes longer to find.
const BUFFER: usize = 512;
/// Of streams, which these are not.
const YIELD_THRESHOLD: usize = 32 * 1024;

pub(super) struct AuthorizeCodec;

impl Codec for AuthorizeCodec {
    type Encode = AuthorizeResponse;
    type Decode = AuthorizeRequest;
    type Encoder = ProstEncoder<AuthorizeResponse>;
    type Decoder = RequestDecoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<AuthorizeResponse, AuthorizeRequest>::raw_encoder(buffers())
    }

    fn decoder(&mut self) -> RequestDecoder {
        RequestDecoder
    }
}

/// Reads a message from the one piece of memory that it is in, which takes half as long as from several that there might be.
pub(super) struct RequestDecoder;

impl Decoder for RequestDecoder {
    type Item = AuthorizeRequest;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<AuthorizeRequest>, Status> {
        let message = match buffer.chunk() {
            whole if whole.len() == buffer.remaining() => {
                let message = AuthorizeRequest::decode(whole);
                buffer.advance(buffer.remaining());
                message
            }
            _ => AuthorizeRequest::decode(buffer),
        };
        // The code that the guard takes for a message that is none, as it is tonic's.
        message
            .map(Some)
            .map_err(|error| Status::internal(error.to_string()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        buffers()
    }
}

fn buffers() -> BufferSettings {
    BufferSettings::new(BUFFER, YIELD_THRESHOLD)
}
