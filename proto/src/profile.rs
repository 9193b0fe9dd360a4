//! Timing profiles (design decision D7): every timer and threshold by its RFC name.

use params::RegistrationLife;
use std::time::Duration;

/// A set of timers and thresholds that fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Profile {
    /// Sub-second detection in one site (default). For networks that lose nearly nothing: an association is given up when
    /// three packets of an exchange are lost one after the other. Where more than one packet in a thousand is lost, sessions
    /// fail over more often than servers do: take [`Profile::Wan`].
    Lan,
    /// The numbers of the RFCs.
    Rfc,
    /// Long links.
    Wan,
    /// What rsplib expects of its peers.
    Rsplib,
}

/// The dialect of a scope, the same for all its members (design D8): decides what cannot be told apart on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compat {
    /// What the RFCs say.
    #[default]
    Rfc,
    /// rsplib takes part: registration life in milliseconds (ambiguity A-08), the PE Identifier in keep-alives,
    /// pool handles of at most [`RSPLIB_MAX_HANDLE`] bytes, nothing that its programs answer with an ABORT.
    Rsplib,
}

/// The longest pool handle that rsplib takes, in bytes: a longer one ends the process that receives it.
pub const RSPLIB_MAX_HANDLE: usize = 32;

impl Compat {
    /// Whether rsplib takes part.
    pub fn is_rsplib(self) -> bool {
        self == Self::Rsplib
    }

    /// A registration life as a span of time; `None` = for ever (RFC 5354 §3.10, ambiguity A-08). One that means nothing
    /// cannot be registered, but another registrar may have taken it: it sets no end.
    pub fn life(self, life: RegistrationLife) -> Option<Duration> {
        let value = u64::try_from(life.0).ok().filter(|value| *value > 0)?;
        Some(match self {
            Self::Rfc => Duration::from_secs(value),
            Self::Rsplib => Duration::from_millis(value),
        })
    }

    /// A registration life as it goes over the wire; the longest that fits if it does not.
    pub fn wire_life(self, life: Option<Duration>) -> RegistrationLife {
        let Some(life) = life else { return RegistrationLife::INFINITE };
        let units = match self {
            Self::Rfc => u128::from(life.as_secs()),
            Self::Rsplib => life.as_millis(),
        };
        RegistrationLife(i32::try_from(units).unwrap_or(i32::MAX))
    }
}

/// Timers and thresholds of a registrar (RFC 5353 §4, RFC 5352 §7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrarTimers {
    /// PEER-HEARTBEAT-CYCLE: presence to every peer.
    pub peer_heartbeat_cycle: Duration,
    /// MAX-TIME-LAST-HEARD: silence after which a peer is asked.
    pub max_time_last_heard: Duration,
    /// MAX-TIME-NO-RESPONSE: how long an answer of a peer may take.
    pub max_time_no_response: Duration,
    /// Time between keep-alives of one element while nothing is heard of it.
    pub keep_alive_interval: Duration,
    /// How long a keep-alive's ACK may take; one repetition follows.
    pub keep_alive_timeout: Duration,
    /// MAX-BAD-PE-REPORT (ambiguity A-41).
    pub max_bad_pe_report: u32,
    /// How long to look for a mentor at start before going on alone.
    pub mentor_discovery_timeout: Duration,
    /// T6-Serverannounce: how often one of all registrars announces itself by multicast.
    pub t6_server_announce: Duration,
    /// T7-ENRPoutdate: how long a registrar that announced itself counts among them, at least (ambiguity A-46).
    pub t7_enrp_outdate: Duration,
    /// The shortest time between two lists of a pool that a subscriber gets (ambiguity A-34).
    pub push_interval: Duration,
}

/// Timers and thresholds of a pool element or pool user (RFC 5352 §7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointTimers {
    /// T1-ENRPrequest: handle resolution.
    pub t1_request: Duration,
    /// T2-registration.
    pub t2_registration: Duration,
    /// T3-deregistration.
    pub t3_deregistration: Duration,
    /// T5-Serverhunt; doubles up to `retran_max`.
    pub t5_server_hunt: Duration,
    /// T6-Serverannounce: how often one of all registrars announces itself, for what [`Self::t7_enrp_outdate`] must be.
    pub t6_server_announce: Duration,
    /// T7-ENRPoutdate: how long a registrar is known that announced itself, at least (ambiguity A-46).
    pub t7_enrp_outdate: Duration,
    /// RETRAN-MAX.
    pub retran_max: Duration,
    /// MAX-REG-ATTEMPT.
    pub max_reg_attempt: u32,
    /// MAX-REQUEST-RETRANSMIT.
    pub max_request_retransmit: u32,
    /// How long a session may take to connect to one element before the next one is tried.
    pub connect_timeout: Duration,
    /// How long until the next one is tried beside it; zero: never. The RFCs know no such thing.
    pub connect_stagger: Duration,
    /// How long an accepted session waits for a cookie before `accept` returns without one.
    pub cookie_wait: Duration,
    /// How long an element that is drained stays after its registrar has let it go, unless its grace is shorter: until the
    /// registrars have pushed that to those who have subscribed to its pool. The RFCs know no such thing.
    pub drain_settle: Duration,
}

impl Profile {
    /// The dialect that goes with it.
    pub fn compat(self) -> Compat {
        if self == Self::Rsplib { Compat::Rsplib } else { Compat::Rfc }
    }

