//! The scope that the README sets up by hand: the commands are taken from there.

use crate::{build_with, line_with, start, within};
use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Stdio;
use tokio::process::{Child, Command};

/// The commands of the section with this title that run programs of the directory `target/release`.
fn commands(title: &str) -> Vec<String> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let section = readme.split(title).nth(1).expect("the section").split("\n## ").next().unwrap();
    let blocks = section.split("```console\n").skip(1).map(|block| block.split("```").next().unwrap());
    let lines = blocks.flat_map(str::lines).filter(|line| line.starts_with("./"));
    lines.map(|line| line.split(" #").next().unwrap().trim_end().to_owned()).collect()
}

/// Ports that nobody uses.
fn free_ports() -> [u16; 4] {
    let sockets = [(); 4].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    sockets.map(|socket| socket.local_addr().unwrap().port())
}

#[tokio::test]
async fn a_scope_is_run_by_hand_as_the_readme_says() {
    let directory = build_with(&["--bins", "--examples"]).await;
    // The same commands at other ports, so that nobody who runs a registrar is disturbed.
    let ports = free_ports();
    let here = |text: &str| {
        ["3863", "3864", "9901", "9902"]
            .iter()
            .zip(ports)
            .fold(text.to_owned(), |text, (port, free)| text.replace(port, &free.to_string()))
    };
    let mut background: Vec<Child> = Vec::new();
    let mut shown = 0;
    for command in commands("## Run a scope by hand") {
        let command = here(&command);
        let words: Vec<&str> = command.split_whitespace().collect();
        let [program, arguments @ ..] = &words[..] else { unreachable!() };
        let program = directory.join(program);
        let environment = [
            ("RSERPOOL_ASAP", here("127.0.0.1:3863")),
            ("RSERPOOL_ENRP", here("127.0.0.1:9901")),
            ("RSERPOOL_REGISTRAR", here("127.0.0.1:3863")),
        ];
        match arguments {
            [arguments @ .., "&"] => {
                let mut process = Command::new(program);
                process.args(arguments).envs(environment).kill_on_drop(true);
                background.push(process.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
            }
            _ if program.ends_with("counter_client") => {
                let (_client, mut output) = start(program, arguments);
                assert!(line_with(&mut output, "0x").await.ends_with(": request 1, count 1"));
            }
            // Whoever types this is slower than what was started before.
            _ => {
                let again =
                    async || Command::new(&program).args(arguments).envs(environment.clone()).output().await;
                within(&command, async { while !again().await.unwrap().status.success() {} }).await;
                shown += 1;
            }
        }
    }
    assert_eq!((background.len(), shown), (4, 4), "registrars and servers, and looks at them");
}
