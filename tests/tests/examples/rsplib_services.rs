//! The services of rsplib: a job and an image that a killed server has begun.

use super::{build, line_with, registrar, start, within};

#[tokio::test]
async fn a_calcapp_job_goes_on_where_its_server_was_killed() {
    let examples = build(&["calcapp_server", "calcapp_client"]).await;
    let registrar = registrar();
    let address = registrar.asap_address().to_string();
    let server = || start(examples.join("calcapp_server"), &[address.as_str()]);
    let (mut first, mut output) = server();
    line_with(&mut output, "serving as ").await;
    let job = ["--jobs", "1", "--size", "2000000", &address];
    let (mut client, mut said) = start(examples.join("calcapp_client"), &job);
    line_with(&mut said, "job 1: ").await;
    let (_second, mut output) = server();
    let second = line_with(&mut output, "serving as ").await;
    let second = second.split(' ').next().unwrap();

    first.kill().await.unwrap();
    assert!(line_with(&mut said, "job 1: FAILOVER from ").await.ends_with(second));
    let accepted = line_with(&mut said, "job 1: ").await;
    assert!(accepted.starts_with(&format!("{second} goes on from ")), "{accepted}");
    assert_eq!(line_with(&mut said, "job 1: done by ").await, second);
    assert!(within("the client's end", client.wait()).await.unwrap().success());
}

#[tokio::test]
async fn an_image_is_the_same_of_one_server_and_of_two() {
    let examples = build(&["fractal_server", "fractal_client"]).await;
    let registrar = registrar();
    let address = registrar.asap_address().to_string();
    let server = |pause| start(examples.join("fractal_server"), &["--pause", pause, &address]);
    let image = ["--width", "300", "--height", "300", "--iterations", "50", &address];
    let client = || start(examples.join("fractal_client"), &image);

    let (mut slow, mut output) = server("20");
    line_with(&mut output, "serving as ").await;
    let (_client, mut begun) = client();
    line_with(&mut output, "127.0.0.1:").await; // it sends
    let (_fast, mut output) = server("0");
    line_with(&mut output, "serving as ").await;
    slow.kill().await.unwrap();
    line_with(&mut begun, "FAILOVER from ").await;
    let of_two = line_with(&mut begun, "300 x 300 points, ").await;

    let (_client, mut alone) = client();
    assert_eq!(line_with(&mut alone, "300 x 300 points, ").await, of_two);
}
