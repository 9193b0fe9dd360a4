//! The messages of a capture: one line each, or a tree; a summary on standard error.

use super::analysis::{Analysis, Protocol, analyse};
use super::{json, line, tree};
use crate::failure::Failure;
use crate::output::Output;
use anyhow::{Context as _, anyhow};
use capture::{CaptureError, Message, Messages, Transport};
use serde_json::json;
use std::io::{self, Read, Write};
use std::time::Duration;

/// What the user wants to see of a capture.
pub(super) struct View {
    /// Only the messages of this protocol.
    pub(super) protocol: Option<Protocol>,
    /// Each message as a tree.
    pub(super) tree: bool,
    pub(super) output: Output,
}

/// Shows the messages of the capture `name`, as they come.
pub(super) fn show(source: impl Read, name: &str, view: View) -> Result<(), Failure> {
    let mut messages = Messages::new(source).map_err(|error| refused(name, &error))?;
    let mut writer = Writer { out: io::stdout().lock(), view, first: None, invalid: 0 };
    let mut end = Ok(());
    for message in messages.by_ref() {
        match message {
            Ok(message) => {
                if !writer.message(&message).context("standard output")? {
                    return Ok(());
                }
            }
            Err(error) => end = Err(Failure::Other(anyhow!("{name}: {error}"))),
        }
    }
    let invalid = match writer.invalid {
        0 => String::new(),
        count => format!(", {count} of them discarded"),
    };
    eprintln!("{name}: {}{invalid}", messages.summary());
    end
}

fn refused(name: &str, error: &CaptureError) -> Failure {
    match error {
        CaptureError::Unknown => Failure::Usage(format!(
            "{name} is neither a pcap nor a pcapng file; hexadecimal text in a file is read with `decode - < {name}`"
        )),
        error => Failure::Other(anyhow!("{name}: {error}")),
    }
}

struct Writer<W> {
    out: W,
    view: View,
    /// When the first message came: lines show the time since.
    first: Option<Duration>,
    /// Messages that a receiver drops.
    invalid: u64,
}

impl<W: Write> Writer<W> {
    /// Whether there is still a reader.
    fn message(&mut self, message: &Message) -> io::Result<bool> {
        let protocol = match message.protocol {
            capture::Protocol::Asap => Protocol::Asap,
            capture::Protocol::Enrp => Protocol::Enrp,
        };
        if self.view.protocol.is_some_and(|wanted| wanted != protocol) {
            return Ok(true);
        }
        let analysis = analyse(&message.octets, Some(protocol));
        self.invalid += u64::from(analysis.message.is_err());
        let text = match self.view.output {
            Output::Json => self.object(message, &analysis),
            Output::Table => self.line(message, &analysis),
        };
        match self.out.write_all(text.as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            result => result.map(|()| true),
        }
    }

    fn line(&mut self, message: &Message, analysis: &Analysis) -> String {
        let time = message.time.map_or("-".into(), |time| {
            let first = *self.first.get_or_insert(time);
            let (sign, since) = if time < first { ("-", first - time) } else { ("", time - first) };
            format!("{sign}{}.{:06}", since.as_secs(), since.subsec_micros())
        });
        let over = match message.transport {
            Transport::Udp => " udp",
            _ => "",
        };
        let title = analysis.title(&message.octets);
        let Message { frame, source, destination, .. } = message;
        let summary = line::summary(analysis);
        let mut text = format!("{frame:>6} {time:>12}  {source} > {destination}{over}  {title}  {summary}\n");
        if self.view.tree {
            text += &tree::analysis(analysis, &message.octets);
            text += "\n";
        }
        text
    }

    fn object(&self, message: &Message, analysis: &Analysis) -> String {
        let mut object = json::analysis(analysis);
        object["frame"] = json!(message.frame);
        object["time"] = json!(message.time.map(|time| time.as_secs_f64()));
        object["source"] = json!(message.source);
        object["destination"] = json!(message.destination);
        object["octets"] = json!(hex::encode(&message.octets));
        let (name, stream, ppid) = match message.transport {
            Transport::Sctp { stream, ppid } => ("sctp", Some(stream), Some(ppid)),
            Transport::Encapsulated { stream, ppid, udp_ports } => {
                object["udp_ports"] = json!(udp_ports);
                ("sctp/udp", Some(stream), Some(ppid))
            }
            Transport::Udp => ("udp", None, None),
        };
        object["transport"] = json!(name);
        object["stream"] = json!(stream);
        object["ppid"] = json!(ppid);
        if self.view.tree {
            object["tree"] = json::tree(analysis, &message.octets);
        }
        format!("{object}\n")
    }
}
