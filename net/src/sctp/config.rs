//! What can be set at an embedded endpoint.

use super::table::Key;
use dcsctp::api::Options;
use proto::profile::Profile;
use std::time::Duration;

/// How an embedded endpoint behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SctpConfig {
    /// Timers and retransmissions.
    pub timing: SctpTiming,
    /// Bounds of memory and work.
    pub limits: SctpLimits,
    /// The largest user message, both ways, in bytes. The receive window is 1.25 times as large, at least
    /// 128 KiB. A larger message to send comes back; a larger one that arrives ends its association.
    pub max_message_size: usize,
    /// Streams to offer in both directions, at most 32,768.
    pub streams: u16,
    /// Largest SCTP packet in bytes, without what carries it.
    pub mtu: usize,
    /// Whether peers may start associations with this endpoint.
    pub listening: bool,
}

impl SctpConfig {
    /// Offers for ASAP and ENRP: messages of 64 KiB, as the 16-bit Message Length needs (RFC 5354 §4).
    pub const CONTROL_MESSAGE_SIZE: usize = 65_536;
    /// Offers for endpoints that carry sessions.
    pub const SESSION_MESSAGE_SIZE: usize = 1 << 20;

    /// For registrars, and for elements and users without sessions.
    pub fn control() -> Self {
        Self {
            timing: SctpTiming::lan(),
            limits: SctpLimits::default(),
            max_message_size: Self::CONTROL_MESSAGE_SIZE,
            streams: 16,
            mtu: 1200,
            listening: true,
        }
    }

    /// For endpoints that carry sessions: messages of 1 MiB.
    pub fn sessions() -> Self {
        Self { max_message_size: Self::SESSION_MESSAGE_SIZE, ..Self::control() }
    }

    /// The receive window to announce: room for a message while the next one begins.
    pub(crate) fn receive_buffer(&self) -> usize {
        const LEAST: usize = 128 * 1024;
        LEAST.max(self.max_message_size + self.max_message_size / 4)
    }

    /// Half of the numbers stand for unordered messages: see [`super::packet::UNORDERED`].
    pub(super) fn offered_streams(&self) -> u16 {
        self.streams.min(super::packet::UNORDERED)
    }

    /// HB.interval for an association that starts beside `others`: dcsctp cannot change it later.
    ///
    /// Without this, thousands of associations would keep both ends so busy with heartbeats that answers come
    /// too late, and then all of them are lost at once.
    pub(crate) fn heartbeat_interval(&self, others: usize) -> Duration {
        let interval = self.timing.heartbeat_interval;
        if interval.is_zero() {
            return interval;
        }
        let budget = f64::from(self.limits.heartbeats_per_second.max(1));
        interval.max(Duration::from_secs_f64(others as f64 / budget))
    }

    /// Options for the socket of an association between two SCTP ports, beside `others`.
    pub(super) fn options(&self, key: &Key, others: usize) -> Options {
        let timing = &self.timing;
        Options {
            local_port: key.local_port,
            remote_port: key.peer_port,
            announced_maximum_incoming_streams: self.offered_streams(),
            announced_maximum_outgoing_streams: self.offered_streams(),
            mtu: self.mtu,
            max_message_size: self.max_message_size,
            max_receiver_window_buffer_size: self.receive_buffer(),
            // The bound is our own (`Outbound`): dcsctp's must never refuse what that accepted.
            max_send_buffer_size: usize::MAX >> 1,
            per_stream_send_queue_limit: usize::MAX >> 1,
            rto_initial: timing.rto_initial,
            rto_min: timing.rto_min,
            rto_max: timing.rto_max,
            min_rtt_variance: timing.min_rtt_variance,
            t1_init_timeout: timing.t1,
            t1_cookie_timeout: timing.t1,
            t2_shutdown_timeout: timing.t2,
            max_timer_backoff_duration: Some(timing.rto_max),
            heartbeat_interval: self.heartbeat_interval(others),
            delayed_ack_max_timeout: timing.sack_delay,
            max_retransmissions: Some(timing.max_retransmissions),
            max_init_retransmits: Some(timing.max_init_retransmits),
            // RSerPool sends everything reliably (RFC 3436 §3): what is not offered cannot be attacked.
            enable_partial_reliability: false,
            enable_message_interleaving: false,
            // `Packet::parse` has verified it, with the instructions that CPUs have for it.
            disable_checksum_verification: true,
            ..Options::default()
        }
    }
}

