//! RESP2 and RESP3: the value type, the encoder and two incremental decoders.
//!
//! - [`RequestDecoder`]: what a client sends to a server (arrays of bulk strings, inline commands);
//! - [`FrameDecoder`]: anything a server answers (tests, tools, and replies of data nodes).
//!
//! Both keep their position between calls (every byte is looked at once, however the input is cut), check
//! every [`Limits`] value against the *announced* length before anything is allocated for it, and hold no
//! more than the bytes that really arrived.

mod decode;
mod encode;
mod frame;
mod limits;
mod number;
mod request;
mod words;

pub use decode::FrameDecoder;
pub use encode::{Protocol, encode, encode_command};
pub use frame::Frame;
pub use limits::{Limits, ProtocolError};
pub use number::parse_integer;
pub use request::RequestDecoder;
pub use words::split_words;

#[cfg(test)]
mod tests;
