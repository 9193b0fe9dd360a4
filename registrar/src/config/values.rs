//! How single values of the configuration are written: durations, identifiers, addresses, names.
//!
//! Each `parse_…` serves the file, the command line and the environment alike; its error says what would be right.

use super::AdminSocket;
use net::udp::EncapPorts;
use params::RegistrarId;
use proto::profile::Profile;
use serde::de::{Deserialize, Deserializer, Error};
use std::fmt::Display;
use std::net::SocketAddr;
use std::time::Duration;

/// Reads a duration written for people: `250ms`, `1.5s`, `2m`, `1h`; also `us`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || {
        format!("{text:?} is no duration: write a number with a unit, such as \"250ms\", \"1.5s\" or \"2m\"")
    };
    let text_trimmed = text.trim();
    let unit_at = text_trimmed.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(wrong)?;
    let (number, unit) = text_trimmed.split_at(unit_at);
    let unit_seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.trim().parse().map_err(|_| wrong())?;
    // Through whole microseconds, the resolution of `proto::Time`: so 250ms is exactly 250 ms.
    let micros = (number * unit_seconds * 1e6).round();
    if !(0.0..=1e15).contains(&micros) {
        return Err(wrong());
    }
    Ok(Duration::from_micros(micros as u64))
}

/// Reads a registrar identifier: `random`, hexadecimal (`0x2a`, `0000002a`) without or with prefix.
pub(crate) fn parse_id(text: &str) -> Result<Option<RegistrarId>, String> {
    if text == "random" {
        return Ok(None);
    }
    let digits = text.strip_prefix("0x").unwrap_or(text);
    match u32::from_str_radix(digits, 16) {
        Ok(0) => {
            Err("the registrar id 0 means \"unknown\" (RFC 5354 §3.11): choose another or \"random\"".into())
        }
        Ok(id) => Ok(Some(RegistrarId(id))),
        Err(_) => Err(format!(
            "{text:?} is no registrar id: write up to eight hex digits, \"0x0000002a\", or \"random\""
        )),
    }
}

/// Reads the UDP ports of SCTP: `off`, `9899`, or ours and theirs, `9900:9899`.
pub(crate) fn parse_encap_port(text: &str) -> Result<Option<EncapPorts>, String> {
    if text == "off" {
        Ok(None)
    } else {
        text.parse().map(Some).map_err(|error| format!("{error}, or \"off\""))
    }
}

/// Reads an IP address with port.
pub(crate) fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "{text:?} is no address: write an IP address with a port, \"127.0.0.1:3863\" or \"[::1]:3863\""
        )
    })
}

/// Reads the addresses of one peer, separated by commas.
pub(crate) fn parse_peer(text: &str) -> Result<Vec<SocketAddr>, String> {
    text.split(',').map(|address| parse_address(address.trim())).collect()
}

/// Reads the path of the admin socket: `auto`, `off` or a path.
pub(crate) fn parse_admin_socket(text: &str) -> Result<AdminSocket, String> {
    match text {
        "auto" => Ok(AdminSocket::Auto),
        "off" => Ok(AdminSocket::Off),
        path if path.contains('/') => Ok(AdminSocket::Path(path.into())),
        _ => Err(format!("{text:?} is no admin socket: write \"auto\", \"off\" or a path, \"./{text}\"")),
    }
}

/// Reads the TCP address of the admin API: `off` or a loopback address.
pub(crate) fn parse_admin_tcp(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "off" {
        return Ok(None);
    }
    let address = parse_address(text)?;
    if !address.ip().is_loopback() {
        return Err(format!(
            "the admin API has no authentication, so it listens on loopback only, not on {address}: \
             write \"127.0.0.1:{}\" or \"off\"",
            address.port()
        ));
    }
    Ok(Some(address))
}

/// Reads the address of a name server: `system`, or an address.
pub(crate) fn parse_dns_server(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "system" {
        return Ok(None);
    }
    let address = parse_address(text).map_err(|_| {
        format!(
            "{text:?} is no name server: write \"system\" or its address with the port, \"192.0.2.53:53\""
        )
    })?;
    Ok(Some(address))
}

