//! Why a message could not be read or written.

use crate::{CauseCode, ErrorCause, ParameterType};
use bytes::Bytes;

/// A received message is not usable: where, what, and which cause tells its sender (RFC 5354 §3.12).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at octet {offset}: {problem}")]
pub struct DecodeError {
    /// Octets from the start of the message to what is wrong.
    pub offset: usize,
    /// What is wrong.
    pub problem: Problem,
    /// The cause that names it, where the RFC defines one; whether it is sent is another matter.
    pub cause: Option<ErrorCause>,
}

/// What is wrong with a received message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Less than the four octets of a message header.
    #[error("message of {0} octets is too short for its header")]
    Header(usize),
    /// Message Length does not go with what was received.
    #[error("Message Length {length} does not go with the {received} octets received")]
    MessageLength {
        /// What the message says.
        length: usize,
        /// What there is.
        received: usize,
    },
    /// A message type of the other protocol or of the future.
    #[error("message type 0x{0:02x} is unknown")]
    UnknownMessage(u8),
    /// The message ends within its fixed fields.
    #[error("message is too short for its {0}")]
    FixedField(&'static str),
    /// A fixed field has a value that must not be.
    #[error("{0}")]
    FieldValue(&'static str),
    /// One to three octets where a parameter should begin.
    #[error("{0} stray octets where a parameter should begin")]
    StrayOctets(usize),
    /// The length of a parameter or of a cause is less than its header or leaves its container.
    #[error("length {length} of {available} available octets")]
    ParameterLength {
        /// What it says.
        length: usize,
        /// What its container has left.
        available: usize,
    },
    /// A parameter that we do not know asks for the message to be dropped.
    #[error("{0} is unknown and must not be skipped")]
    UnknownParameter(ParameterType),
    /// A mandatory parameter is not there.
    #[error("{0} is missing")]
    Missing(ParameterType),
    /// A parameter that may stand once stands twice.
    #[error("{0} is there more than once")]
    Duplicate(ParameterType),
    /// A parameter with a value that must not be.
    #[error("{parameter}: {why}")]
    InvalidValues {
        /// The innermost parameter that is wrong.
        parameter: ParameterType,
        /// What is wrong with it.
        why: &'static str,
    },
    /// An Operation Error without a cause.
    #[error("Operation Error without a cause")]
    NoCause,
}

impl DecodeError {
    /// An error that no cause is defined for.
    pub fn new(offset: usize, problem: Problem) -> Self {
        Self { offset, problem, cause: None }
    }

    /// An error with the cause that reports it: its code and the offending octets.
    pub fn with_cause(offset: usize, problem: Problem, code: CauseCode, offender: &[u8]) -> Self {
        let information = Bytes::copy_from_slice(offender);
        Self { offset, problem, cause: Some(ErrorCause { code, information }) }
    }

    /// Whether the structure is sound and only a value is wrong (cause Invalid Values).
    pub fn is_invalid_values(&self) -> bool {
        matches!(self.problem, Problem::InvalidValues { .. })
    }
}

/// A message that must not or cannot be sent: always the fault of who built it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The message would be longer than its length field can say (65535 octets).
    #[error("message of {0} octets is longer than 65535")]
    MessageTooLong(usize),
    /// A parameter or a cause would be longer than its length field can say.
    #[error("parameter of {0} octets is longer than 65535")]
    ParameterTooLong(usize),
    /// An SCTP Transport needs an address (RFC 5354 §3.4).
    #[error("transport without an address")]
    NoAddress,
    /// Nobody can be reached there: an unspecified, multicast or broadcast address, or port 0 (ambiguity A-06).
    #[error("transport address {0} is not usable")]
    UnusableAddress(std::net::SocketAddr),
    /// Transport Use must be 0 or 1 (RFC 5354 §3.4).
    #[error("Transport Use 0x{0:04x} is not defined")]
    TransportUse(u16),
    /// An Operation Error needs a cause (RFC 5354 §3.12).
    #[error("Operation Error without a cause")]
    NoCause,
    /// The RFC forbids this content in this message.
    #[error("{0}")]
    Forbidden(&'static str),
}
