//! From the configuration to what the machine and its SCTP endpoints are told.

use super::{Arbitration, Compat, Config, ConfigError, ForeignAddresses, Listen};
use net::TransportKind;
use net::sctp::{SctpConfig, SctpLimits, SctpTiming};
use proto::profile::{Profile, RegistrarTimers};
use proto::registrar as machine;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The timers of a registrar: below, it would only talk to itself; above, never.
const TIMERS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(24 * 3600);
/// From what an element with a few addresses needs to what the length of a message holds (RFC 5354 §2).
const MESSAGE: RangeInclusive<usize> = 512..=65_532;
/// From what every network carries to what a UDP datagram holds.
const MTU: RangeInclusive<usize> = 576..=65_000;

impl Config {
    /// Refuses values that no registrar can work with.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let timers = self.timers();
        for (key, timer) in [
            ("timers.peer-heartbeat-cycle", timers.peer_heartbeat_cycle),
            ("timers.max-time-last-heard", timers.max_time_last_heard),
            ("timers.max-time-no-response", timers.max_time_no_response),
            ("timers.keep-alive-interval", timers.keep_alive_interval),
            ("timers.keep-alive-timeout", timers.keep_alive_timeout),
            ("timers.mentor-discovery-timeout", timers.mentor_discovery_timeout),
            ("timers.t6-server-announce", timers.t6_server_announce),
            ("timers.t7-enrp-outdate", timers.t7_enrp_outdate),
            ("timers.push-interval", timers.push_interval),
        ] {
            if !TIMERS.contains(&timer) {
                return Err(value(key, format!("{timer:?} must be between {:?} and 24h", TIMERS.start())));
            }
        }
        if timers.max_time_last_heard <= timers.peer_heartbeat_cycle {
            return Err(value(
                "timers.max-time-last-heard",
                format!(
                    "{:?} must be longer than peer-heartbeat-cycle ({:?}), or living peers look dead",
                    timers.max_time_last_heard, timers.peer_heartbeat_cycle
                ),
            ));
        }
        if timers.max_bad_pe_report == 0 {
            return Err(value("timers.max-bad-pe-report", "must be at least 1".into()));
        }
        for (key, duration) in [("guard.window", self.guard.window), ("guard.hold", self.guard.hold)] {
            if let Some(duration) = duration.filter(|duration| !TIMERS.contains(duration)) {
                return Err(value(key, format!("{duration:?} must be between {:?} and 24h", TIMERS.start())));
            }
        }
        if let Some(share) = self.guard.share.filter(|share| *share > 100) {
            return Err(value(
                "guard.share",
                format!("{share} is no share in per cent: at most 100, which is off"),
            ));
        }
        self.multicast.check()?;
        self.component_status.check()?;
        let limits = &self.limits;
        for (key, limit) in [
            ("limits.pools", limits.pools),
            ("limits.elements", limits.elements),
            ("limits.element-bytes", limits.element_bytes),
            ("limits.associations", limits.associations),
            ("limits.queued-bytes", limits.queued_bytes),
            ("limits.queued-bytes-per-client", limits.queued_bytes_per_client),
            ("limits.queued-bytes-total", limits.queued_bytes_total),
            ("limits.backlog", limits.backlog),
            ("limits.resolution-items", limits.resolution_items),
            ("limits.weighted-items", limits.weighted_items),
            ("limits.receive-bytes", limits.receive_bytes),
        ] {
            if limit == Some(0) {
                return Err(value(key, "0 would refuse everybody: leave it out for the default".into()));
            }
        }
        if limits.probes_per_second == Some(0) {
            let text = "0 would leave dead elements listed for ever: leave it out for the default";
            return Err(value("limits.probes-per-second", text.into()));
        }
        for (key, limit) in [
            ("limits.table-response-bytes", limits.table_response_bytes),
            ("limits.resolution-bytes", limits.resolution_bytes),
        ] {
            if let Some(limit) = limit.filter(|limit| !MESSAGE.contains(limit)) {
                let (least, most) = (MESSAGE.start(), MESSAGE.end());
                let text =
                    format!("{limit} must be between {least} and {most} bytes, what one message holds");
                return Err(value(key, text));
            }
        }
        if !MTU.contains(&self.sctp.mtu) {
            return Err(value(
                "sctp.mtu",
                format!("{} must be between {} and {} bytes", self.sctp.mtu, MTU.start(), MTU.end()),
            ));
        }
        let Listen { asap, enrp } = &self.listen;
        let [asap_ip, enrp_ip] = [asap.address.ip(), enrp.address.ip()];
        // Where one socket of an address serves all SCTP ports.
        let shared = match (asap.transport, enrp.transport) {
            (TransportKind::Udp, TransportKind::Udp) if self.sctp.encap_port.is_some() => {
                Some("sctp.encap-port")
            }
            (TransportKind::Raw, TransportKind::Raw) if asap_ip.is_ipv4() == enrp_ip.is_ipv4() => {
                Some("listen")
            }
            _ => None,
        };
        if let Some(key) = shared
            && asap_ip != enrp_ip
            && (asap_ip.is_unspecified() || enrp_ip.is_unspecified())
        {
            let text = format!(
                "asap and enrp share a socket: listen with both on {asap_ip}, or with both on {enrp_ip}"
            );
            return Err(value(key, text));
        }
        if asap == enrp && asap.address.port() != 0 {
            return Err(value("listen", format!("asap and enrp are both {asap}: choose two ports")));
        }
        Ok(())
    }

    /// The timers in force: the profile's, but for those that are set.
    pub fn timers(&self) -> RegistrarTimers {
        let mut profile = self.profile.registrar();
        if self.compat == Compat::Rsplib {
            // rsplib asks whom it does not hear for 5 s, whatever its own cycle is.
            let rsplib = Profile::Rsplib.registrar().peer_heartbeat_cycle;
            profile.peer_heartbeat_cycle = profile.peer_heartbeat_cycle.min(rsplib);
        }
        let set = &self.timers;
        RegistrarTimers {
            peer_heartbeat_cycle: set.peer_heartbeat_cycle.unwrap_or(profile.peer_heartbeat_cycle),
            max_time_last_heard: set.max_time_last_heard.unwrap_or(profile.max_time_last_heard),
            max_time_no_response: set.max_time_no_response.unwrap_or(profile.max_time_no_response),
            keep_alive_interval: set.keep_alive_interval.unwrap_or(profile.keep_alive_interval),
            keep_alive_timeout: set.keep_alive_timeout.unwrap_or(profile.keep_alive_timeout),
            max_bad_pe_report: set.max_bad_pe_report.unwrap_or(profile.max_bad_pe_report),
            mentor_discovery_timeout: set
                .mentor_discovery_timeout
                .unwrap_or(profile.mentor_discovery_timeout),
            t6_server_announce: set.t6_server_announce.unwrap_or(profile.t6_server_announce),
            t7_enrp_outdate: set.t7_enrp_outdate.unwrap_or(profile.t7_enrp_outdate),
            push_interval: set.push_interval.unwrap_or(profile.push_interval),
        }
    }

    /// What the machine is told, given the ports that were really bound.
    pub(crate) fn machine(&self, asap_port: u16, enrp_port: u16) -> machine::Config {
        let dialect = if self.compat == Compat::Rsplib { Profile::Rsplib } else { self.profile };
        let base = machine::Config::new(dialect);
        machine::Config {
            id: self.id,
            asap_port,
            enrp_port,
            advertise: self.advertise.clone(),
            peers: self.peers.clone(),
            expects_peers: !self.dns.domains.is_empty(),
            announce: self.announce(),
            registrar_pool: self.registrar_pool,
            timers: self.timers(),
            arbitration: match self.takeover.arbitration {
                Arbitration::LowestId => machine::Arbitration::LowestId,
                Arbitration::Rfc5353 => machine::Arbitration::Rfc5353,
            },
            foreign_addresses: match self.foreign_addresses {
                ForeignAddresses::Trim => machine::ForeignAddresses::Trim,
                ForeignAddresses::Reject => machine::ForeignAddresses::Reject,
                ForeignAddresses::Accept => machine::ForeignAddresses::Accept,
            },
            guard: self.guard(base.guard),
            limits: self.machine_limits(base.limits),
            compat: base.compat,
            strict_rfc: self.strict_rfc,
        }
    }

    fn guard(&self, base: machine::Guard) -> machine::Guard {
        let set = &self.guard;
        machine::Guard {
            share: set.share.unwrap_or(base.share),
            floor: set.floor.unwrap_or(base.floor),
            window: set.window.unwrap_or(base.window),
            hold: set.hold.unwrap_or(base.hold),
        }
    }

    fn machine_limits(&self, base: machine::Limits) -> machine::Limits {
        let set = &self.limits;
        machine::Limits {
            pools: set.pools.unwrap_or(base.pools),
            elements: set.elements.unwrap_or(base.elements),
            element_bytes: set.element_bytes.unwrap_or(base.element_bytes),
            peers: set.peers.unwrap_or(base.peers),
            associations: self.sctp_endpoint().limits.associations,
            queued_bytes: set.queued_bytes.unwrap_or(base.queued_bytes),
            queued_bytes_per_client: set.queued_bytes_per_client.unwrap_or(base.queued_bytes_per_client),
            queued_bytes_total: set.queued_bytes_total.unwrap_or(base.queued_bytes_total),
            backlog: set.backlog.unwrap_or(base.backlog),
            probes_per_second: set.probes_per_second.unwrap_or(base.probes_per_second),
            reported_elements: set.reported_elements.unwrap_or(base.reported_elements),
            subscriptions: set.subscriptions.unwrap_or(base.subscriptions),
            subscriptions_per_association: set
                .subscriptions_per_association
                .unwrap_or(base.subscriptions_per_association),
            table_response_bytes: set.table_response_bytes.unwrap_or(base.table_response_bytes),
            table_sessions: set.table_sessions.unwrap_or(base.table_sessions),
            resolution_bytes: set.resolution_bytes.unwrap_or(base.resolution_bytes),
            resolution_items: set.resolution_items.unwrap_or(base.resolution_items),
            weighted_items: set.weighted_items.unwrap_or(base.weighted_items),
        }
    }

    /// How each of the two SCTP endpoints behaves.
    pub(crate) fn sctp_endpoint(&self) -> SctpConfig {
        let base = SctpConfig::control();
        let set = &self.limits;
        SctpConfig {
            timing: SctpTiming::of(self.profile),
            limits: SctpLimits {
                associations: set.associations.unwrap_or(base.limits.associations),
                handshakes_per_second: set.handshakes_per_second.unwrap_or(base.limits.handshakes_per_second),
                out_of_the_blue_per_second: set
                    .out_of_the_blue_per_second
                    .unwrap_or(base.limits.out_of_the_blue_per_second),
                receive_budget: set.receive_bytes.unwrap_or(base.limits.receive_budget),
                ..base.limits
            },
            mtu: self.sctp.mtu,
            ..base
        }
    }
}

