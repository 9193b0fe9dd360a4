//! On the host: the outcomes as they come in, and the verdict when the VM has ended.

mod capture;

use crate::outcome::Outcome;
use crate::rows;
use anyhow::{Context, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, Write, stdin, stdout};
use std::path::Path;
use std::process::ExitCode;

/// Shows outcomes on standard error and copies them to standard output.
pub(crate) fn watch() -> anyhow::Result<()> {
    for line in stdin().lock().lines() {
        let line = line?;
        let outcome: Outcome = serde_json::from_str(&line).with_context(|| line.clone())?;
        let Outcome { row, failure, seconds, .. } = outcome;
        let word = failure.map_or_else(|| "done".to_owned(), |why| format!("failed: {why}"));
        eprintln!("  {row}: {word} ({seconds:.1} s)");
        writeln!(stdout(), "{line}")?;
    }
    Ok(())
}

/// Judges the captures in `results`, prints the table, and compares it with what is expected.
pub(crate) fn judge(expected: &Path, results: &Path, names: &[String]) -> anyhow::Result<ExitCode> {
    let expected = read_expected(expected)?;
    let mut outcomes = read_outcomes(results)?;
    judge_captures(results, &mut outcomes)?;

    let (mut passed, mut failed, mut known) = (0, 0, 0);
    let width = names.iter().map(String::len).max().unwrap_or_default();
    println!();
    for name in names {
        let outcome = outcomes.remove(name).unwrap_or_else(|| Outcome {
            failure: Some("the VM ended before it".to_owned()),
            ..Outcome::default()
        });
        let (word, why) = match (outcome.failure, expected.get(name)) {
            (None, None) => ("ok", String::new()),
            (None, Some(reason)) => {
                ("PASSES", format!("delete it from interop/expected-failures ({reason})"))
            }
            (Some(why), None) => ("FAILS", why),
            (Some(_), Some(reason)) => ("known", reason.clone()),
        };
        match word {
            "ok" => passed += 1,
            "known" => known += 1,
            _ => failed += 1,
        }
        println!("{name:width$}  {word:6} {:6.1} s  {why}", outcome.seconds);
        for note in outcome.notes {
            println!("{:width$}    {note}", "");
        }
    }
    println!(
        "\ninterop: {passed} passed, {failed} failed, {known} known to fail; logs in {}",
        results.display()
    );
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The rows that are known to fail: a name and the reason in each line.
fn read_expected(path: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut expected = BTreeMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let Some((row, reason)) = line.split_once(char::is_whitespace) else {
            bail!("{}: {line:?} has no reason", path.display());
        };
        rows::find(row).with_context(|| path.display().to_string())?;
        expected.insert(row.to_owned(), reason.trim().to_owned());
    }
    Ok(expected)
}

fn read_outcomes(results: &Path) -> anyhow::Result<BTreeMap<String, Outcome>> {
    let text = fs::read_to_string(results.join("results.jsonl"))?;
    let outcomes: Result<Vec<Outcome>, _> = text.lines().map(serde_json::from_str).collect();
    Ok(outcomes?.into_iter().map(|outcome| (outcome.row.clone(), outcome)).collect())
}

/// A row fails when tshark finds fault with a message of ours, unless it finds the same with the others' messages.
fn judge_captures(results: &Path, outcomes: &mut BTreeMap<String, Outcome>) -> anyhow::Result<()> {
    let mut captures = BTreeMap::new();
    let mut theirs_too = BTreeSet::new();
    for (row, outcome) in outcomes.iter() {
        let file = results.join(row).join(crate::lab::CAPTURE);
        if file.exists() {
            let capture = capture::read(&file, &outcome.ours)?;
            theirs_too.extend(capture.faults_of_theirs.iter().cloned());
            captures.insert(row.clone(), capture);
        }
    }
    for (row, outcome) in outcomes.iter_mut() {
        let Some(capture) = captures.get(row) else { continue };
        outcome.notes.push(capture.counts());
        let fault = capture.faults_of_ours.iter().find(|fault| !theirs_too.contains(&fault.what));
        let failure = match fault {
            Some(fault) => Some(format!("tshark: frame {}: {}", fault.frame, fault.what)),
            None if capture.packets_of_ours == 0 && !outcome.ours.is_empty() => {
                Some("tshark sees no SCTP of ours in the capture".to_owned())
            }
            None => None,
        };
        if let Some(failure) = failure {
            outcome.failure.get_or_insert(failure);
        }
    }
    Ok(())
}
