//! What tshark says about a capture: how many messages of each side, and what is wrong with which.

use anyhow::{Context, ensure};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

/// What tshark sees in one capture.
#[derive(Debug, Default)]
pub(super) struct Capture {
    /// SCTP packets that our programs sent.
    pub(super) packets_of_ours: usize,
    messages_of_ours: usize,
    messages_of_theirs: usize,
    /// What is wrong with packets of ours.
    pub(super) faults_of_ours: Vec<Fault>,
    /// What is wrong with packets of the others.
    pub(super) faults_of_theirs: BTreeSet<String>,
}

/// Something that tshark does not like.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) frame: String,
    pub(super) what: String,
}

/// Remarks that are about the network, or about the receiver's reading, not about the packet.
const NO_FAULTS: [&str; 6] = [
    "Retransmitted TSN",
    "This TSN was acked prior to this retransmission (reneged ack?).",
    "This TSN was retransmitted more than 2 times.",
    "Zero Advertised Receiver Window Credit",
    "More than 100 TSNs were gap-acknowledged in this SACK.",
    "More than 100 TSNs were nr-gap-acknowledged in this NR-SACK.",
];

/// The columns that tshark prints, in this order.
const FIELDS: [&str; 10] = [
    "frame.number",
    "ip.src",
    "ipv6.src",
    "sctp.verification_tag",
    "asap.message_type",
    "enrp.message_type",
    "asap.cause_length",
    "enrp.cause_length",
    "_ws.malformed",
    "_ws.expert.message",
];

/// Reads a capture; `ours` are the addresses of the hosts whose packets are ours.
pub(super) fn read(file: &Path, ours: &[IpAddr]) -> anyhow::Result<Capture> {
    let mut tshark = Command::new("tshark");
    tshark.args(["-n", "-o", "sctp.checksum:CRC32C", "-Y", "sctp || asap || enrp"]);
    tshark.args(["-T", "fields", "-E", "separator=/t", "-E", "aggregator=|"]);
    tshark.args(FIELDS.iter().flat_map(|field| ["-e", field]));
    let output = tshark.arg("-r").arg(file).output().context("tshark")?;
    ensure!(
        output.status.success(),
        "tshark {}: {}",
        file.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    let mut capture = Capture::default();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        capture.add(line, ours)?;
    }
    Ok(capture)
}

impl Capture {
    /// Takes in one line of tshark's: one packet.
    fn add(&mut self, line: &str, ours: &[IpAddr]) -> anyhow::Result<()> {
        let columns: Vec<&str> = line.split('\t').collect();
        let &[frame, v4, v6, sctp, asap, enrp, asap_cause, enrp_cause, malformed, remarks] = &columns[..]
        else {
            anyhow::bail!("tshark prints {} columns: {line:?}", columns.len());
        };
        // An ICMP message quotes a packet: its own sender comes first.
        let source = values(v4).chain(values(v6)).next().and_then(|address| address.parse().ok());
        let ours = source.is_some_and(|source: IpAddr| ours.contains(&source));
        let messages = values(asap).chain(values(enrp)).count();
        if ours {
            self.packets_of_ours += usize::from(!sctp.is_empty());
            self.messages_of_ours += messages;
        } else {
            self.messages_of_theirs += messages;
        }
        // tshark cannot do with an error cause without data, which is valid.
        let bare_cause = values(asap_cause).chain(values(enrp_cause)).any(|length| length == "4");
        let malformed = values(malformed).filter(|_| !bare_cause);
        let remarks = values(remarks).filter(|remark| !NO_FAULTS.contains(remark));
        let remarks = remarks.filter(|remark| !(bare_cause && remark.starts_with("Malformed")));
        for what in malformed.chain(remarks) {
            if ours {
                self.faults_of_ours.push(Fault { frame: frame.to_owned(), what: what.to_owned() });
            } else {
                self.faults_of_theirs.insert(what.to_owned());
            }
        }
        Ok(())
    }

    /// How much there was, for the reader.
    pub(super) fn counts(&self) -> String {
        format!(
            "tshark: {} ASAP and ENRP messages of ours, {} of theirs",
            self.messages_of_ours, self.messages_of_theirs
        )
    }
}

/// The values in a column.
fn values(column: &str) -> impl Iterator<Item = &str> {
    column.split('|').filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::Capture;

    const OURS: &str = "7\t10.77.0.2\t\t0x1\t1\t\t\t\t";

    fn read(rest: &str) -> Capture {
        let mut capture = Capture::default();
        capture.add(&format!("{OURS}{rest}"), &["10.77.0.2".parse().unwrap()]).unwrap();
        capture
    }

    #[test]
    fn a_retransmission_is_no_fault() {
        let capture = read("\tRetransmitted TSN|Retransmitted TSN");
        assert!(capture.faults_of_ours.is_empty());
        assert_eq!(capture.packets_of_ours, 1);
    }

    #[test]
    fn a_wrong_checksum_is_a_fault() {
        let capture = read("\tBad SCTP checksum.");
        assert_eq!(capture.faults_of_ours[0].frame, "7");
    }

    #[test]
    fn a_malformed_message_is_a_fault() {
        assert_eq!(
            read("[Malformed Packet: ASAP]\tMalformed Packet (Exception occurred)").faults_of_ours.len(),
            2
        );
    }
}
