//! What the demo says as it happens: prose for a terminal, or one JSON object a line.

use super::gauge::Gaps;
use serde::Serialize;
use std::io::Write;
use tokio::time::Instant;

/// Something worth telling.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Event {
    Started { registrars: usize, elements: usize, clients: usize, seed: u64 },
    Registrar { name: String, id: String, asap: String },
    Server { name: String, id: String, home: String },
    Fault { what: &'static str, whom: String, id: String, affected: String },
    Failover { client: usize, icmp: bool, to: String, gap_ms: f64 },
    Takeover { by: String, target: String, elements: usize },
    Returned { whom: String, how: &'static str },
    Trouble { what: String },
    Summary(Summary),
}

/// How it ended.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Summary {
    pub(super) operations: u64,
    pub(super) new_sessions: u64,
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    pub(super) failovers: u64,
    pub(super) failed: u64,
    pub(super) takeovers: u64,
    pub(super) gap_ms: GapsByFault,
    pub(super) new_home_ms: Gaps,
    pub(super) seed: u64,
}

/// From the fault to the first answer of the new server; for registrars between successful new sessions.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct GapsByFault {
    pub(super) server_killed: Gaps,
    pub(super) server_killed_without_icmp: Gaps,
    pub(super) server_frozen: Gaps,
    pub(super) registrar_killed: Gaps,
}

/// So many servers, in words.
pub(super) fn servers(count: usize) -> String {
    if count == 1 { "1 server".into() } else { format!("{count} servers") }
}

/// Tells events with the time since the start.
pub(super) struct Story {
    start: Instant,
    json: bool,
}

impl Story {
    pub(super) fn new(json: bool) -> Self {
        Self { start: Instant::now(), json }
    }

    /// Tells an event. A reader that has gone away does not matter.
    pub(super) fn tell(&self, event: &Event) {
        let mut out = std::io::stdout().lock();
        let _ = if self.json { self.tell_json(&mut out, event) } else { self.tell_prose(&mut out, event) };
        let _ = out.flush();
    }

    fn tell_json(&self, out: &mut impl Write, event: &Event) -> std::io::Result<()> {
        let mut value = serde_json::to_value(event).map_err(std::io::Error::other)?;
        if let Some(object) = value.as_object_mut() {
            let at = (self.start.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
            object.insert("at".into(), at.into());
        }
        writeln!(out, "{value}")
    }

    fn tell_prose(&self, out: &mut impl Write, event: &Event) -> std::io::Result<()> {
        write!(out, "{:7.3}  ", self.start.elapsed().as_secs_f64())?;
        match event {
            Event::Started { registrars, elements, clients, seed } => {
                writeln!(
                    out,
                    "{registrars} registrars, {elements} servers, {clients} clients (--seed {seed})"
                )
            }
            Event::Registrar { name, id, asap } => writeln!(out, "{name} ({id}) listens on {asap}"),
            Event::Server { name, id, home } => writeln!(out, "{name} ({id}) is registered at {home}"),
            Event::Fault { what, whom, id, affected } => writeln!(out, "{what} {whom} ({id}): {affected}"),
            Event::Failover { client, icmp, to, gap_ms } => {
                let icmp = if *icmp { "" } else { ", without ICMP" };
                writeln!(out, "    client {client} goes on at {to} after {gap_ms:.1} ms{icmp}")
            }
            Event::Takeover { by, target, elements } => {
                writeln!(out, "    {by} has taken over {} of {target}", servers(*elements))
            }
            Event::Returned { whom, how } => writeln!(out, "    {whom} {how}"),
            Event::Trouble { what } => writeln!(out, "!!! {what}"),
            Event::Summary(summary) => summary.write(out),
        }
    }
}

impl Summary {
    /// Whether every operation was done exactly once and every failover succeeded.
    pub(super) fn is_flawless(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.failed == 0
    }

    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        let Self { operations, new_sessions, lost, duplicated, failovers, failed, takeovers, .. } = self;
        writeln!(out, "{operations} operations: {lost} lost, {duplicated} done twice")?;
        writeln!(
            out,
            "         {failovers} failovers, {failed} failed; {takeovers} takeovers; {new_sessions} new sessions"
        )?;
        writeln!(out, "         server killed               {}", self.gap_ms.server_killed)?;
        writeln!(out, "         server killed, ICMP off     {}", self.gap_ms.server_killed_without_icmp)?;
        writeln!(out, "         server frozen               {}", self.gap_ms.server_frozen)?;
        writeln!(out, "         registrar killed            {}", self.gap_ms.registrar_killed)?;
        writeln!(out, "         servers have a new home     {}", self.new_home_ms)?;
        writeln!(
            out,
            "         {}",
            if self.is_flawless() { "Nothing lost, nothing done twice." } else { "FAILED" }
        )
    }
}
