//! The mutations of `tests/mutations` still fit the code. Whether each is caught is what `tests/mutations/run` finds out:
//! it builds every one of them, which takes too long for here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("mutations")
}

fn patches() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).unwrap_or_else(|error| panic!("tests/mutations: {error}"));
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let patches: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "patch")).collect();
    assert!(!patches.is_empty());
    patches
}

#[test]
fn the_index_names_every_mutation() {
    let index = fs::read_to_string(folder().join("README.md")).expect("the index is there");
    for path in patches() {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        assert!(index.contains(&format!("| `{name}` |")), "README.md does not name {name}");
    }
}

#[test]
fn every_mutation_can_be_applied() {
    let patches = patches();
    if Command::new("git").arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no git to check {} mutations with", patches.len());
        return;
    }
    let mut wrong = String::new();
    for patch in patches {
        let mut git = Command::new("git");
        git.args(["apply", "--check"]).arg(&patch).current_dir(folder().join("../.."));
        let output = git.output().expect("git runs");
        if !output.status.success() {
            wrong += &String::from_utf8_lossy(&output.stderr);
        }
    }
    assert!(wrong.is_empty(), "the code has changed under a mutation; write it anew:\n{wrong}");
}
