//! Jobs that go on at their checkpoint.

use crate::{build, line_with, registrar, start, within};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How many primes there are below 12,000,000.
const PRIMES: u64 = 788_060;

#[tokio::test]
async fn jobs_go_on_when_a_worker_is_killed_and_another_one_stopped() {
    let examples = build(&["work_farm_worker", "work_farm"]).await;
    let registrar = registrar();
    let address = registrar.asap_address().to_string();
    let mut workers = Vec::new();
    for _ in 0..3 {
        let (worker, mut output) = start(examples.join("work_farm_worker"), &[&address]);
        let id = line_with(&mut output, "working as ").await.split(' ').next().unwrap().to_owned();
        workers.push((id, worker));
    }
    let (mut client, mut output) =
        start(examples.join("work_farm"), &["--jobs", "12", "--numbers", "1000000", &address]);
    let mut lines = Vec::new();
    while let Some(line) = within("the farm", output.next_line()).await.unwrap() {
        // The first job is done, others are in the middle.
        if workers.len() == 3 && line.contains(" primes, says ") {
            let done = workers.iter().position(|(id, _)| line.ends_with(id)).unwrap();
            let (_, mut killed) = workers.remove(done);
            within("the end", killed.kill()).await.unwrap(); // SIGKILL
            let stopped = Pid::from_raw(workers[0].1.id().unwrap().try_into().unwrap());
            kill(stopped, Signal::SIGINT).unwrap();
        }
        lines.push(line);
    }
    assert!(within("the client's end", client.wait()).await.unwrap().success());
    assert_eq!(lines.pop().unwrap(), format!("{PRIMES} primes"), "none is missing, none counted twice");
    let went_on = lines.iter().filter(|line| line.contains(" is gone, ")).count();
    assert!(went_on >= 2, "from both workers: {lines:#?}");
    let drained = within("the drained worker's end", workers[0].1.wait()).await.unwrap();
    assert!(drained.success());
}
