//! A message as a tree: each line has the byte offset. It shows what stands there, right or wrong, as far as
//! the lengths lead.

use super::analysis::{Analysis, Protocol};
use params::wire::{HEADER, Input, Parameter};
use params::{CauseCode, ParameterType, PolicyType};
use std::fmt::Display;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Nothing that we know nests deeper: message, element, transport, address.
const MAX_DEPTH: usize = 5;

/// A line of the tree.
pub(super) struct Line {
    /// How deep it is nested.
    pub(super) depth: usize,
    /// Octets from the start of the message.
    pub(super) offset: usize,
    pub(super) text: String,
}

/// The whole text: what the message is, its tree, and what a receiver does with it.
pub(super) fn analysis(analysis: &Analysis, octets: &[u8]) -> String {
    let guessed = if analysis.guessed { " (guessed)" } else { "" };
    let (protocol, title) = (analysis.protocol.name(), analysis.title(octets));
    let mut text = format!("{protocol}{guessed}: {title}, {} octets\n", octets.len());
    for Line { depth, offset, text: line } in lines(analysis.protocol, octets) {
        text += &format!("{offset:5}  {:indent$}{line}\n", "", indent = 2 * depth);
    }
    text += &format!("outcome: {}\n", analysis.outcome);
    if let Err(error) = &analysis.message {
        text += &format!("dropped: {error}\n");
    }
    if let Some(reply) = &analysis.reply {
        text += &format!("reply: {}\n", hex::encode(reply));
    }
    if let Some(sent) = analysis.reencoded.as_ref().filter(|sent| sent[..] != *octets) {
        text += &format!("we would send: {}\n", hex::encode(sent));
    }
    text
}

/// The tree alone.
pub(super) fn lines(protocol: Protocol, octets: &[u8]) -> Vec<Line> {
    let mut tree = Tree { lines: Vec::new() };
    tree.message(protocol, octets);
    tree.lines
}

struct Tree {
    lines: Vec<Line>,
}

impl Tree {
    fn line(&mut self, depth: usize, offset: usize, text: impl Display) {
        self.lines.push(Line { depth, offset, text: text.to_string() });
    }

    fn message(&mut self, protocol: Protocol, octets: &[u8]) {
        let Some(&[kind, flags, high, low]) = octets.first_chunk() else {
            return self.rest(0, Input::new(octets, 0));
        };
        let length = u16::from_be_bytes([high, low]);
        self.line(0, 0, format_args!("type 0x{kind:02x}, flags 0x{flags:02x}, length {length}"));
        let end = usize::from(length).clamp(HEADER, octets.len());
        let mut body = Input::new(&octets[HEADER..end], HEADER);
        for field in fixed_fields(protocol, kind) {
            self.field(0, &mut body, field);
        }
        self.parameters(0, body);
        if end < octets.len() {
            self.line(0, end, format_args!("padding {}", hex::encode(&octets[end..])));
        }
    }

    fn field(&mut self, depth: usize, input: &mut Input<'_>, field: &str) {
        let offset = input.offset();
        match input.u32() {
            Some(value) => self.line(depth, offset, format_args!("{field} 0x{value:08x}")),
            None => self.line(depth, offset, format_args!("{field} is missing")),
        }
    }

    fn parameters(&mut self, depth: usize, mut input: Input<'_>) {
        if depth > MAX_DEPTH {
            return self.rest(depth, input);
        }
        loop {
            match input.tlv() {
                Ok(Some(parameter)) => self.parameter(depth, &parameter),
                Ok(None) => return,
                Err(error) => {
                    self.line(depth, error.offset, error.problem);
                    return self.rest(depth, input);
                }
            }
        }
    }

