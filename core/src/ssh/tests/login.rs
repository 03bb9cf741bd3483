use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

#[tokio::test]
async fn a_command_gets_its_input_and_gives_its_output_and_its_end() {
    let session = host(&url(testkit::sshd(), "")).connect().await.unwrap();
    let mut process = session.exec("echo to-stderr >&2; tr a-z A-Z; exit 7").await.unwrap();
    process.stdin.write_all(b"some words").await.unwrap();
    process.stdin.shutdown().await.unwrap();
    let mut output = String::new();
    process.stdout.read_to_string(&mut output).await.unwrap();
    assert_eq!(output, "SOME WORDS");
    let ended = process.ended().await;
    assert_eq!((ended.code, ended.signal), (Some(7), None));
    assert_eq!(process.stderr(), "to-stderr\n");
}

#[tokio::test]
async fn an_unknown_host_is_refused_with_the_command_that_adds_it() {
    let server = testkit::sshd();
    let empty = format!("{}?config=/dev/null&identity={}&known-hosts=/dev/null", server.url, server.identity.display());
    let error = error(&host(&empty)).await;
    let text = error.to_string();
    assert!(text.contains(&format!("ssh-keyscan -p {} -t ed25519 127.0.0.1 >> /dev/null", server.port)), "{text}");
    assert!(text.contains(&server.fingerprint) && !error.is_retryable(), "{text}");
}
