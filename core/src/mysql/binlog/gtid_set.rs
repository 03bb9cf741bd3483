//! The GTIDs up to a place in the log: MySQL's sets of intervals, and MariaDB's last GTID of each domain.
//! Sources: "GTID Format and Storage" (<https://dev.mysql.com/doc/refman/9.7/en/replication-gtids-concepts.html>) and
//! "Global Transaction ID" (<https://mariadb.com/docs/server/ha-and-performance/standard-replication/gtid>).

use std::collections::BTreeMap;
use std::fmt;

use crate::catalog::Flavor;

/// The longest tag of a GTID.
const MAX_TAG: usize = 32;

/// The source of MySQL's GTIDs: a server's UUID, and a tag, which may be empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GtidSource {
    pub(super) uuid: [u8; 16],
    pub(super) tag: String,
}

/// The GTID of one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Gtid {
    MySql { source: GtidSource, number: u64 },
    MariaDb { domain: u32, server_id: u32, number: u64 },
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MySql { source, number } => write!(f, "{source}:{number}"),
            Self::MariaDb { domain, server_id, number } => write!(f, "{domain}-{server_id}-{number}"),
        }
    }
}

impl fmt::Display for GtidSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.uuid.iter().enumerate() {
            let dash = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        if self.tag.is_empty() { Ok(()) } else { write!(f, ":{}", self.tag) }
    }
}

/// The GTIDs up to a place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GtidSet {
    /// The intervals of each source: first and last number, in order, with gaps between them.
    MySql(BTreeMap<GtidSource, Vec<(u64, u64)>>),
    /// The server ID and the number of the last GTID of each domain.
    MariaDb(BTreeMap<u32, (u32, u64)>),
}

