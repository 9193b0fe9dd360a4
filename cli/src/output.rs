//! What the commands print: tables for people, JSON for programs, bare names for pipes.

use anyhow::Context;
use clap::ValueEnum;
use comfy_table::{Table, presets};
use registrar::admin::api;
use serde::Serialize;
use std::io::{self, Write};

/// How to show a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// How the user wants to see results.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    pub(crate) output: Output,
    /// More columns.
    pub(crate) wide: bool,
    /// Only names.
    pub(crate) quiet: bool,
}

impl Screen {
    /// Prints `value`: as JSON, as the text that `table` makes of it, or only the `names` in it.
    pub(crate) fn show<T: Serialize>(
        self,
        value: &T,
        table: impl FnOnce(&T, Columns) -> String,
        names: impl FnOnce(&T) -> Vec<String>,
    ) -> anyhow::Result<()> {
        let text = match self.output {
            Output::Json => serde_json::to_string_pretty(value)? + "\n",
            Output::Table if self.quiet => names(value).into_iter().map(|name| name + "\n").collect(),
            Output::Table => table(value, Columns { wide: self.wide }),
        };
        print(&text)
    }
}

/// Prints to standard output. That a reader such as `head` goes away is no error.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("standard output"),
        _ => Ok(()),
    }
}

/// Makes tables with or without the columns that only `--wide` shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns {
    wide: bool,
}

impl Columns {
    /// Every column.
    pub(crate) fn all() -> Self {
        Self { wide: true }
    }

    /// A table; of each row the first `always` cells are always shown, the others only if wide.
    pub(crate) fn table(
        self,
        header: &[&str],
        always: usize,
        rows: impl IntoIterator<Item = Vec<String>>,
    ) -> String {
        let shown = if self.wide { header.len() } else { always };
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(header.iter().take(shown));
        for row in rows {
            table.add_row(row.into_iter().take(shown));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        table.trim_fmt() + "\n"
    }

    /// Names with their values, one a line.
    pub(crate) fn properties(self, properties: &[(&str, String)]) -> String {
        let width = properties.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        properties.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
    }
}

/// `least used, load 25.0 %`.
pub(crate) fn policy(policy: &api::Policy) -> String {
    let mut text = policy_name(&policy.name);
    for (name, value) in &policy.values {
        let percent = matches!(name.as_str(), "load" | "degradation");
        let value = if percent { format!("{:.1} %", value * 100.0) } else { value.to_string() };
        text += &format!(", {} {value}", name.replace('_', " "));
    }
    text
}

/// `least used`.
pub(crate) fn policy_name(name: &str) -> String {
    name.replace('_', " ")
}

/// `SCTP 127.0.0.1:4711`, and whether there is a control channel.
pub(crate) fn transport(transport: &api::Transport) -> String {
    let control = if transport.control_channel { " (control channel)" } else { "" };
    format!("{} {}{control}", transport.protocol, transport.addresses.join(","))
}

/// `250 ms`, `1.5 s`, `2 h 3 min`: what fits.
pub(crate) fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 60.0 => format!("{s:.1} s"),
        s if s < 3600.0 => format!("{:.0} min {:.0} s", (s / 60.0).floor(), (s % 60.0).floor()),
        s => format!("{:.0} h {:.0} min", (s / 3600.0).floor(), (s % 3600.0 / 60.0).floor()),
    }
}

/// What may be absent.
pub(crate) fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_has_no_trailing_blanks() {
        let rows =
            || [vec!["echo".into(), "3".into(), "00".into()], vec!["a".into(), "12".into(), "01".into()]];
        let narrow = Columns { wide: false }.table(&["POOL", "ELEMENTS", "HEX"], 2, rows());
        assert_eq!(narrow, "POOL  ELEMENTS\necho  3\na     12\n");
        let wide = Columns { wide: true }.table(&["POOL", "ELEMENTS", "HEX"], 2, rows());
        assert_eq!(wide, "POOL  ELEMENTS  HEX\necho  3         00\na     12        01\n");
    }

    #[test]
    fn ages_are_written_for_people() {
        for (value, text) in
            [(0.25, "250 ms"), (1.5, "1.5 s"), (61.9, "1 min 1 s"), (7385.0, "2 h 3 min"), (0.0, "0 ms")]
        {
            assert_eq!(seconds(value), text);
        }
    }

    #[test]
    fn loads_are_percent() {
        let values = [("load".to_owned(), 0.25), ("degradation".to_owned(), 0.1)].into();
        let shown = policy(&api::Policy { name: "least_used_degradation".into(), values });
        assert_eq!(shown, "least used degradation, degradation 10.0 %, load 25.0 %");
    }
}
