//! `docs/conformance.tsv` says what the tests show.

use rserpool_tests::conformance;
use std::fs;
use std::path::Path;

#[test]
fn the_conformance_table_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let report = conformance::report(&root)
        .expect("the repository is readable")
        .unwrap_or_else(|wrong| panic!("{wrong}"));
    let committed = fs::read_to_string(root.join(conformance::REPORT)).expect(conformance::REPORT);
    let changed = report.lines().zip(committed.lines()).find(|(now, then)| now != then);
    assert!(
        report == committed,
        "{} is stale: run `cargo run -p rserpool-tests --bin conformance`. The first difference: {changed:#?}",
        conformance::REPORT
    );
}