impl GtidSet {
    /// Parses the text of a server; `None` if it is none of the family.
    pub(super) fn parse(text: &str, flavor: Flavor) -> Option<Self> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        match flavor {
            Flavor::MySql => {
                let mut set = Self::MySql(BTreeMap::new());
                parts.map(|part| set.add_intervals(part)).collect::<Option<()>>()?;
                Some(set)
            }
            Flavor::MariaDb => {
                let domain = |part: &str| {
                    let mut numbers = part.split('-');
                    let (domain, server_id) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
                    let number = numbers.next()?.parse().ok()?;
                    numbers.next().is_none().then_some((domain, (server_id, number)))
                };
                parts.map(domain).collect::<Option<_>>().map(Self::MariaDb)
            }
        }
    }

    /// Adds the intervals of one UUID: `uuid:1-5:7:tag:1-3`.
    fn add_intervals(&mut self, text: &str) -> Option<()> {
        let mut parts = text.split(':').map(str::trim);
        let uuid = parse_uuid(parts.next()?)?;
        let mut source = GtidSource { uuid, tag: String::new() };
        for part in parts {
            if part.starts_with(|c: char| c.is_ascii_digit()) {
                let (first, last) = part.split_once('-').unwrap_or((part, part));
                self.add_interval(&source, first.trim().parse().ok()?, last.trim().parse().ok()?)?;
            } else {
                let is_tag = !part.is_empty() && part.len() <= MAX_TAG && part.is_ascii();
                source.tag = is_tag.then(|| part.to_ascii_lowercase())?;
            }
        }
        Some(())
    }

    fn add_interval(&mut self, source: &GtidSource, first: u64, last: u64) -> Option<()> {
        let Self::MySql(sources) = self else { return None };
        if first == 0 || last < first || last == u64::MAX {
            return None;
        }
        let intervals = sources.entry(source.clone()).or_default();
        let (mut first, mut last) = (first, last);
        // The intervals that overlap the new one or touch it become one with it.
        intervals.retain(|(start, end)| {
            let is_apart = *end < first - 1 || *start > last + 1;
            if !is_apart {
                (first, last) = (first.min(*start), last.max(*end));
            }
            is_apart
        });
        let at = intervals.partition_point(|(start, _)| *start < first);
        intervals.insert(at, (first, last));
        Some(())
    }

    /// Adds the GTID of a transaction. One of the other family changes nothing.
    pub(super) fn add(&mut self, gtid: &Gtid) {
        match (self, gtid) {
            (set @ Self::MySql(_), Gtid::MySql { source, number }) => {
                // No server writes the number 0 or the greatest one.
                let _ = set.add_interval(source, *number, *number);
            }
            (Self::MariaDb(domains), Gtid::MariaDb { domain, server_id, number }) => {
                domains.insert(*domain, (*server_id, *number));
            }
            _ => {}
        }
    }

    /// Whether the set has the GTID.
    pub(super) fn contains(&self, gtid: &Gtid) -> bool {
        match (self, gtid) {
            (Self::MySql(_), Gtid::MySql { source, number }) => {
                self.interval(source).any(|(first, last)| (first..=last).contains(&number))
            }
            (Self::MariaDb(domains), Gtid::MariaDb { domain, number, .. }) => {
                domains.get(domain).is_some_and(|(_, last)| number <= last)
            }
            _ => false,
        }
    }

    /// Whether the set has all GTIDs of another one of its family.
    pub(super) fn contains_all(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::MySql(_), Self::MySql(sources)) => sources.iter().all(|(source, intervals)| {
                intervals
                    .iter()
                    .all(|(first, last)| self.interval(source).any(|(start, end)| start <= first && last <= end))
            }),
            (Self::MariaDb(reached), Self::MariaDb(domains)) => {
                domains.iter().all(|(domain, (_, number))| reached.get(domain).is_some_and(|(_, last)| number <= last))
            }
            _ => false,
        }
    }

    fn interval(&self, source: &GtidSource) -> impl Iterator<Item = &(u64, u64)> {
        let sources = match self {
            Self::MySql(sources) => sources.get(source),
            Self::MariaDb(_) => None,
        };
        sources.into_iter().flatten()
    }

    /// Encodes a set of MySQL for the command that reads the log.
    ///
    /// Source: `Gtid_set::encode` in `rpl_gtid_set.cc` of MySQL.
    pub(super) fn encode(&self) -> Vec<u8> {
        const TAGGED: u8 = 1;
        let Self::MySql(sources) = self else { return Vec::new() };
        let is_tagged = sources.keys().any(|source| !source.tag.is_empty());
        let count = sources.len() as u64;
        let count = if is_tagged { count << 8 | u64::from(TAGGED) | u64::from(TAGGED) << 56 } else { count };
        let mut bytes = count.to_le_bytes().to_vec();
        for (source, intervals) in sources {
            bytes.extend_from_slice(&source.uuid);
            if is_tagged {
                // A length below 128 in the servers' serialization is the length times two.
                bytes.push(u8::try_from(source.tag.len() * 2).unwrap_or(u8::MAX));
                bytes.extend_from_slice(source.tag.as_bytes());
            }
            bytes.extend_from_slice(&(intervals.len() as u64).to_le_bytes());
            for (first, last) in intervals {
                bytes.extend_from_slice(&first.to_le_bytes());
                bytes.extend_from_slice(&(last + 1).to_le_bytes());
            }
        }
        bytes
    }
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MySql(sources) => {
                for (index, (source, intervals)) in sources.iter().enumerate() {
                    write!(f, "{}{source}", if index > 0 { "," } else { "" })?;
                    for (first, last) in intervals {
                        if first == last { write!(f, ":{first}")? } else { write!(f, ":{first}-{last}")? }
                    }
                }
            }
            Self::MariaDb(domains) => {
                for (index, (domain, (server_id, number))) in domains.iter().enumerate() {
                    write!(f, "{}{domain}-{server_id}-{number}", if index > 0 { "," } else { "" })?;
                }
            }
        }
        Ok(())
    }
}

