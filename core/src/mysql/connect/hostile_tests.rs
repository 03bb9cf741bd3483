//! Promise: a server that hangs, lies or asks for what it must not have ends in an error, and the password stays here.

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
/// Nobody that is to end takes longer.
const END: Duration = Duration::from_secs(20);

/// A server that can do what the protocol forbids.
struct Fake {
    io: Box<dyn Duplex>,
    /// All that clients have sent, TLS taken off.
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Fake {
    async fn send(&mut self, sequence: u8, payload: &[u8]) {
        let [a, b, c, _] = u32::try_from(payload.len()).unwrap().to_le_bytes();
        self.raw(&[&[a, b, c, sequence], payload].concat()).await;
    }

    async fn raw(&mut self, bytes: &[u8]) {
        let _ = self.io.write_all(bytes).await;
        let _ = self.io.flush().await;
    }

    /// The client's next packet; nothing when it is gone.
    async fn hear(&mut self) -> Vec<u8> {
        let mut header = [0; 4];
        if self.io.read_exact(&mut header).await.is_err() {
            return Vec::new();
        }
        let [a, b, c, _] = header;
        let mut packet = vec![0; usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16];
        let _ = self.io.read_exact(&mut packet).await;
        self.heard.lock().unwrap().extend_from_slice(&packet);
        packet
    }

    async fn greet(&mut self, id: u32, tls: Option<&TlsAcceptor>) -> u8 {
        let capabilities: u32 = 0x0128_A285 | if tls.is_some() { 0x800 } else { 0 };
        let [c0, c1, c2, c3] = capabilities.to_le_bytes();
        let mut packet = b"\x0a9.7.4\0".to_vec();
        packet.extend_from_slice(&id.to_le_bytes());
        packet.extend_from_slice(b"12345678\0");
        packet.extend_from_slice(&[c0, c1, 45, 2, 0, c2, c3, 21]);
        packet.extend_from_slice(&[0; 10]);
        packet.extend_from_slice(b"abcdefghijkl\0caching_sha2_password\0");
        self.send(0, &packet).await;
        let mut first = self.hear().await;
        let Some(tls) = tls.filter(|_| first.len() == 32) else { return 2 };
        let inner = std::mem::replace(&mut self.io, Box::new(tokio::io::duplex(1).0));
        self.io = Box::new(tls.accept(inner).await.unwrap());
        first.clear();
        self.hear().await;
        3
    }

    /// Lets the client in, and answers what sets up its session.
    async fn log_in(&mut self, id: u32) {
        let sequence = self.greet(id, None).await;
        self.send(sequence, OK).await;
    }

    async fn rows(&mut self, rows: &[&[&str]]) {
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

/// Reaches the fake whatever host the address names.
struct Elsewhere(u16);

#[async_trait]
impl Dial for Elsewhere {
    async fn dial(&self, _: SocketAddress<'_>, traffic: TrafficClass) -> Result<Box<dyn Duplex>> {
        DirectDialer::default().dial(SocketAddress::Tcp("127.0.0.1", self.0), traffic).await
    }
}

fn address(port: u16) -> Address {
    let account = ("app".to_owned(), SECRET.into());
    let silence = Duration::from_millis(400);
    Address { silence, ..Address::new(ServerRole::Source, ("127.0.0.1", port), account, "shop".to_owned()) }
}

/// Serves each connection by `serve`, which gets its number from 1 on.
async fn fake<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(Fake, u32) -> F + Send + 'static,
) -> (Address, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Arc::<Mutex<Vec<u8>>>::default();
    let all = heard.clone();
    tokio::spawn(async move {
        for id in 1.. {
            let (stream, _): (TcpStream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(Fake { io: Box::new(stream), heard: all.clone() }, id));
        }
    });
    (address(port), heard)
}

async fn opened(address: &Address) -> Result<Conn> {
    timeout(END, Conn::open(address, TrafficClass::Control, "SET @x = 1")).await.expect("it hangs")
}

/// What a statement comes to whose answer is what `answer` does with the first connection. Others see `seen`, or are
/// never answered.
async fn told<F: Future<Output = Fake> + Send + 'static>(
    seen: Option<&'static [&'static str]>,
    answer: impl Fn(Fake) -> F + Clone + Send + Sync + 'static,
) -> Result<Vec<Row>> {
    let (address, _) = fake(move |mut fake, id| {
        let answer = answer.clone();
        async move {
            fake.log_in(id).await;
            fake.hear().await;
            if id == 1 {
                fake.send(1, OK).await;
                fake.hear().await;
                fake = answer(fake).await;
            } else if let Some(seen) = seen {
                let own = id.to_string();
                fake.rows(&[&[&own, "Query", "executing"], seen]).await;
            }
            sleep(END).await;
            drop(fake);
        }
    })
    .await;
    let mut conn = opened(&address).await.unwrap();
    conn.stream.longest = 1 << 20;
    timeout(END, conn.rows("SELECT 1")).await.expect("it hangs")
}