    fn parameter(&mut self, depth: usize, parameter: &Parameter<'_>) {
        let mut value = parameter.value();
        let title = format!("{}, length {}", parameter.kind, parameter.tlv.len());
        let octets = value.bytes();
        match parameter.kind {
            ParameterType::IPV4_ADDRESS | ParameterType::IPV6_ADDRESS => {
                self.line(depth, parameter.offset, format_args!("{title}: {}", address(octets)));
            }
            ParameterType::POOL_HANDLE => {
                self.line(depth, parameter.offset, format_args!("{title}: \"{}\"", octets.escape_ascii()));
            }
            ParameterType::SCTP_TRANSPORT
            | ParameterType::TCP_TRANSPORT
            | ParameterType::UDP_TRANSPORT
            | ParameterType::UDP_LITE_TRANSPORT
            | ParameterType::DCCP_TRANSPORT => {
                self.line(depth, parameter.offset, title);
                let offset = value.offset();
                if let (Some(port), Some(second)) = (value.u16(), value.u16()) {
                    let name = match parameter.kind {
                        ParameterType::SCTP_TRANSPORT => "Transport Use",
                        _ => "reserved",
                    };
                    self.line(depth + 1, offset, format_args!("port {port}, {name} {second}"));
                }
                if parameter.kind == ParameterType::DCCP_TRANSPORT {
                    self.field(depth + 1, &mut value, "Service Code");
                }
                self.parameters(depth + 1, value);
            }
            ParameterType::POOL_ELEMENT => {
                self.line(depth, parameter.offset, title);
                self.field(depth + 1, &mut value, "PE Identifier");
                self.field(depth + 1, &mut value, "Home ENRP Server Identifier");
                let offset = value.offset();
                match value.u32().map(u32::cast_signed) {
                    Some(life) => self.line(depth + 1, offset, format_args!("Registration Life {life}")),
                    None => self.line(depth + 1, offset, "Registration Life is missing"),
                }
                self.parameters(depth + 1, value);
            }
            ParameterType::SERVER_INFORMATION => {
                self.line(depth, parameter.offset, title);
                self.field(depth + 1, &mut value, "Server ID");
                self.parameters(depth + 1, value);
            }
            ParameterType::POLICY => {
                self.line(depth, parameter.offset, title);
                let offset = value.offset();
                if let Some(number) = value.u32() {
                    let policy = PolicyType(number);
                    self.line(depth + 1, offset, format_args!("Policy Type 0x{number:08x}, {policy}"));
                }
                self.rest(depth + 1, value);
            }
            ParameterType::OPERATION_ERROR => {
                self.line(depth, parameter.offset, title);
                self.causes(depth + 1, value);
            }
            _ => {
                self.line(depth, parameter.offset, title);
                self.rest(depth + 1, value);
            }
        }
    }

    fn causes(&mut self, depth: usize, mut input: Input<'_>) {
        loop {
            match input.tlv() {
                Ok(Some(cause)) => {
                    let code = CauseCode(cause.kind.0);
                    self.line(depth, cause.offset, format_args!("{code}, length {}", cause.tlv.len()));
                    self.rest(depth + 1, cause.value());
                }
                Ok(None) => return,
                Err(error) => {
                    self.line(depth, error.offset, error.problem);
                    return self.rest(depth, input);
                }
            }
        }
    }

    /// Octets that are not taken apart.
    fn rest(&mut self, depth: usize, input: Input<'_>) {
        if !input.bytes().is_empty() {
            self.line(depth, input.offset(), hex::encode(input.bytes()));
        }
    }
}

/// The 32-bit fields between the header and the parameters.
fn fixed_fields(protocol: Protocol, kind: u8) -> &'static [&'static str] {
    const SENDER: &str = "Sending Server's ID";
    const RECEIVER: &str = "Receiving Server's ID";
    match protocol {
        Protocol::Asap => match asap::MessageType(kind) {
            asap::MessageType::ENDPOINT_KEEP_ALIVE | asap::MessageType::SERVER_ANNOUNCE => {
                &["Server Identifier"]
            }
            _ => &[],
        },
        Protocol::Enrp => match enrp::MessageType(kind) {
            enrp::MessageType::HANDLE_UPDATE => &[SENDER, RECEIVER, "Update Action and reserved"],
            enrp::MessageType::INIT_TAKEOVER
            | enrp::MessageType::INIT_TAKEOVER_ACK
            | enrp::MessageType::TAKEOVER_SERVER => &[SENDER, RECEIVER, "Targeting Server's ID"],
            _ => &[SENDER, RECEIVER],
        },
    }
}

fn address(octets: &[u8]) -> String {
    if let Ok(octets) = <[u8; 4]>::try_from(octets) {
        return Ipv4Addr::from(octets).to_string();
    }
    match <[u8; 16]>::try_from(octets) {
        Ok(octets) => Ipv6Addr::from(octets).to_string(),
        Err(_) => hex::encode(octets),
    }
}
