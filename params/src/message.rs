//! What all messages have in common (RFC 5354 §4): the header, unknown types, and what becomes of a received message.

use crate::wire::{HEADER, Input, Unrecognized, padded};
use crate::{CauseCode, DecodeError, ErrorCause, OperationError, Problem};
use bytes::Bytes;

/// The largest Message Length.
pub const MAX_MESSAGE_LENGTH: usize = u16::MAX as usize;

/// The largest Message Length of a report of what was not understood: it must not be worth provoking (ambiguity A-13).
pub const MAX_REPORT_LENGTH: usize = 1280;

/// What became of a received message: `T` is its type, `M` the message itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded<T, M> {
    /// Its type; nothing if there is not even a header that can be trusted.
    pub message_type: Option<T>,
    /// The message, or why it is dropped.
    pub message: Result<M, DecodeError>,
    /// A complete message to send back on the same association, whether the message is dropped or not.
    pub reply: Option<Bytes>,
}

impl<T, M> Decoded<T, M> {
    /// What happens to the message, in one word.
    pub fn outcome(&self) -> Outcome {
        match (&self.message, &self.reply) {
            (Ok(_), None) => Outcome::Accept,
            (Ok(_), Some(_)) => Outcome::AcceptAndReport,
            (Err(_), None) => Outcome::Discard,
            (Err(_), Some(_)) => Outcome::DiscardAndReport,
        }
    }
}

/// What happens to a received message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It is processed.
    Accept,
    /// It is processed, and its sender hears of parameters that were not understood.
    AcceptAndReport,
    /// It is dropped.
    Discard,
    /// It is dropped, and its sender hears why.
    DiscardAndReport,
}

impl Outcome {
    /// As one word: `accept`, `accept+report`, `discard`, `discard+report`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::AcceptAndReport => "accept+report",
            Self::Discard => "discard",
            Self::DiscardAndReport => "discard+report",
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A message whose header was read.
///
/// ```text
/// +---------------+---------------+-------------------------------+
/// |     Type      |     Flags     |        Message Length         |
/// +---------------+---------------+-------------------------------+
/// :                             Value                             :
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RawMessage<'a> {
    /// Its type, of which the protocol knows the meaning.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// The message without the padding at its end.
    pub octets: &'a [u8],
}

impl<'a> RawMessage<'a> {
    /// Reads the header. Padding at the end may be missing, and Message Length may count it (ambiguity A-01).
    pub fn decode(received: &'a [u8]) -> Result<Self, DecodeError> {
        let Some(&[kind, flags, high, low]) = received.first_chunk() else {
            return Err(DecodeError::new(0, Problem::Header(received.len())));
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let sound = length >= HEADER && (received.len() == length || received.len() == padded(length));
        match received.get(..length) {
            Some(octets) if sound => Ok(Self { kind, flags, octets }),
            _ => Err(DecodeError::new(2, Problem::MessageLength { length, received: received.len() })),
        }
    }

    /// What follows the header.
    pub fn value(&self) -> Input<'a> {
        Input::new(self.octets.get(HEADER..).unwrap_or_default(), HEADER)
    }

    /// The error that its type is unknown. There is a cause if its sender wants to hear of it: upper bits 01
    /// (RFC 5354 §4); the reserved 10 and 11 are dropped silently (ambiguity A-14).
    pub fn unknown(&self) -> DecodeError {
        let problem = Problem::UnknownMessage(self.kind);
        match self.kind >> 6 {
            1 => DecodeError::with_cause(0, problem, CauseCode::UNRECOGNIZED_MESSAGE, self.octets),
            _ => DecodeError::new(0, problem),
        }
    }
}

/// The report that the action bits of unknown messages and parameters ask for (RFC 5354 §3, §4), if any.
///
/// `room` is what the Operation Error parameter may take with its header; a report that does not fit is cut
/// (ambiguity A-13).
pub fn report<M>(
    message: &Result<M, DecodeError>,
    unrecognized: &Unrecognized<'_>,
    room: usize,
) -> Option<OperationError> {
    let stopped_by = match message {
        Ok(_) => None,
        Err(DecodeError {
            problem: Problem::UnknownParameter(_) | Problem::UnknownMessage(_),
            cause,
            ..
        }) => Some(cause.as_ref()?),
        Err(_) => return None,
    };
    let skipped = unrecognized.parameters().iter().map(|tlv| (CauseCode::UNRECOGNIZED_PARAMETER, *tlv));
    let stopped_by = stopped_by.map(|cause| (cause.code, &cause.information[..]));
    let error = cut(skipped.chain(stopped_by), room);
    (!error.causes.is_empty()).then_some(error)
}

/// An Operation Error of these causes that takes at most `room` octets with its header: the last is cut to fit.
pub fn cut<'a>(causes: impl IntoIterator<Item = (CauseCode, &'a [u8])>, room: usize) -> OperationError {
    let mut error = OperationError { causes: Vec::new() };
    let mut used = HEADER;
    for (code, information) in causes {
        let start = padded(used) + HEADER;
        let Some(left) = room.checked_sub(start) else { break };
        let information = &information[..information.len().min(left)];
        error.causes.push(ErrorCause { code, information: Bytes::copy_from_slice(information) });
        used = start + information.len();
    }
    error
}

/// Defines the `MessageType` of a protocol: a newtype with a constant and a name for each type it knows.
#[macro_export]
macro_rules! message_types {
    ($($(#[$doc:meta])* $constant:ident = $number:literal, $name:literal;)*) => {
        /// The type of a message. Unknown types survive.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct MessageType(pub u8);

        impl MessageType {
            $($(#[$doc])* pub const $constant: Self = Self($number);)*

            /// Its name in the RFC, if it is known.
            pub fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$constant => Some($name),)*
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for MessageType {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, "message 0x{:02x}", self.0),
                }
            }
        }

        impl std::fmt::Debug for MessageType {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "MessageType(0x{:02x})", self.0)
            }
        }
    };
}
