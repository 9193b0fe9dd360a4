//! `rserpool doctor`: what is possible on this host, why not, and what to do about it.
//!
//! [`facts`] looks, [`checks`] judges: the judgement is plain computation.

mod checks;
mod facts;

use crate::output::Columns;
use crate::{Context, Failure};
use checks::Check;
use clap::Args;
use facts::Facts;
use serde::Serialize;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Configuration of the registrar that is to run here [default: its defaults]
    #[arg(long, short, value_name = "FILE", env = "RSERPOOL_CONFIG")]
    config: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report {
    /// What carries SCTP here.
    transport: String,
    /// Whether it can.
    usable: bool,
    checks: Vec<Check>,
}

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<(), Failure> {
    let config = facts::config(arguments.config.as_deref())?;
    let facts = Facts::gather(&config, context).await;
    let checks = checks::all(&facts);
    let transport = facts.transport.to_string();
    let report = Report { usable: checks::works(&checks, &transport), transport, checks };
    context.screen.show(&report, table, |report| vec![report.usable.to_string()])?;
    if report.usable {
        return Ok(());
    }
    Err(Failure::NotFound(format!("the transport \"{}\" does not work on this host", report.transport)))
}

/// One check a line, what to do below it.
fn table(report: &Report, _: Columns) -> String {
    let width = report.checks.iter().map(|check| check.name.len()).max().unwrap_or_default();
    let line = |check: &Check| {
        let mut text = format!("{:7}  {:width$}  {}\n", check.state.name(), check.name, check.why);
        if let Some(advice) = &check.advice {
            text += &format!("{:7}  {:width$}  -> {advice}\n", "", "");
        }
        text
    };
    report.checks.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use checks::State;

    #[test]
    fn what_to_do_stands_below_what_is_wrong() {
        let check = |name, state, advice: Option<&str>| Check {
            name,
            state,
            why: "because".into(),
            advice: advice.map(Into::into),
        };
        let checks = vec![check("udp", State::Ok, None), check("kernel", State::No, Some("do this"))];
        let report = Report { transport: "udp".into(), usable: true, checks };
        assert_eq!(
            table(&report, Columns::all()),
            "ok       udp     because\nno       kernel  because\n                 -> do this\n"
        );
    }
}
