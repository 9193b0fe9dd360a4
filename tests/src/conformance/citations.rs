//! Finds the IDs of requirements in the comments of Rust files, and in the scenarios.
//!
//! IDs are written out (`ASAP-3.4-02`), shortened after the first of a section (`ASAP-3.4-02, -05`), or as ranges
//! (`ASAP-3.4-02 to -05`, also with `…` or `–`). In a test file, and behind `#[cfg(test)]`, a comment belongs to the
//! function below it, or to the one that it stands in. Elsewhere, and in documentation comments, an ID explains the code
//! and shows nothing. The prose of a scenario cites what its transcript shows.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// The groups of requirements.
const GROUPS: [&str; 7] = ["ASAP", "ENRP", "PARAM", "POL", "SEC", "SCTP", "OVW"];

/// An ID in a comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Citation {
    /// The ID.
    pub id: String,
    /// The file, from the root of the repository.
    pub place: String,
    /// The test that shows the requirement, if a test it is.
    pub test: Option<String>,
}

/// All citations in the sources of the repository at `root`.
pub fn of_repository(root: &Path) -> io::Result<Vec<Citation>> {
    let mut files = Vec::new();
    find_sources(root, &mut files)?;
    let mut citations = Vec::new();
    for file in files {
        let path: Vec<_> =
            file.strip_prefix(root).unwrap_or(&file).iter().map(|part| part.to_string_lossy()).collect();
        let (place, source) = (path.join("/"), fs::read_to_string(&file)?);
        match place.ends_with(".rs") {
            true => citations.extend(of_file(&place, &source)),
            false => citations.extend(of_scenario(&place, &source)),
        }
    }
    Ok(citations)
}

