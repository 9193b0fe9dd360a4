//! The runs of `found.txt`, and the tests and stories that cite them.

#![allow(clippy::expect_used, reason = "helpers of tests are tests")]

use super::all_hold;
use rserpool_tests::Spec;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn found() -> impl Iterator<Item = Spec> {
    include_str!("found.txt").lines().filter_map(|line| {
        let line = line.trim();
        let spec = !line.is_empty() && !line.starts_with('#');
        spec.then(|| line.parse().expect(line))
    })
}

/// What was found once must not come back.
#[test]
fn what_was_found() {
    all_hold(found());
}

#[test]
fn every_seed_that_a_test_or_a_story_cites_is_among_what_was_found() {
    let kept: BTreeSet<u64> = found().map(|spec| spec.seed).collect();
    let mut cited = 0;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for folder in
        ["proto/src", "proto/tests", "net/src", "net/tests", "tests/src", "tests/tests", "tests/scenarios"]
    {
        for_each_text(&root.join(folder), &mut |path, text| {
            for seed in cited_seeds(text) {
                cited += 1;
                assert!(kept.contains(&seed), "{}: seed {seed}", path.display());
            }
        });
    }
    assert!(cited > 20, "{cited} citations");
}

fn for_each_text(folder: &Path, look: &mut dyn FnMut(&Path, &str)) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            for_each_text(&path, look);
        } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "txt") {
            look(&path, &fs::read_to_string(&path).expect("it is text"));
        }
    }
}

/// The numbers in "seed 1", "seeds 1, 2 and 3".
fn cited_seeds(text: &str) -> Vec<u64> {
    let mut seeds = Vec::new();
    let mut cites = false;
    for word in text.split_whitespace() {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        match (bare.parse(), cites) {
            (Ok(seed), true) => seeds.push(seed),
            _ if matches!(word.trim_start_matches('('), "seed" | "seeds") => cites = true,
            // A list goes on, or a comment does on its next line.
            _ if matches!(word, "and" | "//" | "///" | "#") => {}
            _ => cites = false,
        }
    }
    seeds
}

#[test]
fn citations_are_found_in_prose() {
    let text = "(seed 6). No seed here, of 7; seeds 62, 74\n// and 23 of the simulation: seed=5, a seed\n# 9";
    assert_eq!(cited_seeds(text), [6, 62, 74, 23, 9]);
}
