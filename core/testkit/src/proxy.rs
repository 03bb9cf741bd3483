use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Context, Error, Result};

/// The maximum bytes of one chunk.
const CHUNK_BYTES: usize = 16 * 1024;
/// The maximum number of chunks in flight: a window of 16 MiB.
const MAX_CHUNKS_IN_FLIGHT: usize = 1024;

/// Simulates a bad network link: a TCP proxy that can add latency, limit the rate, stall and cut connections.
///
/// Dropping it cuts all connections and closes the port.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    link: Arc<ProxyLink>,
}

/// The direction of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

#[derive(Debug)]
struct ProxyLink {
    target: SocketAddr,
    closed: AtomicBool,
    refusing: AtomicBool,
    sent_up: AtomicU64,
    sent_down: AtomicU64,
    accepted: AtomicU64,
    state: Mutex<LinkState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct LinkState {
    latency: Duration,
    bytes_per_second: Option<u64>,
    stalled: bool,
    cut_after: Option<u64>,
    /// The time at which the link has sent all earlier bytes, for each direction.
    free_at: [Option<Instant>; 2],
    connections: Vec<(TcpStream, TcpStream)>,
}

impl Proxy {
    /// Starts to listen and forwards every connection to `target`.
    pub fn start(target: impl ToSocketAddrs) -> Result<Self> {
        let target = target
            .to_socket_addrs()
            .context("cannot resolve the proxy's target")?
            .next()
            .ok_or_else(|| Error::new("the proxy's target has no address"))?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen")?;
        let address = listener.local_addr().context("cannot listen")?;
        let link = Arc::new(ProxyLink {
            target,
            closed: AtomicBool::new(false),
            refusing: AtomicBool::new(false),
            sent_up: AtomicU64::new(0),
            sent_down: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let accepting = Arc::clone(&link);
        thread::spawn(move || accept(&listener, &accepting));
        Ok(Self { address, link })
    }

    /// The address where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Delays every byte by `latency`, each direction: a round trip takes twice as long.
    pub fn set_latency(&self, latency: Duration) {
        self.link.state().latency = latency;
    }

    /// Limits the bytes per second of all connections together, in each direction. `None` is no limit.
    pub fn set_rate(&self, bytes_per_second: Option<u64>) {
        self.link.state().bytes_per_second = bytes_per_second.filter(|rate| *rate > 0);
    }

    /// Transfers nothing while true; connections stay open.
    pub fn stall(&self, stalled: bool) {
        self.link.state().stalled = stalled;
        self.link.changed.notify_all();
    }

    /// Closes all connections now, and accepts new ones.
    pub fn cut(&self) {
        self.link.cut();
    }

    /// Closes all connections as [`cut`](Self::cut) after this many further bytes of both directions.
    pub fn cut_after(&self, bytes: u64) {
        self.link.state().cut_after = Some(bytes);
    }

    /// Closes every new connection at once while true.
    pub fn refuse(&self, refusing: bool) {
        self.link.refusing.store(refusing, Ordering::Relaxed);
    }

    /// The number of bytes from clients to the server.
    pub fn sent_up(&self) -> u64 {
        self.link.sent_up.load(Ordering::Relaxed)
    }

    /// The number of bytes from the server to clients.
    pub fn sent_down(&self) -> u64 {
        self.link.sent_down.load(Ordering::Relaxed)
    }

    /// The number of connections so far.
    pub fn accepted(&self) -> u64 {
        self.link.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.link.closed.store(true, Ordering::Relaxed);
        self.stall(false);
        self.cut();
        // Wakes the accepting thread, which then ends.
        let _ = TcpStream::connect(self.address);
    }
}

impl ProxyLink {
    fn state(&self) -> MutexGuard<'_, LinkState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cut(&self) {
        let mut state = self.state();
        state.cut_after = None;
        state.free_at = [None; 2];
        for (client, server) in state.connections.drain(..) {
            let _ = client.shutdown(Shutdown::Both);
            let _ = server.shutdown(Shutdown::Both);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until the chunk that was read at `read_at` may be sent, with the current settings.
    fn wait(&self, direction: Direction, read_at: Instant, bytes: u64) {
        let mut state = self.state();
        while state.stalled {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let mut due = read_at + state.latency;
        if let Some(rate) = state.bytes_per_second {
            let slot = match direction {
                Direction::Up => &mut state.free_at[0],
                Direction::Down => &mut state.free_at[1],
            };
            let begin = slot.unwrap_or(due).max(due);
            due = begin + Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / rate);
            *slot = Some(due);
        }
        drop(state);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // A stall that began in the meantime holds this chunk too.
        let mut state = self.state();
        while state.stalled {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Counts sent bytes. Returns whether the link must be cut now.
    fn count(&self, direction: Direction, bytes: u64) -> bool {
        match direction {
            Direction::Up => self.sent_up.fetch_add(bytes, Ordering::Relaxed),
            Direction::Down => self.sent_down.fetch_add(bytes, Ordering::Relaxed),
        };
        let mut state = self.state();
        let Some(left) = &mut state.cut_after else { return false };
        *left = left.saturating_sub(bytes);
        *left == 0
    }

    /// How many of these bytes may still pass before the cut.
    fn allowed(&self, bytes: usize) -> usize {
        match self.state().cut_after {
            Some(left) => usize::try_from(left).unwrap_or(usize::MAX).min(bytes),
            None => bytes,
        }
    }
}

fn accept(listener: &TcpListener, link: &Arc<ProxyLink>) {
    for client in listener.incoming() {
        if link.closed.load(Ordering::Relaxed) {
            return;
        }
        let Ok(client) = client else { continue };
        if link.refusing.load(Ordering::Relaxed) {
            continue; // dropped, and so closed
        }
        // Drops the client's connection if the server is unreachable.
        let Ok(server) = TcpStream::connect(link.target) else { continue };
        link.accepted.fetch_add(1, Ordering::Relaxed);
        let _ = forward(link, client, server);
    }
}

fn forward(link: &Arc<ProxyLink>, client: TcpStream, server: TcpStream) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    pump(link, Direction::Up, client.try_clone()?, server.try_clone()?);
    pump(link, Direction::Down, server.try_clone()?, client.try_clone()?);
    let mut state = link.state();
    state.connections.retain(|(client, _)| client.peer_addr().is_ok());
    state.connections.push((client, server));
    Ok(())
}

/// Two threads, so that latency delays the bytes without narrowing the link.
fn pump(link: &Arc<ProxyLink>, direction: Direction, from: TcpStream, to: TcpStream) {
    let (sender, receiver) = sync_channel(MAX_CHUNKS_IN_FLIGHT);
    thread::spawn(move || read(from, &sender));
    let link = Arc::clone(link);
    thread::spawn(move || write(&link, direction, to, &receiver));
}

type Chunk = (Instant, Vec<u8>);

fn read(mut from: TcpStream, sender: &SyncSender<Chunk>) {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        match from.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return, // dropping the channel ends the writer
            Ok(count) => {
                let piece = buffer.get(..count).unwrap_or_default().to_vec();
                if sender.send((Instant::now(), piece)).is_err() {
                    return;
                }
            }
        }
    }
}

fn write(link: &ProxyLink, direction: Direction, mut to: TcpStream, receiver: &Receiver<Chunk>) {
    for (read_at, piece) in receiver {
        link.wait(direction, read_at, piece.len() as u64);
        let allowed = link.allowed(piece.len());
        if to.write_all(piece.get(..allowed).unwrap_or_default()).is_err() {
            break;
        }
        if link.count(direction, allowed as u64) {
            link.cut();
            return;
        }
    }
    // Forwards the end of this direction; the other one may continue.
    let _ = to.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what it gets.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
            }
        });
        address
    }

    fn round_trip(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        stream.write_all(bytes)?;
        let mut back = vec![0; bytes.len()];
        stream.read_exact(&mut back)?;
        Ok(back)
    }

    #[test]
    fn bytes_pass_and_are_counted() {
        let proxy = Proxy::start(echo()).unwrap();
        let mut stream = TcpStream::connect(proxy.address()).unwrap();
        assert_eq!(round_trip(&mut stream, b"hello").unwrap(), b"hello");
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0); // the end passes, too
        assert_eq!((proxy.sent_up(), proxy.sent_down(), proxy.accepted()), (5, 5, 1));
    }

    #[test]
    fn latency_and_rate_delay_bytes() {
        let proxy = Proxy::start(echo()).unwrap();
        let mut stream = TcpStream::connect(proxy.address()).unwrap();
        proxy.set_latency(Duration::from_millis(50));
        let begun = Instant::now();
        round_trip(&mut stream, b"x").unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(100));
        proxy.set_latency(Duration::ZERO);
        proxy.set_rate(Some(1_000_000));
        let begun = Instant::now();
        round_trip(&mut stream, &vec![7; 300_000]).unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(280), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_stall_delays_bytes_until_its_end() {
        let proxy = Proxy::start(echo()).unwrap();
        let mut stream = TcpStream::connect(proxy.address()).unwrap();
        proxy.stall(true);
        stream.write_all(b"x").unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        assert!(stream.read_exact(&mut [0]).is_err());
        proxy.stall(false);
        stream.set_read_timeout(Some(crate::HANG_GUARD)).unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }

    #[test]
    fn a_cut_is_exact_and_new_connections_work() {
        let proxy = Proxy::start(echo()).unwrap();
        let mut stream = TcpStream::connect(proxy.address()).unwrap();
        proxy.cut_after(10);
        let mut back = Vec::new();
        let _ = stream.write_all(b"0123456").and_then(|()| stream.read_to_end(&mut back));
        assert_eq!(back, b"012");
        let mut stream = TcpStream::connect(proxy.address()).unwrap();
        assert_eq!(round_trip(&mut stream, b"again").unwrap(), b"again");
        proxy.cut();
        assert!(round_trip(&mut stream, b"again").is_err());
        proxy.refuse(true);
        let mut stream = TcpStream::connect(proxy.address()).unwrap();
        assert!(round_trip(&mut stream, b"again").is_err());
    }
}
