//! Hostile servers: each stall and each protocol violation is an error, and none of them receives the password.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use dbgraft_testkit::{Flavor, Proxy, pair_of};
use rustls::ServerConfig;
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::dial::{Dial, DirectDialer, Duplex, SocketAddress};

const SECRET: &str = "s3cr3t-Pa55word";
const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
/// A guard against hangs: every connection must end long before it.
const HANG_GUARD: Duration = Duration::from_secs(300);

/// A server that can break the protocol.
struct FakeServer {
    io: Box<dyn Duplex>,
    /// All data that clients have sent, decrypted.
    received: Arc<Mutex<Vec<u8>>>,
}

impl FakeServer {
    async fn send(&mut self, sequence: u8, payload: &[u8]) {
        let [a, b, c, _] = u32::try_from(payload.len()).unwrap().to_le_bytes();
        self.send_raw(&[&[a, b, c, sequence], payload].concat()).await;
    }

    async fn send_raw(&mut self, bytes: &[u8]) {
        let _ = self.io.write_all(bytes).await;
        let _ = self.io.flush().await;
    }

    /// Reads the client's next packet; empty if the client has disconnected.
    async fn receive(&mut self) -> Vec<u8> {
        let mut header = [0; 4];
        if self.io.read_exact(&mut header).await.is_err() {
            return Vec::new();
        }
        let [a, b, c, _] = header;
        let mut packet = vec![0; usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16];
        let _ = self.io.read_exact(&mut packet).await;
        self.received.lock().unwrap().extend_from_slice(&packet);
        packet
    }

    async fn handshake(&mut self, id: u32, tls: Option<&TlsAcceptor>) -> u8 {
        let capabilities: u32 = 0x0128_A285 | if tls.is_some() { 0x800 } else { 0 };
        let [c0, c1, c2, c3] = capabilities.to_le_bytes();
        let mut packet = b"\x0a9.7.4\0".to_vec();
        packet.extend_from_slice(&id.to_le_bytes());
        packet.extend_from_slice(b"12345678\0");
        packet.extend_from_slice(&[c0, c1, 45, 2, 0, c2, c3, 21]);
        packet.extend_from_slice(&[0; 10]);
        packet.extend_from_slice(b"abcdefghijkl\0caching_sha2_password\0");
        self.send(0, &packet).await;
        let mut first = self.receive().await;
        let Some(tls) = tls.filter(|_| first.len() == 32) else { return 2 };
        let inner = std::mem::replace(&mut self.io, Box::new(tokio::io::duplex(1).0));
        self.io = Box::new(tls.accept(inner).await.unwrap());
        first.clear();
        self.receive().await;
        3
    }

    /// Accepts the client's login.
    async fn log_in(&mut self, id: u32) {
        let sequence = self.handshake(id, None).await;
        self.send(sequence, OK).await;
    }

    async fn send_rows(&mut self, rows: &[&[&str]]) {
        let columns = rows.first().map_or(1, |row| row.len());
        self.send(1, &[u8::try_from(columns).unwrap()]).await;
        let mut sequence = 2;
        for _ in 0..columns {
            self.send(sequence, b"\x03def").await;
            sequence += 1;
        }
        for row in rows {
            let text = |value: &&str| [&[u8::try_from(value.len()).unwrap()], value.as_bytes()].concat();
            self.send(sequence, &row.iter().flat_map(text).collect::<Vec<u8>>()).await;
            sequence += 1;
        }
        self.send(sequence, &[0xFE, 0, 0, 2, 0, 0, 0]).await;
    }
}

/// Connects to this local port, for any host name.
struct FixedPortDialer(u16);

#[async_trait]
impl Dial for FixedPortDialer {
    async fn dial(&self, _: SocketAddress<'_>, traffic: TrafficClass) -> Result<Box<dyn Duplex>> {
        DirectDialer.dial(SocketAddress::Tcp("127.0.0.1", self.0), traffic).await
    }
}

fn address(port: u16) -> ServerAddress {
    let account = ("app".to_owned(), SECRET.into());
    let stall_timeout = Duration::from_millis(400);
    ServerAddress {
        stall_timeout,
        ..ServerAddress::new(ServerRole::Source, ("127.0.0.1", port), account, "shop".to_owned())
    }
}

