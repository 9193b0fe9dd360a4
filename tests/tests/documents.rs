//! What the documents say is there: their links lead somewhere, and the README's code is the code that the
//! libraries' doctests compile.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn links_lead_to_files() {
    let documents = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "fuzz/README.md",
        "interop/README.md",
        "tests/mutations/README.md",
        "tests/scenarios/README.md",
        "vendor/README.md",
    ];
    let pages = fs::read_dir(root().join("docs")).unwrap();
    let pages = pages.map(|entry| format!("docs/{}", entry.unwrap().file_name().to_string_lossy()));
    let pages: Vec<String> = pages.filter(|page| page.ends_with(".md")).collect();
    assert!(!pages.is_empty());
    for document in documents.into_iter().chain(pages.iter().map(String::as_str)) {
        let text = read(document);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let target = root().join(document).with_file_name(link);
            assert!(target.exists(), "{document}: {link} leads nowhere");
        }
    }
}

#[test]
fn the_code_of_the_readme_is_compiled_by_the_libraries() {
    let readme = read("README.md");
    let examples: Vec<&str> =
        readme.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let libraries = ["pool-element/src/lib.rs", "pool-user/src/lib.rs"];
    assert_eq!(
        examples.len(),
        4,
        "a server and a client of sessions, a server and a client of another transport"
    );
    for (example, library) in examples.iter().zip(libraries.iter().cycle()) {
        let compiled: Vec<String> =
            read(library).lines().filter_map(|line| line.strip_prefix("//! ").map(str::to_owned)).collect();
        let example: Vec<&str> = example.lines().collect();
        let found = compiled.windows(example.len()).any(|window| window == example);
        assert!(found, "{library} documents other code than the README:\n{}", example.join("\n"));
    }
}
