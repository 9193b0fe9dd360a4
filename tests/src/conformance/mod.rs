//! Which requirement is shown by which test: `docs/conformance.tsv`.
//!
//! It is generated from three sources: the list of requirements (`tests/data/conformance.tsv`), the IDs in the comments
//! above tests ([`citations`]), and what is written by hand about deviations and about what does not apply
//! (`docs/conformance-notes.tsv`). What is in neither of the latter two is open. A deviation whose reason begins with
//! `not yet` is one that is to end: it must not be shown by a test.

pub mod citations;

use citations::Citation;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{fs, io};

/// The list of requirements, from the root of the repository.
pub const REQUIREMENTS: &str = "tests/data/conformance.tsv";
/// What is written by hand.
pub const NOTES: &str = "docs/conformance-notes.tsv";
/// What is generated.
pub const REPORT: &str = "docs/conformance.tsv";

/// Makes the report for the repository at `root`.
///
/// # Errors
///
/// If a file cannot be read, and in one text everything that is wrong: IDs that do not exist, with where they are
/// cited; notes that contradict the tests.
pub fn report(root: &Path) -> io::Result<Result<String, String>> {
    let read = |path: &str| fs::read_to_string(root.join(path));
    let citations = citations::of_repository(root)?;
    Ok(generate(&read(REQUIREMENTS)?, &read(NOTES)?, &citations))
}

/// The rows of a report that are open.
pub fn open(report: &str) -> Vec<&str> {
    lines(report)
        .filter_map(|row| match row.split('\t').collect::<Vec<_>>()[..] {
            [id, _, _, _, "open", _] => Some(id),
            _ => None,
        })
        .collect()
}

/// What is known about a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Shown,
    Deviation,
    NotApplicable,
    Open,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Shown => "test",
            Self::Deviation => "deviation",
            Self::NotApplicable => "n/a",
            Self::Open => "open",
        }
    }
}

/// How the reason of a deviation begins that is to end.
const NOT_YET: &str = "not yet";

/// A line written by hand.
struct Note<'a> {
    state: State,
    reason: &'a str,
}

impl Note<'_> {
    fn is_temporary(&self) -> bool {
        self.reason.starts_with(NOT_YET)
    }
}

fn generate(requirements: &str, notes: &str, citations: &[Citation]) -> Result<String, String> {
    let requirements: Vec<&str> = lines(requirements).collect();
    let ids: BTreeSet<&str> = requirements.iter().map(|line| first_column(line)).collect();
    let mut wrong = Vec::new();
    if ids.len() != requirements.len() {
        wrong.push(format!("{REQUIREMENTS} has an ID twice"));
    }
    let mut shown: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for citation in citations {
        let Some(id) = ids.get(&citation.id[..]) else {
            wrong.push(format!("{}: there is no {}", citation.place, citation.id));
            continue;
        };
        if let Some(test) = &citation.test {
            shown.entry(id).or_default().insert(format!("{}: {test}", citation.place));
        }
    }
    let notes = read_notes(notes, &ids, &mut wrong);
    let mut rows = String::new();
    let mut groups: Vec<(&str, BTreeMap<State, usize>)> = Vec::new();
    for requirement in requirements {
        let id = first_column(requirement);
        let tests = shown.get(id).map(|tests| tests.iter().cloned().collect::<Vec<_>>().join(", "));
        let (state, evidence) = match (notes.get(id), tests) {
            (None, None) => (State::Open, String::new()),
            (None, Some(tests)) => (State::Shown, tests),
            (Some(note), None) => (note.state, note.reason.to_owned()),
            (Some(note), Some(tests)) if note.state == State::Deviation && !note.is_temporary() => {
                (State::Deviation, format!("{} ({tests})", note.reason))
            }
            (Some(note), Some(tests)) => {
                let state = if note.is_temporary() { NOT_YET } else { note.state.name() };
                wrong.push(format!("{NOTES}: {id} is {state}, but shown by {tests}"));
                continue;
            }
        };
        rows += &format!("{requirement}\t{}\t{evidence}\n", state.name());
        let group = id.split('-').next().unwrap_or_default();
        if groups.last().is_none_or(|(last, _)| *last != group) {
            groups.push((group, BTreeMap::new()));
        }
        if let Some((_, counts)) = groups.last_mut() {
            *counts.entry(state).or_default() += 1;
        }
    }
    if wrong.is_empty() { Ok(header(&groups) + &rows) } else { Err(wrong.join("\n")) }
}

