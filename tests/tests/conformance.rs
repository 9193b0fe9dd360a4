//! `docs/conformance.tsv` says what the tests show.

use rserpool_tests::conformance;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What the sources say now. Deviations without a reason and IDs that do not exist are errors.
fn report() -> String {
    let report = conformance::report(&root());
    report.unwrap_or_else(|error| panic!("{error}")).unwrap_or_else(|wrong| panic!("{wrong}"))
}

#[test]
fn the_conformance_table_is_up_to_date() {
    let (root, report) = (root(), report());
    let committed = fs::read_to_string(root.join(conformance::REPORT)).expect(conformance::REPORT);
    let changed = report.lines().zip(committed.lines()).find(|(now, then)| now != then);
    assert!(
        report == committed,
        "{} is stale: run `cargo run -p rserpool-tests --bin conformance`. The first difference: {changed:#?}",
        conformance::REPORT
    );
}

#[test]
fn no_row_is_open() {
    let report = report();
    let open = conformance::open(&report);
    assert!(open.is_empty(), "neither a test nor a note in {}: {open:?}", conformance::NOTES);
}

/// The list is complete: so many rows in each group, and within a section no number is missing.
#[test]
fn no_requirement_is_missing() {
    let list = fs::read_to_string(root().join(conformance::REQUIREMENTS)).expect(conformance::REQUIREMENTS);
    let ids = list.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split('\t').next());
    let (mut groups, mut sections) = (BTreeMap::<&str, usize>::new(), BTreeMap::<&str, Vec<usize>>::new());
    for id in ids {
        let (section, number) = id.rsplit_once('-').expect("GROUP-SECTION-NUMBER");
        *groups.entry(section.split('-').next().unwrap_or_default()).or_default() += 1;
        sections.entry(section).or_default().push(number.parse().expect("a number"));
    }
    let expected =
        [("ASAP", 303), ("ENRP", 176), ("OVW", 14), ("PARAM", 97), ("POL", 77), ("SCTP", 22), ("SEC", 68)];
    assert!(groups.iter().map(|(group, rows)| (*group, *rows)).eq(expected), "{groups:?}");
    for (section, numbers) in sections {
        assert!(numbers.iter().copied().eq(1..=numbers.len()), "{section}: {numbers:?}");
    }
}
