//! What a receiver makes of one message.

use bytes::Bytes;
use clap::ValueEnum;
use params::wire::HEADER;
use params::{DecodeError, Outcome, Problem, RegistrarId};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Protocol {
    Asap,
    Enrp,
}

impl Protocol {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Asap => "ASAP",
            Self::Enrp => "ENRP",
        }
    }
}

/// A message of either protocol.
pub(super) enum Message {
    Asap(asap::Message),
    Enrp(enrp::Message),
}

/// What was found out about the octets.
pub(super) struct Analysis {
    pub(super) protocol: Protocol,
    pub(super) guessed: bool,
    /// The name of the type, if there is a header with a type that is known.
    pub(super) message_type: Option<&'static str>,
    pub(super) message: Result<Message, DecodeError>,
    pub(super) outcome: Outcome,
    pub(super) reply: Option<Bytes>,
    /// What we would send for the same message.
    pub(super) reencoded: Option<Bytes>,
}

impl Analysis {
    /// What the message is, or why it is none.
    pub(super) fn title(&self, octets: &[u8]) -> String {
        let kind = |kind: u8| match self.protocol {
            Protocol::Asap => asap::MessageType(kind).to_string(),
            Protocol::Enrp => enrp::MessageType(kind).to_string(),
        };
        match (&self.message, octets.first()) {
            (Err(DecodeError { problem: Problem::Header(_), .. }), _) | (_, None) => {
                format!("shorter than a header of {HEADER} octets")
            }
            (Err(DecodeError { problem: Problem::MessageLength { length, .. }, .. }), Some(number)) => {
                format!("{} whose Message Length is {length}", kind(*number))
            }
            (Err(DecodeError { problem: Problem::UnknownMessage(_), .. }), Some(number)) => {
                format!("unknown {}", kind(*number))
            }
            (_, Some(number)) => kind(*number),
        }
    }
}

pub(super) fn analyse(octets: &[u8], protocol: Option<Protocol>) -> Analysis {
    match protocol {
        Some(Protocol::Asap) => analyse_asap(octets, false),
        Some(Protocol::Enrp) => analyse_enrp(octets, false),
        None => {
            let (asap, enrp) = (analyse_asap(octets, true), analyse_enrp(octets, true));
            if asap.message.is_err() && enrp.message.is_ok() { enrp } else { asap }
        }
    }
}

fn analyse_asap(octets: &[u8], guessed: bool) -> Analysis {
    let decoded = asap::decode(octets);
    Analysis {
        protocol: Protocol::Asap,
        guessed,
        message_type: decoded.message_type.and_then(asap::MessageType::name),
        outcome: decoded.outcome(),
        reencoded: decoded.message.as_ref().ok().and_then(|message| message.encode().ok()),
        message: decoded.message.map(Message::Asap),
        reply: decoded.reply,
    }
}

/// The reply comes from the registrar that the message is addressed to.
fn analyse_enrp(octets: &[u8], guessed: bool) -> Analysis {
    let receiver = octets.get(8..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
    let decoded = enrp::decode(octets, RegistrarId(u32::from_be_bytes(receiver)));
    Analysis {
        protocol: Protocol::Enrp,
        guessed,
        message_type: decoded.message_type.and_then(enrp::MessageType::name),
        outcome: decoded.outcome(),
        reencoded: decoded.message.as_ref().ok().and_then(|message| message.encode().ok()),
        message: decoded.message.map(Message::Enrp),
        reply: decoded.reply,
    }
}
