//! The fuzz target of URLs.

use super::location::{parse_location, staging_location};
use crate::mysql::ServerRole;
use crate::ssh::SshAddress;

/// Parses a text as the URL of each kind.
pub fn urls(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // A URL may name files, which are read.
    if text.contains("ssl-") || text.contains("key") || text.contains("file=") {
        return;
    }
    let _ = parse_location(text, ServerRole::Source, "DBGRAFT_NO_SUCH_VARIABLE", None);
    let _ = staging_location(text);
    let _ = SshAddress::parse("--source-agent", text);
}
