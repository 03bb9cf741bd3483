use std::path::Path;

use tokio::net::{TcpListener, UnixListener};

use super::*;
use crate::dial::Dial;
use crate::dial::{SocketAddress, TrafficClass};
use crate::ssh::SshTunnel;
use std::sync::Arc;

#[tokio::test]
async fn a_command_reads_input_and_returns_output_and_exit_status() {
    let session = connect(&client(&url(testkit::sshd(), ""))).await.unwrap();
    let mut process = session.exec("echo to-stderr >&2; tr a-z A-Z; exit 7").await.unwrap();
    process.stdin.write_all(b"some words").await.unwrap();
    process.stdin.shutdown().await.unwrap();
    let mut output = String::new();
    process.stdout.read_to_string(&mut output).await.unwrap();
    assert_eq!(output, "SOME WORDS");
    let ended = process.exit_status().await;
    assert_eq!((ended.code, ended.signal), (Some(7), None));
    // What the shell reads at its start may print something too.
    assert!(process.stderr().ends_with("to-stderr\n"), "{}", process.stderr());
    let mut process = session.exec("yes error | head -c 20000 >&2; kill -TERM $$").await.unwrap();
    let ended = process.exit_status().await;
    assert_eq!((ended.code, ended.signal.as_deref()), (None, Some("TERM")));
    assert_eq!(process.stderr().len(), 8 << 10);
}

#[tokio::test]
async fn large_data_passes_through_a_command_unchanged() {
    echoed(testkit::sshd()).await;
}

#[tokio::test]
async fn rekeying_loses_no_data() {
    echoed(&testkit::Sshd::options().line("RekeyLimit 2M").start().unwrap()).await;
}

async fn echoed(server: &SshHost) {
    let session = connect(&client(&url(server, ""))).await.unwrap();
    let process = session.exec("cat").await.unwrap();
    let (mut stdin, mut stdout) = (process.stdin, process.stdout);
    let data: Vec<u8> = (0..40_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let sent = data.clone();
    let writing = tokio::spawn(async move {
        stdin.write_all(&sent).await.unwrap();
        stdin.shutdown().await.unwrap();
        stdin
    });
    // A reader that is late must not lose anything.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut received = Vec::new();
    stdout.read_to_end(&mut received).await.unwrap();
    assert!(received == data, "{} bytes of {}", received.len(), data.len());
    writing.await.unwrap();
}

#[tokio::test]
async fn a_broken_connection_is_an_error_and_not_an_end_of_file() {
    let server = testkit::sshd();
    let line = testkit::Proxy::start((server.host.as_str(), server.port)).unwrap();
    let url = url(server, "").replace(&format!(":{}", server.port), &format!(":{}", line.port()));
    let host = client(&format!("{url}&host-key={}", server.fingerprint));
    let session = connect(&host).await.unwrap();
    let mut process = session.exec("echo $$; sleep 600").await.unwrap();
    let mut pid = [0; 16];
    let length = process.stdout.read(&mut pid).await.unwrap();
    let pid = String::from_utf8_lossy(&pid[..length]).trim().to_owned();
    assert!(Path::new(&format!("/proc/{pid}")).exists());
    line.cut();
    assert!(process.stdout.read_to_end(&mut Vec::new()).await.is_err());
    assert_eq!(process.exit_status().await.code, None);
    let error = session.exec("true").await.map(|_| ()).unwrap_err();
    assert!(error.is_retryable() && error.kind() == ErrorKind::Connection, "{error}");
    assert!(session.is_closed());
    // `cat` ends with its input.
    let session = connect(&host).await.unwrap();
    let mut process = session.exec("echo $$; exec cat").await.unwrap();
    let mut pid = [0; 16];
    let length = process.stdout.read(&mut pid).await.unwrap();
    let pid = String::from_utf8_lossy(&pid[..length]).trim().to_owned();
    drop(session);
    let gone = async || !Path::new(&format!("/proc/{pid}")).exists();
    assert!(testkit::becomes_true(gone).await);
}

/// Starts an echo server and returns its port.
async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn connections_are_forwarded_to_ports_and_sockets() {
    let session = connect(&client(&url(testkit::sshd(), ""))).await.unwrap();
    let port = echo().await;
    let mut stream = session.forward(SocketAddress::Tcp("127.0.0.1", port)).await.unwrap();
    stream.write_all(b"there and back").await.unwrap();
    let mut back = [0; 14];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"there and back");
    stream.shutdown().await.unwrap();
    assert_eq!(stream.read(&mut back).await.unwrap(), 0);
    let dir = Dir::new();
    let listener = UnixListener::bind(dir.path("socket")).unwrap();
    let mut stream = session.forward(SocketAddress::Unix(Path::new(&dir.path("socket")))).await.unwrap();
    let (mut accepted, _) = listener.accept().await.unwrap();
    accepted.write_all(b"hello").await.unwrap();
    drop(accepted);
    let mut all = String::new();
    stream.read_to_string(&mut all).await.unwrap();
    assert_eq!(all, "hello");
}