/// Starts a server that calls `serve` for each connection, with its number from 1 on.
async fn fake_server<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(FakeServer, u32) -> F + Send + 'static,
) -> (ServerAddress, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let received = Arc::<Mutex<Vec<u8>>>::default();
    let all = received.clone();
    tokio::spawn(async move {
        for id in 1.. {
            let (stream, _): (TcpStream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(FakeServer { io: Box::new(stream), received: all.clone() }, id));
        }
    });
    (address(port), received)
}

async fn open(address: &ServerAddress) -> Result<Conn> {
    timeout(HANG_GUARD, Conn::open(address, TrafficClass::Control, "SET @x = 1")).await.expect("it hangs")
}

/// Runs a statement whose response `respond` sends over the first connection. Further connections see the row `seen` in
/// the process list, or get no response.
async fn run_statement<F: Future<Output = FakeServer> + Send + 'static>(
    seen: Option<&'static [&'static str]>,
    respond: impl Fn(FakeServer) -> F + Clone + Send + Sync + 'static,
) -> Result<Vec<Row>> {
    let (address, _) = fake_server(move |mut fake, id| {
        let respond = respond.clone();
        async move {
            fake.log_in(id).await;
            fake.receive().await;
            if id == 1 {
                fake.send(1, OK).await;
                fake.receive().await;
                fake = respond(fake).await;
            } else if let Some(seen) = seen {
                // First comes the question whether performance_schema is on.
                fake.send_rows(&[&["0"]]).await;
                fake.receive().await;
                let own = id.to_string();
                fake.send_rows(&[&[&own, "Query", "executing"], seen]).await;
            }
            sleep(HANG_GUARD).await;
            drop(fake);
        }
    })
    .await;
    let mut conn = open(&address).await.unwrap();
    conn.stream.max_length = 1 << 20;
    timeout(HANG_GUARD, conn.rows("SELECT 1")).await.expect("it hangs")
}

#[tokio::test]
async fn a_silent_or_dripping_server_is_given_up() {
    let error = run_statement(None, |fake| async { fake }).await.unwrap_err();
    assert!(error.to_string().contains("second connection") && error.is_retryable(), "{error}");
    assert!(error.to_string().contains("source mysql://app@127.0.0.1"), "{error}");
    let drip = |mut fake: FakeServer| async {
        fake.send_raw(&[0xFF, 0xFF, 0, 1]).await;
        for _ in 0..1000 {
            fake.send_raw(b"x").await;
            sleep(Duration::from_millis(20)).await;
        }
        fake
    };
    // The same if the process list shows that the server has sent everything.
    let sent: [Option<&'static [&'static str]>; 3] =
        [None, Some(&["1", "Query", "Sending to client"]), Some(&["1", "Sleep", ""])];
    for seen in sent {
        let error = run_statement(seen, drip).await.unwrap_err();
        assert!(error.to_string().contains("next to nothing"), "{error}");
    }
    let error = run_statement(Some(&["1", "Sleep", ""]), |fake| async { fake }).await.unwrap_err();
    assert!(error.to_string().contains("does not run the statement"), "{error}");
    let error = run_statement(Some(&["7", "Query", "executing"]), |fake| async { fake }).await.unwrap_err();
    assert!(error.to_string().contains("does not run the statement"), "{error}");
    // The statement or its rows are lost on the way.
    let error = run_statement(Some(&["1", "Query", "Reading from net"]), |fake| async { fake }).await.unwrap_err();
    assert!(error.to_string().contains("does not run the statement"), "{error}");
    let error = run_statement(Some(&["1", "Query", "Sending to client"]), |fake| async { fake }).await.unwrap_err();
    assert!(error.to_string().contains("does not run the statement"), "{error}");
}

/// The statement may run: the server accepts no second connection that could inspect it.
#[tokio::test]
async fn a_control_statement_that_cannot_be_inspected_is_given_up() {
    let (address, _) = fake_server(|mut fake, id| async move {
        if id > 1 {
            fake.send(0, b"\xFF\x10\x04Too many connections").await;
            return;
        }
        fake.log_in(id).await;
        fake.receive().await;
        fake.send(1, OK).await;
        sleep(2 * HANG_GUARD).await;
        drop(fake);
    })
    .await;
    let mut conn = open(&address).await.unwrap();
    let error = timeout(HANG_GUARD, conn.row("SELECT 1")).await.expect("it hangs").unwrap_err();
    assert!(error.to_string().contains("nobody can see") && error.is_retryable(), "{error}");
}

