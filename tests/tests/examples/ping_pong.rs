//! rsplib's protocol: the replies of a session have numbers without a gap.

use crate::{build, line_with, registrar, start, within};

// ASAP-3.8: the cookie carries the reply number; whichever server answers, the numbers have no gap.
#[tokio::test]
async fn ping_pong_goes_on_counting_at_another_server() {
    let examples = build(&["ping_pong_server", "ping_pong_client"]).await;
    let registrar = registrar();
    let address = registrar.asap_address().to_string();

    let mut servers = Vec::new();
    for id in ["11", "22"] {
        let (server, mut output) =
            start(examples.join("ping_pong_server"), &["--id", id, "--policy", "least-used", &address]);
        line_with(&mut output, &format!("serving as 0x000000{id} at ")).await;
        servers.push((format!("0x000000{id}"), server, output));
    }
    let (mut client, mut output) =
        start(examples.join("ping_pong_client"), &["--interval", "20", "--count", "20", &address]);
    let reply = line_with(&mut output, "ping 5: reply 5 from ").await;
    let used = servers.iter().position(|(id, ..)| *id == reply).unwrap();
    let (killed, mut process, _) = servers.remove(used);
    process.kill().await.unwrap(); // SIGKILL
    let (other, _server, mut served) = servers.remove(0);
    assert_eq!(line_with(&mut output, "FAILOVER ").await, format!("from {killed} to {other}"));
    assert_eq!(line_with(&mut output, "ping 20: reply ").await, format!("20 from {other}"));
    let begin = line_with(&mut served, "127.0.0.1:").await;
    let begin = begin.split_once(": begins with reply ").unwrap().1;
    assert!(begin.parse::<u64>().unwrap() > 5, "the cookie came along: {begin}");
    assert!(within("the client's end", client.wait()).await.unwrap().success(), "no gap");
}

// A server that has all the sessions it takes ends the next one at once; the client goes on elsewhere.
#[tokio::test]
async fn a_full_ping_pong_server_leaves_clients_to_another() {
    let examples = build(&["ping_pong_server", "ping_pong_client"]).await;
    let registrar = registrar();
    let address = registrar.asap_address().to_string();
    let server = |id, sessions| {
        start(examples.join("ping_pong_server"), &["--id", id, "--sessions", sessions, &address])
    };

    let (_full, mut full) = server("11", "0");
    line_with(&mut full, "serving").await;
    let (_free, mut free) = server("22", "1");
    line_with(&mut free, "serving").await;
    for _ in 0..2 {
        // Round robin: one of the two begins at the full server.
        let (mut client, mut output) =
            start(examples.join("ping_pong_client"), &["--interval", "20", "--count", "3", &address]);
        assert_eq!(line_with(&mut output, "ping 3: reply ").await, "3 from 0x00000022");
        assert!(within("the client's end", client.wait()).await.unwrap().success());
        line_with(&mut free, "127.0.0.1:").await;
    }
    assert!(line_with(&mut full, "127.0.0.1:").await.ends_with(": all sessions are in use"));
}