#[tokio::test]
async fn a_server_that_says_nothing_or_drips_is_given_up() {
    let error = told(None, |fake| async { fake }).await.unwrap_err();
    assert!(error.to_string().contains("second connection") && error.is_retryable(), "{error}");
    assert!(error.to_string().contains("source mysql://app@127.0.0.1"), "{error}");
    let drip = |mut fake: Fake| async {
        fake.raw(&[0xFF, 0xFF, 0, 1]).await;
        for _ in 0..1000 {
            fake.raw(b"x").await;
            sleep(Duration::from_millis(20)).await;
        }
        fake
    };
    // Also where the server says that it has sent everything.
    let sent: [Option<&'static [&'static str]>; 3] =
        [None, Some(&["1", "Query", "Sending to client"]), Some(&["1", "Sleep", ""])];
    for seen in sent {
        let error = told(seen, drip).await.unwrap_err();
        assert!(error.to_string().contains("next to nothing"), "{error}");
    }
    let error = told(Some(&["1", "Sleep", ""]), |fake| async { fake }).await.unwrap_err();
    assert!(error.to_string().contains("does not run the statement"), "{error}");
    let error = told(Some(&["7", "Query", "executing"]), |fake| async { fake }).await.unwrap_err();
    assert!(error.to_string().contains("does not run the statement"), "{error}");
    // What we have sent, or the rows that it sends, got lost on the way.
    let error = told(Some(&["1", "Query", "Reading from net"]), |fake| async { fake }).await.unwrap_err();
    assert!(error.to_string().contains("does not run the statement"), "{error}");
    let error = told(Some(&["1", "Query", "Sending to client"]), |fake| async { fake }).await.unwrap_err();
    assert!(error.to_string().contains("does not run the statement"), "{error}");
}

/// The statement may run: the server takes no other connection that could look.
#[tokio::test]
async fn a_control_statement_that_nobody_can_see_is_given_up() {
    let (address, _) = fake(|mut fake, id| async move {
        if id > 1 {
            fake.send(0, b"\xFF\x10\x04Too many connections").await;
            return;
        }
        fake.log_in(id).await;
        fake.hear().await;
        fake.send(1, OK).await;
        sleep(2 * END).await;
        drop(fake);
    })
    .await;
    let mut conn = opened(&address).await.unwrap();
    let error = timeout(END, conn.row("SELECT 1")).await.expect("it hangs").unwrap_err();
    assert!(error.to_string().contains("nobody can see") && error.is_retryable(), "{error}");
}

#[tokio::test]
async fn a_statement_that_runs_long_is_waited_for() {
    let late = |mut fake: Fake| async {
        sleep(Duration::from_secs(2)).await;
        fake.rows(&[&["late"]]).await;
        fake
    };
    let rows = told(Some(&["1", "Query", "altering table"]), late).await.unwrap();
    assert_eq!(rows.first().unwrap().string(0), "late");
}

