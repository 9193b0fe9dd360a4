//! Why an association ended, from what the kernel tells (RFC 6458 §6.1.1).

use super::notification::End;
use proto::DownReason;

/// Cause code of an ABORT with the user's reason (RFC 9260 §3.3.10.12).
const USER_INITIATED_ABORT: u16 = 12;
/// Length of a cause's header.
const CAUSE_HEADER: usize = 4;

/// Why an established association was lost. The kernel adds the causes of the peer's ABORT, if there were any; it
/// does not tell silence from an ABORT without a cause, but it finds a path dead before it gives up for silence:
/// `is_silent` says whether it did.
pub(super) fn lost(end: &End, is_silent: bool) -> DownReason {
    match (end.causes.get(..CAUSE_HEADER), end.cause) {
        (Some(_), _) => DownReason::PeerAborted(text(&end.causes)),
        (None, 0) if is_silent => DownReason::Unreachable,
        (None, 0) => DownReason::PeerAborted("no reason given".into()),
        (None, code) => DownReason::Violation(format!("cause {code}")),
    }
}

/// Why an association could not be established.
pub(super) fn not_established(end: &End) -> DownReason {
    DownReason::ConnectFailed(match end.cause {
        0 if end.causes.is_empty() => "refused or no answer".into(),
        0 => format!("refused: {}", text(&end.causes)),
        code => format!("refused: cause {code}"),
    })
}

/// The first error cause for people: the user's text, or the code.
fn text(causes: &[u8]) -> String {
    let (Some(&[c0, c1]), Some(&[l0, l1])) =
        (causes.first_chunk(), causes.get(2..).and_then(<[u8]>::first_chunk))
    else {
        return String::new();
    };
    let code = u16::from_be_bytes([c0, c1]);
    let length = usize::from(u16::from_be_bytes([l0, l1])).min(causes.len());
    match (code, causes.get(CAUSE_HEADER..length)) {
        (USER_INITIATED_ABORT, Some(reason)) => String::from_utf8_lossy(reason).into_owned(),
        _ => format!("cause {code}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(cause: u16, causes: &[u8]) -> End {
        End { cause, causes: causes.to_vec() }
    }

    #[test]
    fn the_reason_of_the_peers_abort_is_told() {
        let causes = b"\x00\x0c\x00\x09lunch\0\0\0";
        assert_eq!(lost(&end(12, causes), false), DownReason::PeerAborted("lunch".into()));
        assert_eq!(lost(&end(13, &[0, 13, 0, 4]), false), DownReason::PeerAborted("cause 13".into()));
    }

    // SCTP-6458-03
    #[test]
    fn silence_is_no_abort() {
        assert_eq!(lost(&end(0, &[]), true), DownReason::Unreachable);
        assert!(lost(&end(0, &[]), false).is_positive());
        assert_eq!(not_established(&end(0, &[])), DownReason::ConnectFailed("refused or no answer".into()));
    }

    #[test]
    fn causes_with_wrong_lengths_are_no_harm() {
        for causes in [&[0, 12, 255, 255, b'x'][..], &[0, 12, 0, 0], &[0, 12, 0], &[0]] {
            lost(&end(12, causes), false);
        }
        assert_eq!(lost(&end(12, &[0, 12, 255, 255, b'x']), false), DownReason::PeerAborted("x".into()));
    }
}