#[tokio::test]
async fn a_statement_that_runs_long_is_not_given_up() {
    let late = |mut fake: FakeServer| async {
        sleep(Duration::from_secs(2)).await;
        fake.send_rows(&[&["late"]]).await;
        fake
    };
    let rows = run_statement(Some(&["1", "Query", "altering table"]), late).await.unwrap();
    assert_eq!(rows.first().unwrap().string(0), "late");
}

#[tokio::test]
async fn a_server_that_receives_nothing_is_given_up() {
    let (address, _) = fake_server(|mut fake, id| async move {
        fake.log_in(id).await;
        fake.receive().await;
        if id == 1 {
            fake.send(1, OK).await;
        }
        sleep(HANG_GUARD).await;
    })
    .await;
    let mut conn = open(&address).await.unwrap();
    let error = timeout(HANG_GUARD, conn.exec_bytes(&vec![b' '; 64 << 20])).await.expect("it hangs").unwrap_err();
    assert!(error.to_string().contains("next to nothing") && error.is_retryable(), "{error}");
}

#[tokio::test]
async fn malformed_responses_are_errors_at_once() {
    macro_rules! response_error {
        ($bytes:expr) => {
            run_statement(None, |mut fake: FakeServer| async {
                fake.send_raw($bytes).await;
                fake
            })
            .await
            .unwrap_err()
            .to_string()
        };
    }
    // 2^64 columns, 5000 columns, no column.
    assert!(response_error!(b"\x09\0\0\x01\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF").contains("makes no sense"));
    assert!(response_error!(b"\x03\0\0\x01\xFC\x88\x13").contains("makes no sense"));
    assert!(response_error!(b"\x02\0\0\x01\x01\x01").contains("makes no sense"));
    assert!(response_error!(b"\x07\0\0\x02\0\0\0\x02\0\0\0").contains("packet 2 where packet 1"));
    assert!(response_error!(b"\x0C\0\0\x01\xFB/etc/passwd").contains("no file is to be sent"));
    // A packet without an end, whose first part is announced.
    assert!(response_error!(b"\xFF\xFF\xFF\x01\x01").contains("more than 1 MiB"));
    let endless = |mut fake: FakeServer| async {
        fake.send_raw(b"\x01\0\0\x01\x01\x04\0\0\x02\x03def").await;
        let row = [&[0x24, 0xA1, 0x07][..], &[0xFD, 0x20, 0xA1, 0x07], &vec![b'x'; 500_000]].concat();
        for sequence in 3_u8..40 {
            fake.send_raw(&[&row[..3], &[sequence], &row[3..]].concat()).await;
        }
        fake
    };
    let error = run_statement(None, endless).await.unwrap_err().to_string();
    assert!(error.contains("a result of more than 4 MiB"), "{error}");
}

#[tokio::test]
async fn an_error_before_the_login_has_its_code() {
    let (address, _) = fake_server(|mut fake, _| async move {
        fake.send(0, b"\xFF\x10\x04Too many connections").await;
        fake.receive().await;
    })
    .await;
    let error = open(&address).await.map(drop).unwrap_err();
    assert!(error.code() == Some(1040) && error.is_retryable(), "{error}");
    assert!(error.to_string().starts_with("Too many connections (source mysql://app@127"), "{error}");
}

/// The same with real servers, whose process lists differ.
#[tokio::test]
async fn a_running_statement_is_distinguished_from_a_dead_connection() {
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        let server = &pair_of(flavor).source;
        let proxy = Proxy::start((server.host.as_str(), server.port)).unwrap();
        let mut address = address(proxy.port());
        (address.user, address.password) = (server.user.clone(), server.password.clone().into());
        address.stall_timeout = Duration::from_secs(1);
        let mut conn = open(&address).await.unwrap();
        let row = timeout(HANG_GUARD, conn.row("SELECT SLEEP(3)")).await.expect("it hangs").unwrap();
        assert_eq!(row.unwrap().string(0), "0");
        // The response is lost; a second connection gets its own.
        let other = ServerAddress { dial: Arc::new(FixedPortDialer(server.port)), ..address.clone() };
        conn.stream.stall_detector.enable_inspection(&other, TrafficClass::Control, conn.id);
        proxy.stall(true);
        let error = timeout(HANG_GUARD, conn.row("SELECT 1")).await.expect("it hangs").unwrap_err();
        assert!(error.to_string().contains("does not run the statement") && error.is_retryable(), "{error}");
    }
}