/// Whether a GTID is in a set, both as texts of a server.
pub(super) fn is_in_gtids(gtid: &str, set: &str, flavor: Flavor) -> bool {
    match (GtidSet::parse(gtid, flavor), GtidSet::parse(set, flavor)) {
        (Some(GtidSet::MySql(one)), Some(GtidSet::MySql(set))) => one.iter().all(|(source, intervals)| {
            let all = set.get(source).map_or(&[][..], Vec::as_slice);
            intervals.iter().all(|(first, last)| all.iter().any(|(start, end)| start <= first && last <= end))
        }),
        (Some(GtidSet::MariaDb(one)), Some(GtidSet::MariaDb(set))) => {
            one.iter().all(|(domain, (_, number))| set.get(domain).is_some_and(|(_, last)| number <= last))
        }
        _ => false,
    }
}

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
    if digits.len() != 32 {
        return None;
    }
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks(2).map(pair).collect::<Option<Vec<u8>>>()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn mysql(text: &str) -> GtidSet {
        GtidSet::parse(text, Flavor::MySql).unwrap()
    }

    #[test]
    fn a_set_grows_by_transactions() {
        let mut set = mysql(&format!("{UUID}:1-5:8-9"));
        let source = GtidSource { uuid: parse_uuid(UUID).unwrap(), tag: String::new() };
        for number in [7, 6, 12] {
            set.add(&Gtid::MySql { source: source.clone(), number });
        }
        assert_eq!(set.to_string(), format!("{UUID}:1-9:12"));
        let contained = [1, 9, 10, 12].map(|number| set.contains(&Gtid::MySql { source: source.clone(), number }));
        assert_eq!(contained, [true, true, false, true]);
        let mut tagged = mysql("");
        tagged.add(&Gtid::MySql { source: GtidSource { tag: "blue".into(), ..source }, number: 3 });
        assert_eq!(tagged.to_string(), format!("{UUID}:blue:3"));
    }

    #[test]
    fn texts_of_servers_are_parsed() {
        let other = UUID.replace('3', "4").to_uppercase();
        let text = format!("{UUID}:1-3:7,\n{other}:1:Blue:2-4");
        let expected = format!("{UUID}:1-3:7,{}:1,{}:blue:2-4", other.to_lowercase(), other.to_lowercase());
        assert_eq!(mysql(&text).to_string(), expected);
        for wrong in ["x", "3e11fa47:1", &format!("{UUID}:5-1"), &format!("{UUID}:0"), &format!("{UUID}:")] {
            assert_eq!(GtidSet::parse(wrong, Flavor::MySql), None, "{wrong}");
        }
        let mut domains = GtidSet::parse("0-1-100,7-2-5", Flavor::MariaDb).unwrap();
        domains.add(&Gtid::MariaDb { domain: 7, server_id: 9, number: 6 });
        domains.add(&Gtid::MariaDb { domain: 8, server_id: 9, number: 1 });
        assert_eq!(domains.to_string(), "0-1-100,7-9-6,8-9-1");
        assert!(domains.contains(&Gtid::MariaDb { domain: 7, server_id: 3, number: 6 }));
        assert!(!domains.contains(&Gtid::MariaDb { domain: 7, server_id: 9, number: 7 }));
        assert_eq!(GtidSet::parse("0-1", Flavor::MariaDb), None);
    }

    #[test]
    fn a_gtid_is_looked_up_in_a_set() {
        let set = format!("{UUID}:1-5:8,{UUID}:blue:3");
        let is_in = |gtid: &str| is_in_gtids(&format!("{UUID}:{gtid}"), &set, Flavor::MySql);
        assert!(is_in("1") && is_in("5") && is_in("8") && is_in("blue:3"));
        assert!(!is_in("6") && !is_in("blue:1") && !is_in_gtids("binlog.000001:7", &set, Flavor::MySql));
        let is_in = |gtid| is_in_gtids(gtid, "0-1-100,7-2-5", Flavor::MariaDb);
        assert!(is_in("0-9-100") && is_in("7-2-1"));
        assert!(!is_in("0-1-101") && !is_in("8-1-1") && !is_in("mariadb-bin.000001:7"));
    }

    #[test]
    fn a_set_is_encoded_with_exclusive_ends() {
        let encoded = mysql(&format!("{UUID}:1-5")).encode();
        assert_eq!(encoded.len(), 8 + 16 + 8 + 16);
        assert_eq!((encoded[0], encoded[32], encoded[40]), (1, 1, 6));
    }
}