#[tokio::test]
async fn forwarding_errors_name_the_cause() {
    let session = connect(&client(&url(testkit::sshd(), ""))).await.unwrap();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let error = session.forward(SocketAddress::Tcp("127.0.0.1", free)).await.map(|_| ()).unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains(&format!("127.0.0.1:{free}")), "{error}");
    assert!(error.to_string().contains("cannot connect to the address"), "{error}");
    let server = testkit::Sshd::options().line("AllowTcpForwarding no").start().unwrap();
    let session = connect(&client(&url(&server, ""))).await.unwrap();
    let error = session.forward(SocketAddress::Tcp("127.0.0.1", free)).await.map(|_| ()).unwrap_err();
    assert!(!error.is_retryable() && error.to_string().contains("AllowTcpForwarding"), "{error}");
}

#[tokio::test]
async fn control_connections_share_a_session_and_bulk_connections_do_not() {
    let server = testkit::sshd();
    let line = testkit::Proxy::start((server.host.as_str(), server.port)).unwrap();
    let url = url(server, "").replace(&format!(":{}", server.port), &format!(":{}", line.port()));
    let tunnel = SshTunnel::new(Arc::new(client(&format!("{url}&host-key={}", server.fingerprint))));
    let port = echo().await;
    let dial = |traffic| tunnel.dial(SocketAddress::Tcp("127.0.0.1", port), traffic);
    let (first, second) = tokio::join!(dial(TrafficClass::Control), dial(TrafficClass::Control));
    let (first, mut second) = (first.unwrap(), second.unwrap());
    assert_eq!(line.accepted(), 1);
    let (bulk, mut other) = (dial(TrafficClass::Bulk).await.unwrap(), dial(TrafficClass::Bulk).await.unwrap());
    assert_eq!(line.accepted(), 3);
    drop((first, bulk));
    for stream in [&mut second, &mut other] {
        stream.write_all(b"still").await.unwrap();
        stream.read_exact(&mut [0; 5]).await.unwrap();
    }
    // One that broke is made anew.
    line.cut();
    assert!(second.read(&mut [0; 5]).await.is_err());
    let again = dial(TrafficClass::Control).await.unwrap();
    assert_eq!(line.accepted(), 4);
    // The session ends with the tunnel and its last stream.
    drop(again);
    let mut again = dial(TrafficClass::Control).await.unwrap();
    assert_eq!(line.accepted(), 4);
    drop(tunnel);
    again.write_all(b"still").await.unwrap();
    again.read_exact(&mut [0; 5]).await.unwrap();
}

#[tokio::test]
async fn writes_fail_after_the_peer_has_closed() {
    let session = connect(&client(&url(testkit::sshd(), ""))).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut stream = session.forward(SocketAddress::Tcp("127.0.0.1", port)).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    tokio::spawn(async move {
        // It reads nothing: what is written waits for room.
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(accepted);
    });
    let writing = async { while stream.write_all(&[0; 100_000]).await.is_ok() {} };
    testkit::no_hang(writing).await;
}

#[tokio::test]
async fn a_stalled_connection_ends() {
    let server = testkit::sshd();
    let line = testkit::Proxy::start((server.host.as_str(), server.port)).unwrap();
    let url = url(server, "").replace(&format!(":{}", server.port), &format!(":{}", line.port()));
    let host = client(&format!("{url}&host-key={}", server.fingerprint));
    let (reading, writing) = (connect(&host).await.unwrap(), connect(&host).await.unwrap());
    let port = echo().await;
    let mut reader = reading.forward(SocketAddress::Tcp("127.0.0.1", port)).await.unwrap();
    let mut writer = writing.forward(SocketAddress::Tcp("127.0.0.1", port)).await.unwrap();
    writer.write_all(b"works").await.unwrap();
    line.stall(true);
    let both = testkit::no_hang(async {
        tokio::join!(async { reader.read(&mut [0; 5]).await }, async {
            loop {
                if let Err(error) = writer.write_all(&[0; 100_000]).await {
                    return error;
                }
            }
        })
    });
    let (read, written) = both.await;
    assert!(read.is_err(), "{written}");
}

#[tokio::test]
async fn early_closes_are_retried_and_silent_hosts_time_out() {
    let server = testkit::sshd();
    let line = testkit::Proxy::start((server.host.as_str(), server.port)).unwrap();
    line.refuse(true);
    let url = url(server, "").replace(&format!(":{}", server.port), &format!(":{}", line.port()));
    let host = client(&format!("{url}&host-key={}", server.fingerprint));
    let error = connect_error(&host).await;
    assert!(error.is_retryable() && error.to_string().contains("closed the connection"), "{error}");
    let (connected, ()) = tokio::join!(connect(&host), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        line.refuse(false);
    });
    connected.unwrap();
    let (listener, dir) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Dir::new());
    let config = dir.file("config", "ConnectTimeout 1\n");
    let silent = format!("ssh://me@{}?config={config}&known-hosts=/dev/null", listener.local_addr().unwrap());
    let error = connect_error(&super::client(&silent)).await;
    assert!(error.is_retryable() && error.to_string().contains("connecting took longer than 1 s"), "{error}");
}
