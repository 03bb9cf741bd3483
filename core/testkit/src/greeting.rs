//! Reads the version of a MySQL server from its first packet.

use std::io::{ErrorKind, Read};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::error::{Context, Error, Result};

/// The version that the server at `address` announces; an error while it does not serve yet.
pub(crate) fn version(host: &str, port: u16) -> Result<String> {
    let wait = Duration::from_secs(5);
    let address = (host, port)
        .to_socket_addrs()
        .context("cannot resolve the server's name")?
        .next()
        .ok_or_else(|| Error::new(format!("{host} has no address")))?;
    let mut stream = TcpStream::connect_timeout(&address, wait).context("cannot connect")?;
    stream.set_read_timeout(Some(wait)).context("cannot set a timeout")?;
    let mut head = [0; 5];
    stream.read_exact(&mut head).context("no greeting")?;
    let [low, middle, high, _, protocol] = head;
    if protocol != 10 {
        return Err(Error::new("not a MySQL server, or one that refuses this host"));
    }
    let length = u32::from_le_bytes([low, middle, high, 0]);
    let mut body = Vec::new();
    match stream.take(u64::from(length.saturating_sub(1))).read_to_end(&mut body) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => {
            return Err(Error::new(format!("a broken greeting: {error}")));
        }
        _ => {}
    }
    let version = body.split(|byte| *byte == 0).next().unwrap_or_default();
    let version = String::from_utf8_lossy(version);
    // MariaDB 10 puts a version of MySQL in front, for the sake of old replicas.
    Ok(version.strip_prefix("5.5.5-").unwrap_or(&version).to_owned())
}
