//! The mutations of `tests/mutations` still fit the code. Whether each is caught is what `tests/mutations/run` finds out:
//! it builds every one of them, which takes too long for here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn every_mutation_can_be_applied() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("mutations");
    let entries = fs::read_dir(&folder).expect("the folder is there");
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let patches: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "patch")).collect();
    assert!(!patches.is_empty());
    if Command::new("git").arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no git to check {} mutations with", patches.len());
        return;
    }
    let mut wrong = String::new();
    for patch in patches {
        let mut git = Command::new("git");
        git.args(["apply", "--check"]).arg(&patch).current_dir(folder.join("../.."));
        let output = git.output().expect("git runs");
        if !output.status.success() {
            wrong += &String::from_utf8_lossy(&output.stderr);
        }
    }
    assert!(wrong.is_empty(), "the code has changed under a mutation; write it anew:\n{wrong}");
}
