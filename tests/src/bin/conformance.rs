//! Writes `docs/conformance.tsv` anew.

use rserpool_tests::conformance;
use std::path::Path;
use std::process::ExitCode;
use std::{fs, io};

fn main() -> io::Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    Ok(match conformance::report(&root)? {
        Ok(report) => {
            fs::write(root.join(conformance::REPORT), &report)?;
            for line in report.lines().filter(|line| line.starts_with("# ")).skip(2) {
                println!("{}", line.trim_start_matches("# "));
            }
            ExitCode::SUCCESS
        }
        Err(wrong) => {
            eprintln!("{wrong}");
            ExitCode::FAILURE
        }
    })
}
