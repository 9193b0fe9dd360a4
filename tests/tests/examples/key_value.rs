//! A store that several servers share: updates of several clients are all done once.

use crate::{Output, build, line_with, registrar, start, start_with_input, within};
use std::path::Path;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin};

const UPDATES: usize = 200;

/// A client that is told to add one, again and again.
async fn adder(program: &Path, registrar: &str) -> (Child, Output) {
    let (client, mut input, output) = start_with_input(program, &[registrar]);
    within("the input", say(&mut input, &"add total 1\n".repeat(UPDATES))).await;
    (client, output)
}

async fn say(input: &mut ChildStdin, text: &str) {
    input.write_all(text.as_bytes()).await.unwrap();
}

/// The next answer: the server, and the total.
async fn answer(output: &mut Output) -> (String, usize) {
    let line = within("an answer", output.next_line()).await.unwrap().expect("the client goes on");
    let (server, total) = line.split_once(": ok ").unwrap();
    (server.to_owned(), total.parse().expect("a number"))
}

// The answer to an update is the total that it has made: each number must come once, whoever of the two gets it.
#[tokio::test]
async fn updates_are_done_once_while_servers_are_killed() {
    let examples = build(&["key_value_server", "key_value_client"]).await;
    let registrar = registrar();
    let address = registrar.asap_address().to_string();
    let journal = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("journal-{}", std::process::id()));
    let server = async || {
        let (server, mut output) =
            start(examples.join("key_value_server"), &[journal.to_str().unwrap(), &address]);
        let id = line_with(&mut output, "serving as ").await.split(' ').next().unwrap().to_owned();
        (id, server)
    };
    let mut servers = vec![server().await, server().await];
    let client = examples.join("key_value_client");
    let (_one, mut one) = adder(&client, &address).await;
    let (_other, mut other) = adder(&client, &address).await;

    let mut totals = Vec::new();
    for number in 0..UPDATES {
        let (used, total) = answer(&mut one).await;
        totals.extend([total, answer(&mut other).await.1]);
        if number == 50 || number == 120 {
            let killed = servers.iter().position(|(id, _)| *id == used).unwrap();
            servers.remove(killed).1.kill().await.unwrap(); // SIGKILL
            servers.push(server().await); // which knows nothing but the journal
        }
    }
    totals.sort_unstable();
    assert_eq!(totals, Vec::from_iter(1..=2 * UPDATES));

    let (_reader, mut input, mut read) = start_with_input(&client, &[&address]);
    within("the input", say(&mut input, "get total\nadd nothing\nset total many\nget total\nget x\n")).await;
    drop(input);
    let mut answers = Vec::new();
    while let Some(line) = within("an answer", read.next_line()).await.unwrap() {
        answers.push(line.split_once(": ").unwrap().1.to_owned());
    }
    assert_eq!(answers, ["ok 400", "error: not a request: 1 add nothing", "ok many", "ok many", "ok "]);
    std::fs::remove_dir_all(&journal).unwrap();
}