/// Reads the name of a timing profile.
pub(crate) fn parse_profile(text: &str) -> Result<Profile, String> {
    match text {
        "lan" => Ok(Profile::Lan),
        "rfc" => Ok(Profile::Rfc),
        "wan" => Ok(Profile::Wan),
        "rsplib" => Ok(Profile::Rsplib),
        _ => Err(format!("{text:?} is no profile: choose one of lan, rfc, wan, rsplib")),
    }
}

/// Makes a serde function of a parser, for `#[serde(deserialize_with)]`.
fn text<'de, D, T, E>(deserializer: D, parse: impl Fn(&str) -> Result<T, E>) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    E: Display,
{
    parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

macro_rules! deserializers {
    ($($name:ident = $parse:expr => $type:ty;)*) => {$(
        pub(crate) fn $name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
            text(deserializer, $parse)
        }
    )*};
}
deserializers! {
    id = parse_id => Option<RegistrarId>;
    profile = parse_profile => Profile;
    dns_server = parse_dns_server => Option<SocketAddr>;
    admin_socket = parse_admin_socket => AdminSocket;
    admin_tcp = parse_admin_tcp => Option<SocketAddr>;
}

/// The UDP ports of SCTP, a number or a text.
pub(crate) fn encap_port<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<EncapPorts>, D::Error> {
    let text = match toml::Value::deserialize(deserializer)? {
        toml::Value::String(text) => text,
        other => other.to_string(),
    };
    parse_encap_port(&text).map_err(D::Error::custom)
}

/// A duration, which is a text; of a number the error says what is missing.
pub(crate) fn optional_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    let text = match toml::Value::deserialize(deserializer)? {
        toml::Value::String(text) => text,
        number @ (toml::Value::Integer(_) | toml::Value::Float(_)) => {
            let help = format!("{number} has no unit: write \"{number}ms\" or \"{number}s\"");
            return Err(D::Error::custom(help));
        }
        other => other.to_string(),
    };
    parse_duration(&text).map(Some).map_err(D::Error::custom)
}

/// The peers: one entry a registrar.
pub(crate) fn peers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<SocketAddr>>, D::Error> {
    let list = Vec::<String>::deserialize(deserializer)?;
    list.iter().map(|peer| parse_peer(peer)).collect::<Result<_, _>>().map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_for_people() {
        for (text, micros) in [
            ("250ms", 250_000),
            ("1.5s", 1_500_000),
            ("2m", 120_000_000),
            ("2 min", 120_000_000),
            ("1h", 3_600_000_000),
            ("7us", 7),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_micros(micros)), "{text}");
        }
        for text in ["", "250", "ms", "-1s", "1d", "1e99s", "NaNs", "1s1s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_id_is_hexadecimal_and_not_zero() {
        assert_eq!(parse_id("random"), Ok(None));
        assert_eq!(parse_id("0x2a"), Ok(Some(RegistrarId(0x2a))));
        assert_eq!(parse_id("ffffffff"), Ok(Some(RegistrarId(u32::MAX))));
        for text in ["", "0", "0x0", "100000000", "xyz"] {
            assert!(parse_id(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_udp_port_of_sctp_is_one_or_two_or_none() {
        #[derive(serde::Deserialize)]
        struct Section(#[serde(deserialize_with = "encap_port")] Option<EncapPorts>);
        let read = |text: &str| toml::from_str::<std::collections::BTreeMap<String, Section>>(text);
        for (text, expected) in [
            ("9899", Some(EncapPorts::same(9899))),
            ("\"9899\"", Some(EncapPorts::same(9899))),
            ("\"9900:9899\"", Some(EncapPorts { local: 9900, remote: 9899 })),
            ("\"off\"", None),
        ] {
            assert_eq!(read(&format!("port = {text}")).unwrap()["port"].0, expected);
        }
        for text in ["0", "-1", "65536", "true", "\"on\""] {
            let error = read(&format!("port = {text}")).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains("or \"off\""), "{text}: {error}");
        }
    }
}
