//! Why an association ended, from what the kernel tells (RFC 6458 §6.1.1).

use super::notification::End;
use crate::sctp::SctpTiming;
use proto::DownReason;
use std::time::Duration;

/// Cause code of an ABORT with the user's reason (RFC 9260 §3.3.10.12).
const USER_INITIATED_ABORT: u16 = 12;
/// Length of a cause's header.
const CAUSE_HEADER: usize = 4;

/// The kernel counts time in ticks of at most this, and a timer may be one of them short.
const TICK: Duration = Duration::from_millis(10);

/// After how long the kernel gives up, at the earliest, when a connect has no answer. It waits for RTO.Initial after each INIT
/// or COOKIE ECHO, and longer after the later ones.
pub(super) fn patience(timing: &SctpTiming) -> Duration {
    timing.rto_initial.saturating_sub(TICK) * (timing.max_init_retransmits + 1)
}

/// Why an established association was lost. The kernel adds the causes of the peer's ABORT, if there were any; it
/// does not tell silence from an ABORT without a cause. But the only path of a peer is dead to it before it gives up for
/// silence, while several may share the errors that are too many. `is_silent` says whether a path was dead, or there were several.
pub(super) fn lost(end: &End, is_silent: bool) -> DownReason {
    match (end.causes.get(..CAUSE_HEADER), end.cause) {
        (Some(_), _) => DownReason::PeerAborted(text(&end.causes)),
        (None, 0) if is_silent => DownReason::Unreachable,
        (None, 0) => DownReason::PeerAborted("no reason given".into()),
        (None, code) => DownReason::Violation(format!("cause {code}")),
    }
}

/// Why an association could not be established. For want of an answer the kernel tells the same as for an ABORT without a
/// cause, which is what it answers where nobody listens, and for ICMP; but that comes sooner. `is_late` says whether the
/// [`patience`] was over.
pub(super) fn not_established(end: &End, is_late: bool) -> DownReason {
    match end.cause {
        0 if !end.causes.is_empty() => DownReason::ConnectFailed(format!("refused: {}", text(&end.causes))),
        0 if is_late => DownReason::Unreachable,
        0 => DownReason::ConnectFailed("refused".into()),
        code => DownReason::ConnectFailed(format!("refused: cause {code}")),
    }
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
    }

    // SCTP-6458-03, design D9: a refusal comes at once, or after one of the later INITs; silence when all have had their time.
    #[test]
    fn a_connect_without_any_answer_is_no_refusal() {
        let refused = |why: &str| DownReason::ConnectFailed(format!("refused{why}"));
        assert_eq!(not_established(&end(0, &[]), false), refused(""));
        assert_eq!(not_established(&end(0, &[]), true), DownReason::Unreachable);
        for is_late in [false, true] {
            assert_eq!(not_established(&end(4, &[]), is_late), refused(": cause 4"));
            let causes = b"\x00\x0c\x00\x09lunch\0\0\0";
            assert_eq!(not_established(&end(0, causes), is_late), refused(": lunch"));
        }
    }

    // Three INITs, or nine, each with a timer of at least RTO.Initial.
    #[test]
    fn the_kernel_gives_up_a_connect_no_sooner_than_its_timers_allow() {
        assert_eq!(patience(&SctpTiming::lan()), Duration::from_millis(270));
        assert_eq!(patience(&SctpTiming::rfc()), Duration::from_millis(8910));
    }

    #[test]
    fn causes_with_wrong_lengths_are_no_harm() {
        for causes in [&[0, 12, 255, 255, b'x'][..], &[0, 12, 0, 0], &[0, 12, 0], &[0]] {
            lost(&end(12, causes), false);
        }
        assert_eq!(lost(&end(12, &[0, 12, 255, 255, b'x']), false), DownReason::PeerAborted("x".into()));
    }
}
