//! `rserpool decode`: one message as a tree with byte offsets, or all messages of a capture; both also as JSON.

mod analysis;
mod captured;
mod json;
mod line;
mod tree;

use crate::failure::Failure;
use crate::output::{Output, print};
use analysis::{Protocol, analyse};
use anyhow::Context as _;
use clap::Args;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// More hexadecimal text than the largest message needs, with separators.
const MAX_TEXT: u64 = 1 << 20;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The protocol of the octets; without it, the one whose rules they obey, ASAP first. Of a capture: show only these
    #[arg(long, value_enum)]
    protocol: Option<Protocol>,

    /// Show each message of a capture as a tree, in JSON beside the rest. A single message always is
    #[arg(long)]
    tree: bool,

    /// A pcap or pcapng capture, if a file of that name exists; else the octets of a message in hexadecimal, in which
    /// white space, colons and 0x are ignored. `-` reads either from standard input
    #[arg(value_name = "FILE|HEX|-", required = true)]
    what: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments, output: Output) -> Result<(), Failure> {
    let view = captured::View { protocol: arguments.protocol, tree: arguments.tree, output };
    match &arguments.what[..] {
        [only] if only == "-" => {
            let mut start = Vec::new();
            let mut stdin = io::stdin().lock();
            stdin.by_ref().take(4).read_to_end(&mut start).context("cannot read standard input")?;
            let all = io::Cursor::new(start.clone()).chain(stdin);
            if capture::is_capture(&start) {
                return captured::show(all, "standard input", view);
            }
            one(&text(all)?, arguments.protocol, output)
        }
        [only] if Path::new(only).exists() => {
            let file = File::open(only).with_context(|| format!("cannot open {only}"))?;
            if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
                return Err(Failure::Usage(format!("{only} is a directory: name a capture in it")));
            }
            captured::show(file, only, view)
        }
        several => match several.iter().find(|name| several.len() > 1 && Path::new(name).is_file()) {
            Some(name) => Err(Failure::Usage(format!("{name} is a file: give one capture and nothing else"))),
            None => one(&several.concat(), arguments.protocol, output),
        },
    }
}

/// Shows one message.
fn one(text: &str, protocol: Option<Protocol>, output: Output) -> Result<(), Failure> {
    let octets = parse_hex(text).map_err(Failure::Usage)?;
    let analysis = analyse(&octets, protocol);
    let shown = match output {
        Output::Json => {
            let mut object = json::analysis(&analysis);
            object["tree"] = json::tree(&analysis, &octets);
            format!("{object:#}\n")
        }
        Output::Table => tree::analysis(&analysis, &octets),
    };
    Ok(print(&shown)?)
}

fn text(input: impl Read) -> Result<String, Failure> {
    let mut text = Vec::new();
    input.take(MAX_TEXT + 1).read_to_end(&mut text).context("cannot read standard input")?;
    if text.len() as u64 > MAX_TEXT {
        return Err(Failure::Usage("more than a message on standard input".into()));
    }
    String::from_utf8(text)
        .map_err(|_| Failure::Usage("standard input is neither a capture nor hexadecimal text".into()))
}

/// Reads hexadecimal text leniently; the error says what is wrong with it.
fn parse_hex(text: &str) -> Result<Vec<u8>, String> {
    let digits = text.replace("0x", "").replace("0X", "");
    let digits: String = digits.chars().filter(|c| !c.is_whitespace() && *c != ':').collect();
    if digits.is_empty() {
        return Err(
            "there is nothing to decode: give the octets of a message in hexadecimal, or a capture".into()
        );
    }
    hex::decode(&digits).map_err(|error| match error {
        hex::FromHexError::InvalidHexCharacter { .. } if text.contains(['/', '.']) => {
            format!("there is no file {text:?}")
        }
        hex::FromHexError::InvalidHexCharacter { c, index } => {
            format!(
                "{c:?} (digit {}) is not a hexadecimal digit, and there is no file of that name",
                index + 1
            )
        }
        _ => format!("{} hexadecimal digits are not whole octets", digits.len()),
    })
}
