//! `rserpool decode`: one message as a tree with byte offsets, or as JSON.

mod json;
mod tree;

use crate::failure::Failure;
use crate::output::{Output, print};
use anyhow::Context as _;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use params::{DecodeError, Outcome, RegistrarId};
use std::io::Read as _;

/// More hexadecimal text than the largest message needs, with separators.
const MAX_TEXT: u64 = 1 << 20;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The protocol; without it, the one whose rules the message obeys, ASAP first
    #[arg(long, value_enum)]
    protocol: Option<Protocol>,

    /// The octets in hexadecimal, `-` to read them from standard input. White space, colons and 0x are ignored
    #[arg(value_name = "HEX|-", required = true)]
    hex: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Protocol {
    Asap,
    Enrp,
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Self::Asap => "ASAP",
            Self::Enrp => "ENRP",
        }
    }
}

/// A message of either protocol.
enum Message {
    Asap(asap::Message),
    Enrp(enrp::Message),
}

/// What was found out about the octets.
struct Analysis {
    protocol: Protocol,
    guessed: bool,
    /// The name of the type, if there is a header with a type that is known.
    message_type: Option<&'static str>,
    message: Result<Message, DecodeError>,
    outcome: Outcome,
    reply: Option<Bytes>,
    /// What we would send for the same message.
    reencoded: Option<Bytes>,
}

pub(crate) fn run(arguments: &Arguments, output: Output) -> Result<(), Failure> {
    let octets = parse_hex(&text(&arguments.hex)?).map_err(Failure::Usage)?;
    let analysis = analyse(&octets, arguments.protocol);
    let shown = match output {
        Output::Json => format!("{:#}\n", json::analysis(&analysis)),
        Output::Table => tree::analysis(&analysis, &octets),
    };
    Ok(print(&shown)?)
}

fn text(arguments: &[String]) -> Result<String, Failure> {
    if arguments != ["-"] {
        return Ok(arguments.concat());
    }
    let mut text = Vec::new();
    std::io::stdin().take(MAX_TEXT + 1).read_to_end(&mut text).context("cannot read standard input")?;
    if text.len() as u64 > MAX_TEXT {
        return Err(Failure::Usage("more than a message on standard input".into()));
    }
    String::from_utf8(text).map_err(|_| Failure::Usage("standard input is not hexadecimal text".into()))
}

/// Reads hexadecimal text leniently; the error says what is wrong with it.
fn parse_hex(text: &str) -> Result<Vec<u8>, String> {
    let text = text.replace("0x", "").replace("0X", "");
    let digits: String = text.chars().filter(|c| !c.is_whitespace() && *c != ':').collect();
    hex::decode(&digits).map_err(|error| match error {
        hex::FromHexError::InvalidHexCharacter { c, index } => {
            format!("{c:?} (digit {}) is not a hexadecimal digit", index + 1)
        }
        _ => format!("{} hexadecimal digits are not whole octets", digits.len()),
    })
}

fn analyse(octets: &[u8], protocol: Option<Protocol>) -> Analysis {
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
