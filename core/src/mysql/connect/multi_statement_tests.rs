//! Responses to several statements in one packet, of servers and of whoever takes their place.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use super::*;

const LAST: &[u8] = &[0, 3, 0, 2, 0, 0, 0];
/// An OK packet after which others follow.
const MORE: &[u8] = &[0, 2, 0, 10, 0, 0, 0];

/// Runs this number of statements; the server's packets are these.
async fn run(count: usize, packets: &[&[u8]]) -> (Result<()>, Vec<u64>) {
    let (near, mut far) = tokio::io::duplex(1 << 16);
    let server = Server::new(Flavor::MySql, "9.7.4");
    let mut conn = Conn::from_stream(Box::new(near), server, false);
    for (sequence, packet) in (1..).zip(packets) {
        let header = [u8::try_from(packet.len()).unwrap(), 0, 0, sequence];
        far.write_all(&[&header, *packet].concat()).await.unwrap();
    }
    let mut done = Vec::new();
    let ran = tokio::time::timeout(Duration::from_secs(300), conn.exec_together(b"a;b;c", count, &mut done));
    (ran.await.expect("it hangs"), done.iter().map(|ok| ok.affected).collect())
}

#[tokio::test]
async fn each_statement_has_its_response() {
    let (ran, done) = run(3, &[MORE, MORE, LAST]).await;
    ran.unwrap();
    assert_eq!(done, [2, 2, 3]);
}

#[tokio::test]
async fn an_error_belongs_to_the_statement_after_those_that_are_done() {
    let (ran, done) = run(3, &[MORE, b"\xFF\x26\x04#23000Duplicate entry"]).await;
    assert_eq!(ran.unwrap_err().code(), Some(1062));
    assert_eq!(done, [2]);
}

#[tokio::test]
async fn another_number_of_responses_is_an_error() {
    for (count, packets) in [(3, &[MORE, LAST][..]), (1, &[MORE]), (2, &[MORE, MORE]), (2, &[b"\x01"])] {
        let error = run(count, packets).await.0.unwrap_err();
        assert!(error.to_string().contains("makes no sense") && error.code().is_none(), "{error}");
    }
}
