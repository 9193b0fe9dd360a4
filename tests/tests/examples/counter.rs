//! A client goes on counting while its server is killed.

use crate::{build, registrar, start, within};

#[tokio::test]
async fn the_client_of_a_killed_server_goes_on_counting() {
    let examples = build(&["counter_server", "counter_client"]).await;
    let registrar = registrar();
    let address = registrar.asap_address().to_string();

    let mut servers = Vec::new();
    for _ in 0..2 {
        let (server, mut output) = start(examples.join("counter_server"), &[&address]);
        let line = within("a server", output.next_line()).await.unwrap().unwrap();
        let id = line.split_whitespace().nth(2).unwrap().to_owned();
        servers.push((id, server));
    }
    let (_client, mut output) = start(examples.join("counter_client"), &[&address]);
    let mut used = Vec::new();
    let mut failovers = 0;
    let mut seq = 0;
    while seq < 20 {
        let line = within("the client", output.next_line()).await.unwrap().expect("the client goes on");
        if line.starts_with("failover") {
            failovers += 1;
            continue;
        }
        seq += 1;
        let (server, rest) = line.split_once(": ").unwrap();
        assert_eq!(rest, format!("request {seq}, count {seq}"));
        if used.last().is_none_or(|last| last != server) {
            used.push(server.to_owned());
        }
        if seq == 5 {
            let (_, process) = servers.iter_mut().find(|(id, _)| id == server).unwrap();
            process.kill().await.unwrap(); // SIGKILL
        }
    }
    assert_eq!(failovers, 1);
    assert_eq!(used.len(), 2, "one server before, the other one after: {used:?}");
}