    /// The registrar's numbers.
    pub fn registrar(self) -> RegistrarTimers {
        let ms = Duration::from_millis;
        let s = Duration::from_secs;
        match self {
            Self::Lan => RegistrarTimers {
                peer_heartbeat_cycle: ms(250),
                max_time_last_heard: ms(750),
                max_time_no_response: ms(250),
                keep_alive_interval: ms(250),
                keep_alive_timeout: ms(250),
                max_bad_pe_report: 3,
                mentor_discovery_timeout: ms(500),
                t6_server_announce: s(1),
                t7_enrp_outdate: s(5),
                push_interval: ms(100),
            },
            Self::Wan => RegistrarTimers {
                peer_heartbeat_cycle: s(3),
                max_time_last_heard: s(9),
                max_time_no_response: s(3),
                keep_alive_interval: s(3),
                keep_alive_timeout: s(3),
                max_bad_pe_report: 3,
                mentor_discovery_timeout: s(5),
                t6_server_announce: s(1),
                t7_enrp_outdate: s(5),
                push_interval: s(1),
            },
            Self::Rsplib => RegistrarTimers {
                peer_heartbeat_cycle: ms(2444),
                max_time_last_heard: s(5),
                max_time_no_response: s(5),
                keep_alive_interval: s(5),
                keep_alive_timeout: s(5),
                max_bad_pe_report: 3,
                mentor_discovery_timeout: s(5),
                t6_server_announce: s(1),
                t7_enrp_outdate: s(5),
                push_interval: s(1),
            },
            Self::Rfc => RegistrarTimers {
                peer_heartbeat_cycle: s(30),
                max_time_last_heard: s(61),
                max_time_no_response: s(5),
                keep_alive_interval: s(5),
                keep_alive_timeout: s(5),
                max_bad_pe_report: 3,
                mentor_discovery_timeout: s(5),
                t6_server_announce: s(1),
                t7_enrp_outdate: s(5),
                push_interval: s(1),
            },
        }
    }

    /// The numbers of pool elements and pool users.
    pub fn endpoint(self) -> EndpointTimers {
        let ms = Duration::from_millis;
        let s = Duration::from_secs;
        match self {
            Self::Lan => EndpointTimers {
                t1_request: ms(250),
                t2_registration: ms(500),
                t3_deregistration: ms(500),
                t5_server_hunt: ms(250),
                t6_server_announce: s(1),
                t7_enrp_outdate: s(5),
                retran_max: s(2),
                max_reg_attempt: 2,
                max_request_retransmit: 2,
                connect_timeout: ms(350),
                connect_stagger: ms(100),
                cookie_wait: ms(200),
                drain_settle: ms(500),
            },
            Self::Wan => EndpointTimers {
                t1_request: s(3),
                t2_registration: s(5),
                t3_deregistration: s(5),
                t5_server_hunt: s(3),
                t6_server_announce: s(1),
                t7_enrp_outdate: s(5),
                retran_max: s(30),
                max_reg_attempt: 2,
                max_request_retransmit: 2,
                connect_timeout: s(3),
                connect_stagger: s(1),
                cookie_wait: ms(1000),
                drain_settle: s(3),
            },
            Self::Rsplib => EndpointTimers {
                t1_request: s(3),
                t2_registration: s(3),
                t3_deregistration: s(3),
                t5_server_hunt: ms(7500),
                t6_server_announce: s(1),
                t7_enrp_outdate: s(5),
                retran_max: s(60),
                max_reg_attempt: 2,
                max_request_retransmit: 2,
                connect_timeout: s(5),
                connect_stagger: Duration::ZERO,
                cookie_wait: ms(200),
                drain_settle: ms(500),
            },
            Self::Rfc => EndpointTimers {
                t1_request: s(15),
                t2_registration: s(30),
                t3_deregistration: s(30),
                t5_server_hunt: s(10),
                t6_server_announce: s(1),
                t7_enrp_outdate: s(5),
                retran_max: s(60),
                max_reg_attempt: 2,
                max_request_retransmit: 2,
                connect_timeout: s(5),
                connect_stagger: Duration::ZERO,
                cookie_wait: ms(200),
                drain_settle: s(3),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // ENRP-4-03, ENRP-4-04, ENRP-4-05, ASAP-7.3-04 (A-41: the RFC names none), ASAP-7.1-01, ASAP-7.1-02, ASAP-7.1-03,
    // ASAP-7.1-05, ASAP-7.3-01
    #[test]
    fn the_profile_rfc_has_the_numbers_of_the_rfcs() {
        let s = Duration::from_secs;
        let registrar = Profile::Rfc.registrar();
        assert_eq!(registrar.peer_heartbeat_cycle, s(30));
        assert_eq!(registrar.max_time_last_heard, s(61));
        assert_eq!(registrar.max_time_no_response, s(5));
        assert_eq!(registrar.max_bad_pe_report, 3);
        let endpoint = Profile::Rfc.endpoint();
        assert_eq!(endpoint.t1_request, s(15));
        assert_eq!((endpoint.t2_registration, endpoint.t3_deregistration), (s(30), s(30)));
        assert_eq!((endpoint.t5_server_hunt, endpoint.retran_max), (s(10), s(60)));
        assert_eq!((endpoint.max_reg_attempt, endpoint.max_request_retransmit), (2, 2));
    }
}