/// Timers of an association by their RFC 9260 §16 names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SctpTiming {
    /// RTO.Initial.
    pub rto_initial: Duration,
    /// RTO.Min.
    pub rto_min: Duration,
    /// RTO.Max.
    pub rto_max: Duration,
    /// Lower bound of the measured variance of the round-trip time.
    pub min_rtt_variance: Duration,
    /// SACK delay.
    pub sack_delay: Duration,
    /// T1-init and T1-cookie; they double with each repetition.
    pub t1: Duration,
    /// T2-shutdown.
    pub t2: Duration,
    /// Max.Init.Retransmits.
    pub max_init_retransmits: u32,
    /// HB.interval of an idle association, without the round-trip time; zero sends none. It is longer when there
    /// are many associations: [`SctpLimits::heartbeats_per_second`].
    pub heartbeat_interval: Duration,
    /// Association.Max.Retrans. Where the peer has several addresses it is at least the sum of the paths' limits.
    pub max_retransmissions: u32,
    /// Path.Max.Retrans: errors in a row after which one of several addresses of a peer counts as unreachable.
    pub path_max_retransmissions: u32,
    /// Valid.Cookie.Life.
    pub cookie_life: Duration,
}

impl SctpTiming {
    /// Those that fit a profile's timers (design decision D7).
    pub fn of(profile: Profile) -> Self {
        match profile {
            Profile::Lan => Self::lan(),
            _ => Self::rfc(),
        }
    }

    /// Sub-second detection in one site (default): three attempts, so for networks that lose nearly nothing.
    pub fn lan() -> Self {
        let ms = Duration::from_millis;
        Self {
            rto_initial: ms(100),
            rto_min: ms(50),
            rto_max: ms(250),
            min_rtt_variance: ms(40),
            sack_delay: ms(10),
            t1: ms(100),
            t2: ms(100),
            max_init_retransmits: 2,
            heartbeat_interval: ms(200),
            max_retransmissions: 2,
            path_max_retransmissions: 2,
            cookie_life: ms(10_000),
        }
    }

    /// The values of RFC 9260 §16.
    pub fn rfc() -> Self {
        let ms = Duration::from_millis;
        let s = Duration::from_secs;
        Self {
            rto_initial: s(1),
            rto_min: s(1),
            rto_max: s(60),
            min_rtt_variance: ms(220),
            sack_delay: ms(200),
            t1: s(1),
            t2: s(1),
            max_init_retransmits: 8,
            heartbeat_interval: s(30),
            max_retransmissions: 10,
            path_max_retransmissions: 5,
            cookie_life: s(60),
        }
    }
}

/// Bounds of an endpoint (design decision D11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SctpLimits {
    /// Associations at once of each listening port, connecting ones included.
    pub associations: usize,
    /// INITs answered per second by each listening port.
    pub handshakes_per_second: u32,
    /// Answers to packets of no association per second (RFC 9260 §8.4).
    pub out_of_the_blue_per_second: u32,
    /// Heartbeats per second, of all associations together, to addresses that a peer has named and that never answered.
    pub unconfirmed_probes_per_second: u32,
    /// Heartbeats per second of all associations together, about: the more there are when an association
    /// starts, the longer its HB.interval (design decision D7).
    pub heartbeats_per_second: u32,
    /// Bytes queued to be sent per association; above it [`proto::Input::Full`].
    pub send_queue: usize,
    /// Received messages per association that nobody has read yet.
    pub unread_messages: usize,
    /// Bytes that all associations together may hold back for reassembly or reading.
    pub receive_budget: usize,
}

impl Default for SctpLimits {
    fn default() -> Self {
        Self {
            associations: 20_000,
            handshakes_per_second: 5_000,
            out_of_the_blue_per_second: 500,
            unconfirmed_probes_per_second: 500,
            heartbeats_per_second: 2_000,
            send_queue: 256 * 1024,
            unread_messages: 1024,
            receive_budget: 64 << 20,
        }
    }
}
