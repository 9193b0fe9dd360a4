//! Reports to rsplib's `cspmonitor`: whether, where to, how often.

use super::{ConfigError, values};
use serde::{Deserialize, Deserializer};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

/// More often would only be load; what is less often than every 30 s a monitor takes for gone.
const INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(30);

/// Reports about this registrar to a monitor, by rsplib's Component Status Protocol.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ComponentStatus {
    /// The monitor's UDP address; `None`: nothing is reported.
    #[serde(deserialize_with = "monitor")]
    pub monitor: Option<SocketAddr>,
    /// Time between two reports.
    #[serde(deserialize_with = "interval")]
    pub interval: Duration,
}

impl Default for ComponentStatus {
    fn default() -> Self {
        Self { monitor: None, interval: Duration::from_secs(1) }
    }
}

impl ComponentStatus {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if !INTERVAL.contains(&self.interval) {
            let (least, most) = (INTERVAL.start(), INTERVAL.end());
            let reason = format!("{:?} must be between {least:?} and {most:?}", self.interval);
            return Err(ConfigError::Value { key: "component-status.interval", reason });
        }
        Ok(())
    }
}

fn monitor<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let address = (text != "off").then(|| values::parse_address(&text)).transpose();
    address.map_err(|error| serde::de::Error::custom(format!("{error}, or \"off\"")))
}

fn interval<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    values::parse_duration(&text).map_err(serde::de::Error::custom)
}
