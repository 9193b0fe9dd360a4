//! The golden transcripts of `tests/scenarios`: what the machines say to each other is what stands there.
//!
//! `REGENERATE=1 cargo test -p rserpool-tests --test scenarios` writes down what they say now.

use rserpool_tests::transcript;
use similar::TextDiff;
use std::fs;
use std::path::{Path, PathBuf};

fn scenarios() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut scenarios: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "txt")).collect();
    scenarios.sort();
    scenarios
}

#[test]
fn the_transcripts_are_what_the_machines_say() {
    let regenerate = std::env::var_os("REGENERATE").is_some();
    let mut wrong = String::new();
    for path in scenarios() {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let written = fs::read_to_string(&path).expect("the scenario is readable");
        let played = match transcript::play(&written) {
            Ok(played) => played,
            Err(error) => {
                wrong += &format!("{name}, {error}\n");
                continue;
            }
        };
        if written == played {
            continue;
        }
        if regenerate {
            fs::write(&path, played).expect("the scenario is writable");
        } else {
            let diff = TextDiff::from_lines(&written, &played);
            wrong += &diff.unified_diff().context_radius(5).header(&name, "played now").to_string();
        }
    }
    assert!(
        wrong.is_empty(),
        "{wrong}If it is meant to be so: REGENERATE=1 cargo test -p rserpool-tests --test scenarios"
    );
}

#[test]
fn every_scenario_opens_with_what_it_teaches() {
    for path in scenarios() {
        let text = fs::read_to_string(&path).expect("the scenario is readable");
        let first = text.lines().next().unwrap_or_default();
        let teaches = first.starts_with("# RFC ") && first.contains('§');
        assert!(teaches, "{}: {first:?} names no section of an RFC", path.display());
    }
}

#[test]
fn the_index_names_every_scenario() {
    let index = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/README.md");
    let index = fs::read_to_string(index).expect("the index is there");
    for path in scenarios() {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        assert!(index.contains(&format!("({name})")), "README.md does not name {name}");
    }
}

/// What the simulation has found is told by a story, too: a seed says that it must not come back, and nobody learns from it.
#[test]
fn what_was_found_is_told() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut told = None;
    for line in include_str!("simulation/found.txt").lines() {
        if let Some(name) = line.strip_prefix("# scenarios/") {
            told = Some(name);
        } else if let Some(spec) = line.strip_prefix("seed=") {
            let seed = spec.split(',').next().unwrap_or_default();
            let name = told.take().unwrap_or_else(|| panic!("no scenario tells of seed {seed}"));
            let text =
                fs::read_to_string(folder.join("scenarios").join(name)).expect("the scenario is there");
            let prose: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# ")).collect();
            let prose = prose.join(" ");
            let mut seeds = prose.split("seed ").skip(1);
            let tells = seeds.any(|rest| rest.split(|c: char| !c.is_ascii_digit()).next() == Some(seed));
            assert!(tells, "{name} does not tell of seed {seed}");
        }
    }
}