#[tokio::test]
async fn a_server_that_takes_nothing_is_given_up() {
    let (address, _) = fake(|mut fake, id| async move {
        fake.log_in(id).await;
        fake.hear().await;
        if id == 1 {
            fake.send(1, OK).await;
        }
        sleep(END).await;
    })
    .await;
    let mut conn = opened(&address).await.unwrap();
    let error = timeout(END, conn.exec_bytes(&vec![b' '; 64 << 20])).await.expect("it hangs").unwrap_err();
    assert!(error.to_string().contains("next to nothing") && error.is_retryable(), "{error}");
}

#[tokio::test]
async fn answers_that_make_no_sense_are_errors_at_once() {
    macro_rules! answer {
        ($bytes:expr) => {
            told(None, |mut fake: Fake| async {
                fake.raw($bytes).await;
                fake
            })
            .await
            .unwrap_err()
            .to_string()
        };
    }
    // 2^64 columns, 5000 columns, no column.
    assert!(answer!(b"\x09\0\0\x01\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF").contains("makes no sense"));
    assert!(answer!(b"\x03\0\0\x01\xFC\x88\x13").contains("makes no sense"));
    assert!(answer!(b"\x02\0\0\x01\x01\x01").contains("makes no sense"));
    assert!(answer!(b"\x07\0\0\x02\0\0\0\x02\0\0\0").contains("packet 2 where packet 1"));
    assert!(answer!(b"\x0C\0\0\x01\xFB/etc/passwd").contains("no file is to be sent"));
    // A packet without an end, of which the first part is announced.
    assert!(answer!(b"\xFF\xFF\xFF\x01\x01").contains("more than 1 MiB"));
    let endless = |mut fake: Fake| async {
        fake.raw(b"\x01\0\0\x01\x01\x04\0\0\x02\x03def").await;
        let row = [&[0x24, 0xA1, 0x07][..], &[0xFD, 0x20, 0xA1, 0x07], &vec![b'x'; 500_000]].concat();
        for sequence in 3_u8..40 {
            fake.raw(&[&row[..3], &[sequence], &row[3..]].concat()).await;
        }
        fake
    };
    let error = told(None, endless).await.unwrap_err().to_string();
    assert!(error.contains("a result of more than 4 MiB"), "{error}");
}

#[tokio::test]
async fn an_error_before_the_login_has_its_number() {
    let (address, _) = fake(|mut fake, _| async move {
        fake.send(0, b"\xFF\x10\x04Too many connections").await;
        fake.hear().await;
    })
    .await;
    let error = opened(&address).await.map(drop).unwrap_err();
    assert!(error.code() == Some(1040) && error.is_retryable(), "{error}");
    assert!(error.to_string().starts_with("Too many connections (source mysql://app@127"), "{error}");
}

/// The same with real servers, whose lists of processes differ.
#[tokio::test]
async fn a_statement_that_runs_is_told_from_a_line_that_is_dead() {
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        let server = &pair_of(flavor).source;
        let proxy = Proxy::start((server.host.as_str(), server.port)).unwrap();
        let mut address = address(proxy.port());
        (address.user, address.password) = (server.user.clone(), server.password.clone().into());
        address.silence = Duration::from_secs(1);
        let mut conn = opened(&address).await.unwrap();
        let row = timeout(END, conn.row("SELECT SLEEP(3)")).await.expect("it hangs").unwrap();
        assert_eq!(row.unwrap().string(0), "0");
        // Its answer gets lost, though others get theirs.
        let other = Address { dial: Arc::new(Elsewhere(server.port)), ..address.clone() };
        conn.stream.patience.watch(&other, TrafficClass::Control, conn.id);
        proxy.stall(true);
        let error = timeout(END, conn.row("SELECT 1")).await.expect("it hangs").unwrap_err();
        assert!(error.to_string().contains("does not run the statement") && error.is_retryable(), "{error}");
    }
}

