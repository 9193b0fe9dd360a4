//! What was found in a capture, and what could not be read.

use std::collections::BTreeMap;
use std::fmt;

/// Counts of a capture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Frames in the file.
    pub frames: u64,
    /// ASAP messages.
    pub asap: u64,
    /// ENRP messages.
    pub enrp: u64,
    /// Complete user messages of SCTP with another payload protocol identifier.
    pub other_data: u64,
    /// DATA chunks that were there before, which are shown once.
    pub retransmissions: u64,
    /// SCTP packets whose checksum is wrong, mostly because the network card computes it. They are read.
    pub wrong_checksums: u64,
    /// What could not be read.
    pub unread: Unread,
}

/// Counts of what could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    /// Frames of a link type that we do not know, by its number.
    pub link_types: BTreeMap<u16, u64>,
    /// Packets of SCTP or UDP of which the capture holds only the beginning. The whole chunks in it are read.
    pub cut: u64,
    /// Fragments of IP packets with SCTP or UDP.
    pub ip_fragments: u64,
    /// Packets whose IP, UDP or SCTP contradicts itself.
    pub malformed: u64,
    /// Messages of which fragments are missing in the capture.
    pub incomplete: u64,
    /// Messages given up because more than we keep were incomplete.
    pub evicted: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let messages = self.asap + self.enrp;
        write!(f, "{}, {}", counted(self.frames, "frame"), counted(messages, "message"))?;
        write!(f, " (ASAP {}, ENRP {})", self.asap, self.enrp)?;
        let others = [
            (self.retransmissions, "retransmitted chunk"),
            (self.other_data, "user message"),
            (self.wrong_checksums, "wrong SCTP checksum"),
        ];
        for (count, what) in others.into_iter().filter(|(count, _)| *count > 0) {
            let whose = if what == "user message" { " of other protocols" } else { "" };
            write!(f, ", {}{whose}", counted(count, what))?;
        }
        if self.unread != Unread::default() {
            write!(f, "; not read: {}", self.unread)?;
        }
        Ok(())
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let links = self.link_types.iter().map(|(link, count)| {
            format!("{} of link type {link}, which is not supported", counted(*count, "frame"))
        });
        let others = [
            (self.cut, "cut packet"),
            (self.ip_fragments, "IP fragment"),
            (self.malformed, "malformed packet"),
            (self.incomplete, "incomplete message"),
            (self.evicted, "incomplete message given up to bound memory"),
        ];
        let others = others.into_iter().filter(|(count, _)| *count > 0);
        let parts: Vec<String> = links.chain(others.map(|(count, what)| counted(count, what))).collect();
        f.write_str(&parts.join(", "))
    }
}

fn counted(count: u64, what: &str) -> String {
    match (count, what.split_once(' ')) {
        (1, _) => format!("1 {what}"),
        (_, Some(("incomplete", rest))) => {
            format!("{count} incomplete {}", rest.replacen("message", "messages", 1))
        }
        _ => format!("{count} {what}s"),
    }
}
