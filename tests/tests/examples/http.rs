//! HTTP servers that know nothing of pools.

use crate::{build, line_with, registrar, start, within};

#[tokio::test]
async fn the_client_of_a_pool_of_http_servers_goes_on_without_one() {
    let examples = build(&["http_server", "http_sidecar", "http_client"]).await;
    let registrar = registrar();
    let registrar = registrar.asap_address().to_string();

    let mut servers = Vec::new();
    for _ in 0..2 {
        let (server, mut output) = start(examples.join("http_server"), &["127.0.0.1:0"]);
        let serving = line_with(&mut output, "serving at ").await;
        let address = serving.split(' ').next().unwrap().to_owned();
        let (sidecar, mut watched) = start(examples.join("http_sidecar"), &[&address, &registrar]);
        line_with(&mut watched, &format!("{address} is in the pool")).await;
        servers.push((address, server, sidecar, watched));
    }
    let (_client, mut output) = start(examples.join("http_client"), &[&registrar]);
    let mut used = Vec::new();
    for number in 1..=5 {
        used.push(line_with(&mut output, &format!("{number}: hello from ")).await);
    }
    assert!(used.contains(&servers[0].0) && used.contains(&servers[1].0), "in turn: {used:?}");

    let (killed, mut server, _sidecar, mut watched) = servers.remove(0);
    within("the end", server.kill()).await.unwrap(); // SIGKILL
    // Whatever it has answered until then: no request stays without an answer, and soon all are the other one's.
    let mut in_a_row = 0;
    for number in 6.. {
        let answered = line_with(&mut output, &format!("{number}: hello from ")).await;
        in_a_row = if answered == servers[0].0 { in_a_row + 1 } else { 0 };
        if in_a_row == 10 {
            break;
        }
    }
    line_with(&mut watched, &format!("{killed} is not healthy")).await;
}
