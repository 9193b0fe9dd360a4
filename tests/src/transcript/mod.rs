//! Golden transcripts: the stories of `tests/scenarios`, played by the real machines in virtual time.
//!
//! A scenario is prose (lines that begin with `#`), and between it blocks of command lines, `----`, and the output
//! that they must have, up to the next blank line. [`play`] gives the same text with the output that the commands
//! do have. Whatever a machine sends is decoded from its octets (`message`): the transcript shows what is on the wire.
//! The commands are in `command`, what they do with an endpoint in `owner`, the hosts and the network in `stage`.

mod command;
mod compose;
mod event;
mod message;
mod owner;
mod process;
mod stage;
mod state;

use stage::Stage;

/// Between the commands of a block and their output.
const SEPARATOR: &str = "----";

/// Plays a scenario: its text with the output that the commands have.
///
/// # Errors
/// A command that cannot be understood or carried out, with its line.
pub fn play(text: &str) -> Result<String, String> {
    let mut stage = Stage::default();
    let mut played = String::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        played += line;
        played.push('\n');
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line == SEPARATOR {
            lines.by_ref().find(|(_, line)| line.is_empty());
            let output = stage.take_output();
            played += if output.is_empty() { "ok\n" } else { &output };
            played.push('\n');
            continue;
        }
        command::execute(&mut stage, line)
            .map_err(|error| format!("line {}: {line}: {error}", number + 1))?;
    }
    // Each block ends with one blank line; the file with none.
    Ok(format!("{}\n", played.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::play;

    const STORY: &str =
        "# A story.\n\nregistrar r1 id=0x1\nrun 1s\n----\nwhatever\nwas there\n\n# The end.\n";

    #[test]
    fn prose_and_commands_stay_and_output_is_replaced() {
        let played = play(STORY).unwrap();
        let (before, after) = played.split_once("----\n").unwrap();
        assert_eq!(before, "# A story.\n\nregistrar r1 id=0x1\nrun 1s\n");
        assert!(after.ends_with("\n\n# The end.\n") && !after.contains("whatever"), "{after}");
        assert_eq!(play(&played).unwrap(), played);
    }

    #[test]
    fn a_wrong_command_is_named_with_its_line() {
        let error = play("# A story.\nregistrar r1 id=0x1\ndance r1\n----\n").unwrap_err();
        assert_eq!(error, "line 3: dance r1: there is no such command");
    }
}