fn value(key: &'static str, reason: String) -> ConfigError {
    ConfigError::Value { key, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Config::from_toml(text).unwrap_err().to_string()
    }

    /// The shipped file with every key uncommented. Prose is behind `# `, keys are behind `#` alone.
    fn uncommented() -> String {
        let file = include_str!("../../etc/registrar.toml");
        file.lines()
            .map(|line| match line.strip_prefix('#') {
                Some(key) if key.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => key,
                _ => line,
            })
            .map(|line| format!("{line}\n"))
            .collect()
    }

    fn in_force(config: &Config) -> (machine::Config, SctpConfig) {
        (config.machine(3863, 9901), config.sctp_endpoint())
    }

    #[test]
    fn the_shipped_file_is_the_default() {
        let file = Config::from_toml(include_str!("../../etc/registrar.toml")).unwrap();
        assert_eq!(file, Config::default());
    }

    #[test]
    fn the_shipped_file_documents_the_default_of_every_key() {
        let shown = Config::from_toml(&uncommented()).unwrap();
        let default = Config::default();
        let (machine, sctp) = in_force(&shown);
        assert_eq!(format!("{machine:?}"), format!("{:?}", in_force(&default).0));
        assert_eq!(sctp, in_force(&default).1);
        // What the profile decides is spelled out in the file; everything else is equal as it stands.
        let Config { timers, limits, guard, .. } = shown.clone();
        assert_eq!(
            Config {
                timers: default.timers.clone(),
                limits: default.limits.clone(),
                guard: default.guard.clone(),
                ..shown
            },
            default
        );
        // No key is missing from the file: each optional one is set once it is uncommented.
        let optional = format!("{timers:?} {limits:?} {guard:?}");
        assert!(!optional.contains("None"), "{optional}");
    }

    #[test]
    fn every_section_and_key_stands_in_the_shipped_file() {
        let table: toml::Table = uncommented().parse().unwrap();
        let keys = |table: &toml::Table| table.keys().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(
            keys(&table),
            "admin advertise compat component-status dns foreign-addresses guard id limits listen log multicast peers profile registrar-pool sctp strict-rfc takeover timers"
        );
        for (section, expected) in [
            ("admin", "socket tcp"),
            ("component-status", "interval monitor"),
            ("dns", "domains server"),
            ("listen", "asap enrp"),
            ("multicast", "asap enabled enrp hops interfaces"),
            ("sctp", "encap-port icmp mtu"),
            ("takeover", "arbitration"),
        ] {
            assert_eq!(keys(table[section].as_table().unwrap()), expected);
        }
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let message = refused("id = \"random\"\n[timers]\nkeep-alive = \"1s\"\n");
        assert!(message.contains("line 3, column 1"), "{message}");
        assert!(message.contains("unknown field `keep-alive`"), "{message}");
        assert!(message.contains("`keep-alive-interval`"), "says what would be right: {message}");
    }

    #[test]
    fn a_wrong_value_says_what_would_be_right() {
        let message = refused("[listen]\nasap = \"tcp:127.0.0.1:3863\"\n");
        assert!(message.contains("line 2") && message.contains("no transport"), "{message}");
        let message = refused("[listen]\nasap = \"raw:0.0.0.0:3863\"\nenrp = \"raw:192.0.2.1:9901\"\n");
        assert!(message.contains("listen: asap and enrp share a socket: listen with both on"), "{message}");
        let message = refused("[admin]\ntcp = \"0.0.0.0:80\"\n");
        assert!(message.contains("loopback only"), "{message}");
        let message = refused("[timers]\nkeep-alive-interval = \"0s\"\n");
        assert!(message.starts_with("timers.keep-alive-interval: 0ns must be between 1ms"), "{message}");
        let message = refused("[timers]\nkeep-alive-interval = 5\n");
        assert!(message.contains("line 2"), "{message}");
        assert!(message.contains("5 has no unit: write \"5ms\" or \"5s\""), "{message}");
        let message = refused("[limits]\npools = 0\n");
        assert_eq!(message, "limits.pools: 0 would refuse everybody: leave it out for the default");
        let message = refused("[limits]\nprobes-per-second = 0\n");
        assert!(message.starts_with("limits.probes-per-second: 0 would leave dead elements"), "{message}");
        let message = refused("[limits]\ntable-response-bytes = 65536\n");
        let expected = "65536 must be between 512 and 65532 bytes, what one message holds";
        assert_eq!(message, format!("limits.table-response-bytes: {expected}"));
        let message = refused("[limits]\nresolution-bytes = 65536\n");
        assert_eq!(message, format!("limits.resolution-bytes: {expected}"));
        let message = refused("[multicast]\nasap = [\"192.0.2.1:3863\"]\n");
        assert!(message.starts_with("multicast.asap: 192.0.2.1:3863 is no multicast group"), "{message}");
        let message = refused("[component-status]\ninterval = \"1m\"\n");
        assert!(message.starts_with("component-status.interval: 60s must be between"), "{message}");
        let message = refused("[timers]\nmax-time-last-heard = \"100ms\"\n");
        assert!(message.contains("longer than peer-heartbeat-cycle"), "{message}");
    }

    #[test]
    fn the_rule_for_foreign_addresses_has_two_names_each() {
        use machine::ForeignAddresses::{Accept, Reject, Trim};
        for (text, rule) in
            [("trim", Trim), ("reject", Reject), ("strict", Reject), ("accept", Accept), ("off", Accept)]
        {
            let config = Config::from_toml(&format!("foreign-addresses = {text:?}")).unwrap();
            assert_eq!(config.machine(2, 1).foreign_addresses, rule, "{text}");
        }
    }

    #[test]
    fn single_timers_override_the_profile() {
        let config =
            Config::from_toml("profile = \"rfc\"\n[timers]\nkeep-alive-interval = \"100ms\"\n").unwrap();
        let timers = config.timers();
        assert_eq!(timers.keep_alive_interval, Duration::from_millis(100));
        assert_eq!(timers.peer_heartbeat_cycle, Profile::Rfc.registrar().peer_heartbeat_cycle);
    }

    #[test]
    fn rsplib_compatibility_leaves_the_timers_alone() {
        let config = Config::from_toml("compat = \"rsplib\"").unwrap().machine(2, 1);
        assert_eq!(config.compat, machine::Compat::Rsplib);
        assert_eq!(config.timers, Profile::Lan.registrar());
    }

    #[test]
    fn rsplib_hears_presences_often_enough() {
        let rsplib = Profile::Rsplib.registrar().peer_heartbeat_cycle;
        for profile in ["rfc", "wan"] {
            let text = format!("compat = \"rsplib\"\nprofile = \"{profile}\"");
            let timers = Config::from_toml(&text).unwrap().timers();
            assert_eq!(timers.peer_heartbeat_cycle, rsplib);
        }
    }
}