/// A server with a certificate of its own that asks for the password.
async fn asking(plugin: &'static str) -> (Address, Arc<Mutex<Vec<u8>>>) {
    let made = rcgen::generate_simple_self_signed(vec!["db".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let tls = TlsAcceptor::from(Arc::new(config));
    fake(move |mut fake, id| {
        let tls = tls.clone();
        async move {
            let mut sequence = fake.greet(id, Some(&tls)).await;
            match plugin {
                "caching_sha2_password" => fake.send(sequence, b"\x01\x04").await,
                plugin => {
                    let switch = [b"\xFE", plugin.as_bytes(), b"\x0012345678901234567890\0"].concat();
                    fake.send(sequence, &switch).await;
                }
            }
            while !fake.hear().await.is_empty() {
                sequence += 2;
                fake.send(sequence, OK).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_server_that_nobody_knows_never_gets_the_password() {
    for plugin in ["mysql_clear_password", "caching_sha2_password", "sha256_password"] {
        for mode in [TlsMode::Disabled, TlsMode::Preferred, TlsMode::Required] {
            for host in ["127.0.0.1", "db.example"] {
                let (mut address, heard) = asking(plugin).await;
                (address.tls.mode, address.host) = (mode, host.to_owned());
                address.dial = Arc::new(Elsewhere(address.port));
                let error = opened(&address).await.map(drop).unwrap_err();
                if host == "db.example" {
                    assert!(error.to_string().contains("ssl-mode=verify-ca"), "{error}");
                }
                let heard = String::from_utf8_lossy(&heard.lock().unwrap()).into_owned();
                assert!(heard.contains("app") && !heard.contains(SECRET), "{plugin} {mode:?} {host}");
            }
        }
        let (mut address, heard) = asking(plugin).await;
        (address.host, address.cleartext_password) = ("db.example".to_owned(), true);
        address.dial = Arc::new(Elsewhere(address.port));
        let _ = opened(&address).await;
        assert!(String::from_utf8_lossy(&heard.lock().unwrap()).contains(SECRET), "{plugin}");
    }
}

/// The first login since the account was made: the server knows no digest of the password yet.
#[tokio::test]
async fn a_first_login_needs_a_known_server() {
    let server = &pair_of(Flavor::MySql).source;
    let sql = |sql: &str| server.sql(sql).unwrap();
    for plugin in ["caching_sha2_password", "sha256_password"] {
        let user = format!("first_{plugin}");
        let new =
            || sql(&format!("DROP USER IF EXISTS {user}; CREATE USER {user} IDENTIFIED WITH {plugin} BY '{SECRET}'"));
        let reached = |host: &str, mode| {
            let mut address = address(server.port);
            (address.host, address.user, address.silence) = (host.to_owned(), user.clone(), END);
            address.tls.mode = mode;
            address.dial = Arc::new(Elsewhere(server.port));
            address
        };
        let data = sql("SELECT @@datadir");
        let key = Pem::server_key(format!("{}/public_key.pem", data.trim()).as_ref()).unwrap();
        let pinned = |mode| Address { server_key: Some(key.clone()), ..reached("db.example", mode) };
        for mode in [TlsMode::Disabled, TlsMode::Preferred, TlsMode::Required] {
            new();
            let error = opened(&reached("db.example", mode)).await.map(drop).unwrap_err();
            assert!(error.to_string().contains("server-public-key=FILE"), "{error}");
            // Within TLS that nobody has verified there is no digest to log in by with the older plugin.
            let possible = plugin == "caching_sha2_password" || mode == TlsMode::Disabled;
            assert_eq!(opened(&pinned(mode)).await.is_ok(), possible, "{plugin} {mode:?}");
            new();
            opened(&reached("localhost", mode)).await.unwrap();
            new();
            opened(&Address { cleartext_password: true, ..reached("db.example", mode) }).await.unwrap();
            new();
            let wrong = Address { password: "wrong".into(), ..reached("127.0.0.1", mode) };
            assert_eq!(opened(&wrong).await.map(drop).unwrap_err().code(), Some(1045));
        }
        new();
        let long = Address { password: "x".repeat(230).into(), ..reached("localhost", TlsMode::Disabled) };
        assert!(opened(&long).await.map(drop).unwrap_err().to_string().contains("the password is too long"));
        sql(&format!("DROP USER {user}"));
    }
}
