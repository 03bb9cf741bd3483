//! Free TCP ports.

use std::net::{Ipv4Addr, TcpListener};

use crate::error::{Error, Result};
use crate::random;

/// A port without a listener.
///
/// It is below the range of outgoing connections, so none of them can use it before the server does. Two processes may
/// still get the same port: the caller retries.
pub(crate) fn free() -> Result<u16> {
    const FIRST: u16 = 20_000;
    const COUNT: u32 = 12_000;
    for _ in 0..200 {
        let drawn = random::token(8)?.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        let port = FIRST.saturating_add(u16::try_from(drawn % COUNT).unwrap_or_default());
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(Error::new("no free TCP port between 20000 and 32000"))
}