/// Starts a server with a self-signed certificate that asks for the password.
async fn password_server(plugin: &'static str) -> (ServerAddress, Arc<Mutex<Vec<u8>>>) {
    let certificate = rcgen::generate_simple_self_signed(vec!["db".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(certificate.signing_key.serialize_der()).into();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.cert.der().clone()], key).unwrap();
    let tls = TlsAcceptor::from(Arc::new(config));
    fake_server(move |mut fake, id| {
        let tls = tls.clone();
        async move {
            let mut sequence = fake.handshake(id, Some(&tls)).await;
            match plugin {
                "caching_sha2_password" => fake.send(sequence, b"\x01\x04").await,
                plugin => {
                    let switch = [b"\xFE", plugin.as_bytes(), b"\x0012345678901234567890\0"].concat();
                    fake.send(sequence, &switch).await;
                }
            }
            while !fake.receive().await.is_empty() {
                sequence += 2;
                fake.send(sequence, OK).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn an_unverified_server_never_receives_the_password() {
    for plugin in ["mysql_clear_password", "caching_sha2_password", "sha256_password"] {
        for mode in [TlsMode::Disabled, TlsMode::Preferred, TlsMode::Required] {
            for host in ["127.0.0.1", "db.example"] {
                let (mut address, received) = password_server(plugin).await;
                (address.tls.mode, address.host) = (mode, host.to_owned());
                address.dial = Arc::new(FixedPortDialer(address.port));
                let error = open(&address).await.map(drop).unwrap_err();
                if host == "db.example" {
                    assert!(error.to_string().contains("ssl-mode=verify-ca"), "{error}");
                }
                let received = String::from_utf8_lossy(&received.lock().unwrap()).into_owned();
                assert!(received.contains("app") && !received.contains(SECRET), "{plugin} {mode:?} {host}");
            }
        }
        let (mut address, received) = password_server(plugin).await;
        (address.host, address.cleartext_password) = ("db.example".to_owned(), true);
        address.dial = Arc::new(FixedPortDialer(address.port));
        let _ = open(&address).await;
        assert!(String::from_utf8_lossy(&received.lock().unwrap()).contains(SECRET), "{plugin}");
    }
}

/// The first login after the account's creation: the server has no digest of the password yet.
#[tokio::test]
async fn a_first_login_needs_a_verified_server() {
    let server = &pair_of(Flavor::MySql).source;
    let sql = |sql: &str| server.sql(sql).unwrap();
    for plugin in ["caching_sha2_password", "sha256_password"] {
        let user = format!("first_{plugin}");
        let new =
            || sql(&format!("DROP USER IF EXISTS {user}; CREATE USER {user} IDENTIFIED WITH {plugin} BY '{SECRET}'"));
        let reached = |host: &str, mode| {
            let mut address = address(server.port);
            (address.host, address.user, address.stall_timeout) = (host.to_owned(), user.clone(), HANG_GUARD);
            address.tls.mode = mode;
            address.dial = Arc::new(FixedPortDialer(server.port));
            address
        };
        let data = sql("SELECT @@datadir");
        let key = PemFile::read_server_key(format!("{}/public_key.pem", data.trim()).as_ref()).unwrap();
        let pinned = |mode| ServerAddress { server_key: Some(key.clone()), ..reached("db.example", mode) };
        for mode in [TlsMode::Disabled, TlsMode::Preferred, TlsMode::Required] {
            new();
            let error = open(&reached("db.example", mode)).await.map(drop).unwrap_err();
            assert!(error.to_string().contains("server-public-key=FILE"), "{error}");
            // The older plugin has no digest that allows a login over unverified TLS.
            let possible = plugin == "caching_sha2_password" || mode == TlsMode::Disabled;
            assert_eq!(open(&pinned(mode)).await.is_ok(), possible, "{plugin} {mode:?}");
            new();
            open(&reached("localhost", mode)).await.unwrap();
            new();
            open(&ServerAddress { cleartext_password: true, ..reached("db.example", mode) }).await.unwrap();
            new();
            let wrong = ServerAddress { password: "wrong".into(), ..reached("127.0.0.1", mode) };
            assert_eq!(open(&wrong).await.map(drop).unwrap_err().code(), Some(1045));
        }
        new();
        let long = ServerAddress { password: "x".repeat(230).into(), ..reached("localhost", TlsMode::Disabled) };
        assert!(open(&long).await.map(drop).unwrap_err().to_string().contains("the password is too long"));
        sql(&format!("DROP USER {user}"));
    }
}