/// All `.rs` files and scenarios in order; build products and hidden folders are left out.
fn find_sources(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    entries.sort();
    for path in entries {
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        if path.is_dir() && !path.is_symlink() && name != "target" && !name.starts_with('.') {
            find_sources(&path, files)?;
        } else if (name.ends_with(".rs") || is_scenario(&path)) && path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

fn is_scenario(path: &Path) -> bool {
    let extension = path.extension().is_some_and(|extension| extension == "txt");
    extension && path.parent().is_some_and(|folder| folder.ends_with("tests/scenarios"))
}

/// The citations in the prose of a scenario.
fn of_scenario(place: &str, text: &str) -> Vec<Citation> {
    let prose = text.lines().filter_map(|line| line.strip_prefix('#'));
    let ids = prose.flat_map(ids);
    ids.map(|id| Citation { id, place: place.into(), test: Some("the transcript".into()) }).collect()
}

fn of_file(place: &str, source: &str) -> Vec<Citation> {
    let mut in_tests = place.split('/').any(|part| ["tests", "rows", "tests.rs"].contains(&part));
    let mut citations = Vec::new();
    let mut function: Option<String> = None;
    // The comment that is being read, and the IDs of the last one, until it is clear what it stands above.
    let (mut comment, mut waiting) = (String::new(), Vec::new());
    for line in source.lines().map(str::trim).chain([""]) {
        match line.strip_prefix("//") {
            Some(text) if !text.starts_with(['/', '!']) => {
                comment += text;
                continue;
            }
            _ => waiting.extend(ids(&std::mem::take(&mut comment))),
        }
        if line.starts_with("#[") || line.starts_with("///") {
            in_tests |= line == "#[cfg(test)]";
            continue;
        }
        if let Some(name) = function_name(line) {
            function = Some(name.to_owned());
        }
        let test = function.clone().filter(|_| in_tests);
        citations.extend(waiting.drain(..).map(|id| Citation {
            id,
            place: place.into(),
            test: test.clone(),
        }));
    }
    citations
}

/// The name of the function that the line begins.
fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let is_qualifier =
        |word: &str| ["pub", "pub(crate)", "pub(super)", "async", "const", "unsafe"].contains(&word);
    let name = after.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    (before.split_whitespace().all(is_qualifier) && !name.is_empty()).then_some(name)
}

/// The IDs in the text of a comment.
fn ids(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    // The last ID, with whether a range goes on from it.
    let mut last: Option<(&str, u32)> = None;
    let mut ranging = false;
    for word in text.split(|c: char| c.is_whitespace() || ",;:()".contains(c)).filter(|word| !word.is_empty())
    {
        if ["to", "…", "–"].contains(&word) {
            ranging = last.is_some();
            continue;
        }
        let word = word.trim_end_matches('.');
        let id = match (word.strip_prefix('-'), last) {
            (Some(number), Some((section, _))) => parse_number(number).map(|number| (section, number)),
            _ => parse_id(word),
        };
        if let Some((section, number)) = id {
            let first = match last {
                Some((same, from)) if ranging && same == section => from + 1,
                _ => number,
            };
            found.extend((first..=number).map(|number| format!("{section}-{number:02}")));
        }
        (last, ranging) = (id, false);
    }
    found
}

/// `ASAP-3.4-02` as section and number.
fn parse_id(word: &str) -> Option<(&str, u32)> {
    let (section, number) = word.rsplit_once('-')?;
    let (group, paragraph) = section.split_once('-')?;
    (GROUPS.contains(&group) && !paragraph.is_empty()).then_some((section, parse_number(number)?))
}

/// Two digits.
fn parse_number(text: &str) -> Option<u32> {
    (text.len() == 2).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_out_shortened_or_ranges() {
        assert_eq!(ids("ASAP-3.4-02, ENRP-2-01."), ["ASAP-3.4-02", "ENRP-2-01"]);
        assert_eq!(ids("ASAP-3.4-02, -05, A-40: -06"), ["ASAP-3.4-02", "ASAP-3.4-05"]);
        assert_eq!(ids("PARAM-3-04 … PARAM-3-06"), ["PARAM-3-04", "PARAM-3-05", "PARAM-3-06"]);
        assert_eq!(ids("POL-4-01 to -03, -05:"), ["POL-4-01", "POL-4-02", "POL-4-03", "POL-4-05"]);
        assert_eq!(ids("ENRP-3.6-02 – -03"), ["ENRP-3.6-02", "ENRP-3.6-03"]);
        assert!(ids("A-26 and -07 and UTF-8-01 and ASAP-3.4 to ASAP-x").is_empty());
    }

    #[test]
    fn the_prose_of_a_scenario_cites_what_its_transcript_shows() {
        let text = "# A story.\n#\n# ASAP-3.4-02, -05\n\nrun 1s\n----\nASAP-3.4-07\n";
        let found = of_scenario("tests/scenarios/a.txt", text);
        let found: Vec<_> =
            found.iter().map(|citation| (&citation.id[..], citation.test.as_deref())).collect();
        let shown = Some("the transcript");
        assert_eq!(found, [("ASAP-3.4-02", shown), ("ASAP-3.4-05", shown)]);
    }

    #[test]
    fn a_comment_belongs_to_the_test_below_it_or_around_it() {
        let source = [
            "// SCTP-1-01: why the code is so.",
            "fn code() {}",
            "#[cfg(test)]",
            "mod tests {",
            "    // SCTP-1-02,",
            "    // -03",
            "    #[test]",
            "    fn story() {",
            "        let a = 1;",
            "        // SCTP-1-04",
            "        assert_eq!(a, 1);",
        ]
        .join("\n");
        let found = of_file("net/src/a.rs", &source);
        let found: Vec<_> =
            found.iter().map(|citation| (&citation.id[..], citation.test.as_deref())).collect();
        let story = Some("story");
        assert_eq!(
            found,
            [("SCTP-1-01", None), ("SCTP-1-02", story), ("SCTP-1-03", story), ("SCTP-1-04", story)]
        );
        assert_eq!(
            of_file("net/tests/a.rs", "// SCTP-1-01\nasync fn story() {").first().unwrap().test,
            story.map(Into::into)
        );
    }
}