fn header(groups: &[(&str, BTreeMap<State, usize>)]) -> String {
    let mut text = String::from(
        "# Requirements of RFC 5351 - 5356 and the tests that show them. Generated, do not edit:\n\
         # cargo run -p rserpool-tests --bin conformance\n\
         # Group\trows\ttest\tdeviation\tn/a\topen\n",
    );
    let mut all = BTreeMap::new();
    for (_, counts) in groups {
        for (state, count) in counts {
            *all.entry(*state).or_default() += count;
        }
    }
    for (group, counts) in groups.iter().chain([&("all", all)]) {
        text += &format!("# {group}\t{}", counts.values().sum::<usize>());
        for state in [State::Shown, State::Deviation, State::NotApplicable, State::Open] {
            text += &format!("\t{}", counts.get(&state).copied().unwrap_or_default());
        }
        text += "\n";
    }
    text + "# ID\tRFC and section\twho\tlevel\tstate\ttests or reason\n"
}

fn read_notes<'a>(
    text: &'a str,
    ids: &BTreeSet<&str>,
    wrong: &mut Vec<String>,
) -> BTreeMap<&'a str, Note<'a>> {
    let mut notes = BTreeMap::new();
    for line in lines(text) {
        let columns: Vec<&str> = line.split('\t').collect();
        let (id, state, reason) = match columns[..] {
            [id, "deviation", reason] if !reason.is_empty() => (id, State::Deviation, reason),
            [id, "n/a", reason] if !reason.is_empty() => (id, State::NotApplicable, reason),
            _ => {
                wrong.push(format!(
                    "{NOTES}: {line:?} is not ID, `deviation` or `n/a`, reason, with tabs between"
                ));
                continue;
            }
        };
        if !ids.contains(id) {
            wrong.push(format!("{NOTES}: there is no {id}"));
        }
        if notes.insert(id, Note { state, reason }).is_some() {
            wrong.push(format!("{NOTES}: {id} is there twice"));
        }
    }
    notes
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn first_column(line: &str) -> &str {
    line.split('\t').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str =
        "# list\nPOL-1-01\t5356\tall\tMUST\nPOL-1-02\t5356\tPU\tMAY\nPOL-1-03\t5356\tPE\tMAY\n";

    fn cited(id: &str, test: Option<&str>) -> Citation {
        Citation { id: id.into(), place: "a.rs".into(), test: test.map(Into::into) }
    }

    #[test]
    fn each_requirement_is_shown_noted_or_open() {
        let report = generate(
            LIST,
            "POL-1-02\tn/a\tno reason\n",
            &[cited("POL-1-01", Some("t")), cited("POL-1-03", None)],
        );
        let rows: Vec<String> =
            report.unwrap().lines().skip_while(|line| line.starts_with("# ")).map(Into::into).collect();
        assert_eq!(
            rows,
            [
                "POL-1-01\t5356\tall\tMUST\ttest\ta.rs: t",
                "POL-1-02\t5356\tPU\tMAY\tn/a\tno reason",
                "POL-1-03\t5356\tPE\tMAY\topen\t",
            ]
        );
    }

    #[test]
    fn a_deviation_may_be_tested_and_what_does_not_apply_may_not() {
        let tested = [cited("POL-1-01", Some("t"))];
        let report = generate(LIST, "POL-1-01\tdeviation\twhy\n", &tested).unwrap();
        assert!(report.contains("\tdeviation\twhy (a.rs: t)\n"), "{report}");
        let wrong = generate(LIST, "POL-1-01\tn/a\twhy\n", &tested).unwrap_err();
        assert_eq!(wrong, "docs/conformance-notes.tsv: POL-1-01 is n/a, but shown by a.rs: t");
    }

    #[test]
    fn what_is_there_cannot_be_missing() {
        let tested = [cited("POL-1-01", Some("t"))];
        let wrong = generate(LIST, "POL-1-01\tdeviation\tnot yet: why\n", &tested).unwrap_err();
        assert_eq!(wrong, "docs/conformance-notes.tsv: POL-1-01 is not yet, but shown by a.rs: t");
        assert!(generate(LIST, "POL-1-01\tdeviation\tnot yet: why\n", &[]).is_ok());
    }

    #[test]
    fn what_is_neither_shown_nor_noted_is_open() {
        let report = generate(LIST, "POL-1-01\tdeviation\twhy\n", &[cited("POL-1-02", Some("t"))]).unwrap();
        assert_eq!(open(&report), ["POL-1-03"]);
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let wrong =
            generate(LIST, "POL-9-01\tn/a\twhy\nPOL-1-02 n/a\n", &[cited("POL-1-04", None)]).unwrap_err();
        assert_eq!(
            wrong.lines().collect::<Vec<_>>(),
            [
                "a.rs: there is no POL-1-04",
                "docs/conformance-notes.tsv: there is no POL-9-01",
                "docs/conformance-notes.tsv: \"POL-1-02 n/a\" is not ID, `deviation` or `n/a`, reason, with tabs between",
            ]
        );
    }
}
