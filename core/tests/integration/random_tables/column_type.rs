//! The types of columns, and their values as literals of SQL.

use std::fmt::Write;

use dbgraft_testkit::Flavor;
use proptest::prelude::*;
use proptest::sample::select;

use crate::common::seeded_random::SeededRandom;

#[derive(Clone, Debug)]
pub(crate) struct ColumnType {
    /// The type as a column names it.
    pub(crate) sql: String,
    pub(crate) values: Values,
}

/// What a column of this type may hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Values {
    Integer {
        bits: u32,
        unsigned: bool,
    },
    Decimal {
        digits: usize,
        scale: usize,
    },
    Float,
    Double,
    Bit(u32),
    Date,
    Time,
    Datetime,
    Timestamp,
    Year,
    /// At most so many characters; the second says that there is no end, so that a key needs a prefix.
    Text(usize, bool),
    Bytes(usize, bool),
    Enum,
    Set,
    Json,
    Shape(&'static str),
    Uuid,
    Inet6,
    Inet4,
    Vector(usize),
}

/// Where keys may hold a column.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum KeyUse {
    No,
    Whole,
    WholeOrPrefix,
    Prefix,
}

const MEMBERS: &str = "('', 'a', 'ß''x', '2', '1', 'tab\t\\\\')";
/// How many there are.
const COUNT: usize = 6;

const COLLATIONS: [&str; 17] = [
    "utf8mb4_general_ci",
    "utf8mb4_unicode_ci",
    "utf8mb4_bin",
    "utf8mb3_general_ci",
    "utf16_general_ci",
    "utf16_bin",
    "utf32_unicode_ci",
    "ucs2_general_ci",
    "latin1_swedish_ci",
    "latin1_german2_ci",
    "latin1_bin",
    "ascii_general_ci",
    "sjis_japanese_ci",
    "gbk_chinese_ci",
    "big5_bin",
    "cp1251_general_ci",
    "cp1250_czech_cs",
];

/// Any type that this family has.
pub(crate) fn column_types(flavor: Flavor) -> BoxedStrategy<ColumnType> {
    let own: Vec<BoxedStrategy<ColumnType>> = match flavor {
        Flavor::MySql => {
            vec![(1_usize..9).prop_map(|n| column_type(format!("VECTOR({n})"), Values::Vector(n))).boxed()]
        }
        Flavor::MariaDb => {
            let own = [("UUID", Values::Uuid), ("INET6", Values::Inet6), ("INET4", Values::Inet4)];
            vec![select(own.map(|(name, values)| column_type(name, values)).to_vec()).boxed()]
        }
    };
    let own = own.into_iter().map(|one| (2, one));
    let shapes = ["GEOMETRY", "POINT", "LINESTRING", "POLYGON", "GEOMETRYCOLLECTION"];
    let all = [
        (6, integer().boxed()),
        (4, text(flavor).boxed()),
        (3, bytes().boxed()),
        (3, moment().boxed()),
        (2, decimal().boxed()),
        (3, real().boxed()),
        (1, (1_u32..=64).prop_map(|bits| column_type(format!("BIT({bits})"), Values::Bit(bits))).boxed()),
        (1, Just(column_type("YEAR", Values::Year)).boxed()),
        (1, Just(column_type("JSON", Values::Json)).boxed()),
        (1, member("ENUM", Values::Enum).boxed()),
        (1, member("SET", Values::Set).boxed()),
        (1, select(shapes.to_vec()).prop_map(|shape| column_type(shape, Values::Shape(shape))).boxed()),
    ];
    prop::strategy::Union::new_weighted(all.into_iter().chain(own).collect()).boxed()
}

fn column_type(sql: impl Into<String>, values: Values) -> ColumnType {
    ColumnType { sql: sql.into(), values }
}

fn integer() -> impl Strategy<Value = ColumnType> {
    let names = [("INT", 32), ("TINYINT", 8), ("SMALLINT", 16), ("MEDIUMINT", 24), ("BIGINT", 64), ("BOOL", 8)];
    (select(names.to_vec()), select(vec!["", " UNSIGNED", "(7) UNSIGNED ZEROFILL"])).prop_map(|((name, bits), sign)| {
        let sign = if name == "BOOL" { "" } else { sign };
        column_type(format!("{name}{sign}"), Values::Integer { bits, unsigned: !sign.is_empty() })
    })
}

fn decimal() -> impl Strategy<Value = ColumnType> {
    (1_usize..=65, 0_usize..=30).prop_map(|(digits, scale)| {
        let scale = scale.min(digits);
        column_type(format!("DECIMAL({digits},{scale})"), Values::Decimal { digits, scale })
    })
}

fn real() -> impl Strategy<Value = ColumnType> {
    let names = [
        ("DOUBLE", Values::Double),
        ("FLOAT", Values::Float),
        ("DOUBLE(20,4)", Values::Double),
        ("FLOAT(10,3)", Values::Float),
    ];
    select(names.to_vec()).prop_map(|(name, values)| column_type(name, values))
}

fn moment() -> impl Strategy<Value = ColumnType> {
    let names = [
        ("DATE", Values::Date),
        ("TIME", Values::Time),
        ("DATETIME", Values::Datetime),
        ("TIMESTAMP", Values::Timestamp),
    ];
    (select(names.to_vec()), 0..=6).prop_map(|((name, values), fraction)| match values {
        Values::Date => column_type(name, values),
        _ => column_type(format!("{name}({fraction})"), values),
    })
}

fn text(flavor: Flavor) -> impl Strategy<Value = ColumnType> {
    let own = match flavor {
        Flavor::MySql => ["utf8mb4_0900_ai_ci", "utf8mb4_0900_as_cs", "utf8mb4_ja_0900_as_cs_ks"],
        Flavor::MariaDb => ["utf8mb4_nopad_bin", "utf8mb4_unicode_520_nopad_ci", "utf8mb4_uca1400_ai_ci"],
    };
    let sizes = [("VARCHAR(30)", 30), ("CHAR(9)", 9), ("VARCHAR(200)", 200), ("CHAR(200)", 200)];
    let sizes = sizes.map(|(name, most)| (name, Values::Text(most, false))).into_iter();
    let endless = [("TEXT", 300), ("TINYTEXT", 60), ("MEDIUMTEXT", 2000), ("LONGTEXT", 100)];
    let sizes = sizes.chain(endless.map(|(name, most)| (name, Values::Text(most, true))));
    let collations: Vec<_> = COLLATIONS.into_iter().chain(own).collect();
    (select(sizes.collect::<Vec<_>>()), select(collations)).prop_map(|((name, values), collation)| {
        let charset = collation.split('_').next().unwrap_or_default();
        column_type(format!("{name} CHARACTER SET {charset} COLLATE {collation}"), values)
    })
}

fn bytes() -> impl Strategy<Value = ColumnType> {
    let sizes = [
        ("VARBINARY(60)", Values::Bytes(60, false)),
        ("BINARY(16)", Values::Bytes(16, false)),
        ("BINARY(3)", Values::Bytes(3, false)),
        ("BLOB", Values::Bytes(300, true)),
        ("TINYBLOB", Values::Bytes(255, true)),
        ("LONGBLOB", Values::Bytes(3000, true)),
    ];
    select(sizes.to_vec()).prop_map(|(name, values)| column_type(name, values))
}

fn member(name: &'static str, values: Values) -> impl Strategy<Value = ColumnType> {
    select(vec!["utf8mb4", "latin1", "utf16"])
        .prop_map(move |charset| column_type(format!("{name}{MEMBERS} CHARACTER SET {charset}"), values))
}

impl ColumnType {
    pub(crate) fn key_use(&self) -> KeyUse {
        match self.values {
            Values::Json | Values::Shape(_) | Values::Vector(_) => KeyUse::No,
            Values::Text(_, true) | Values::Bytes(_, true) => KeyUse::Prefix,
            Values::Text(_, false) => KeyUse::WholeOrPrefix,
            _ => KeyUse::Whole,
        }
    }

    /// A value, by all means one that the column takes, though it may have to change it.
    pub(crate) fn literal(&self, random: &mut SeededRandom, flavor: Flavor) -> String {
        match self.values {
            Values::Integer { bits, unsigned } => integer_of(bits, unsigned, random),
            Values::Decimal { digits, scale } => decimal_of(digits, scale, random),
            Values::Float => format!("{:e}", random.float()),
            Values::Double => format!("{:e}", random.double()),
            Values::Bit(bits) => {
                let any = random.number();
                (random.one_of(&[0, 1 << 63, u64::MAX, any, any]) >> (64 - bits)).to_string()
            }
            Values::Date => format!("'{}'", date_of(random)),
            Values::Time => format!("'{}'", time_of(random)),
            Values::Datetime => format!("'{} {}'", date_of(random), hour_of(random)),
            Values::Timestamp => timestamp_of(random),
            Values::Year => random.one_of(&["0", "1901", "2155", "1970", "2024"]).to_owned(),
            Values::Text(most, _) => hex("_utf8mb4 ", random.text(most).as_bytes()),
            Values::Bytes(most, _) => {
                let count = random.below(most + 1);
                hex("", &random.bytes(count))
            }
            Values::Enum => random.below(COUNT + 1).to_string(),
            Values::Set => random.below(1 << COUNT).to_string(),
            Values::Json => hex("_utf8mb4 ", json_of(3, random).as_bytes()),
            Values::Shape(shape) => shape_of(shape, random, flavor),
            Values::Uuid => uuid_of(random),
            Values::Inet6 => match random.below(4) {
                0 => random.one_of(&["'::'", "'::1'", "'::ffff:192.0.2.1'", "'5c4e:a09::5c'"]).to_owned(),
                _ => format!("'{}'", std::net::Ipv6Addr::from(u128::from(random.number()) << random.below(64))),
            },
            Values::Inet4 => format!("'{}'", std::net::Ipv4Addr::from(random.number() as u32)),
            Values::Vector(size) => {
                // Not a number and the infinite ones are refused.
                let numbers = (0..size).flat_map(|_| random.float().to_le_bytes());
                hex("", &numbers.collect::<Vec<_>>())
            }
        }
    }
}

fn hex(introducer: &str, bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "''".to_owned();
    }
    bytes.iter().fold(format!("{introducer}x'"), |text, byte| format!("{text}{byte:02x}")) + "'"
}

fn integer_of(bits: u32, unsigned: bool, random: &mut SeededRandom) -> String {
    let any = random.number() >> (64 - bits);
    let greatest = u64::MAX >> (64 - bits);
    let (less, small) = (any >> random.below(bits as usize), random.number() % 1000);
    let number = random.one_of(&[any, any, less, small, greatest, 0]);
    match unsigned {
        true => number.to_string(),
        false => (i128::from(number) - (1_i128 << (bits - 1))).to_string(),
    }
}

fn decimal_of(digits: usize, scale: usize, random: &mut SeededRandom) -> String {
    let (before, after) = match random.below(4) {
        0 => ("9".repeat(digits - scale), "9".repeat(scale)),
        1 => ("0".to_owned(), format!("{:0>scale$}", random.below(10))),
        _ => {
            let before = random.below(digits - scale + 1);
            (random.digits(before), random.digits(scale))
        }
    };
    let sign = random.one_of(&["", "-"]);
    if scale == 0 { format!("{sign}0{before}") } else { format!("{sign}0{before}.{after}") }
}

/// Also of days that do not exist.
fn date_of(random: &mut SeededRandom) -> String {
    const EDGES: [&str; 6] = ["0000-00-00", "9999-12-31", "0001-01-01", "2024-02-30", "2024-00-00", "1000-01-01"];
    match random.once_in(4) {
        true => random.one_of(&EDGES).to_owned(),
        false => format!("{:04}-{:02}-{:02}", 1900 + random.below(200), random.below(13), random.below(32)),
    }
}

fn hour_of(random: &mut SeededRandom) -> String {
    let (hour, minute, second) = (random.below(24), random.below(60), random.below(60));
    format!("{hour:02}:{minute:02}:{second:02}.{}", random.digits(6))
}

fn time_of(random: &mut SeededRandom) -> String {
    let sign = random.one_of(&["", "-"]);
    match random.below(4) {
        0 => format!("{sign}838:59:59"),
        1 => format!("{sign}00:00:00.{}", random.digits(6)),
        _ => {
            format!("{sign}{}:{:02}:{:02}.{}", random.below(838), random.below(60), random.below(60), random.digits(6))
        }
    }
}

fn timestamp_of(random: &mut SeededRandom) -> String {
    const EDGES: [&str; 4] =
        ["'0000-00-00'", "'1970-01-01 00:00:01'", "'2038-01-19 03:14:07.999999'", "'2024-10-27 01:30:00.5'"];
    let (year, month, day) = (1971 + random.below(60), 1 + random.below(12), 1 + random.below(28));
    match random.once_in(4) {
        true => random.one_of(&EDGES).to_owned(),
        false => format!("'{year}-{month:02}-{day:02} {}'", hour_of(random)),
    }
}

fn json_of(depth: usize, random: &mut SeededRandom) -> String {
    const EDGES: [&str; 10] = [
        "null",
        "true",
        "[]",
        "{}",
        "9007199254740993",
        "18446744073709551615",
        "-9223372036854775808",
        "-0.0",
        "1.0",
        "\"\\u0000\\ud83d\\ude00\\\\N\"",
    ];
    let part = |random: &mut SeededRandom| json_of(depth - 1, random);
    let text = |random: &mut SeededRandom| serde_json::to_string(&random.text(20)).unwrap_or_default();
    let count = random.below(5);
    match random.below(if depth == 0 { 4 } else { 7 }) {
        0 | 1 => random.one_of(&EDGES).to_owned(),
        2 => format!("{:e}", random.double()),
        3 => text(random),
        4 | 5 => format!("[{}]", (0..count).map(|_| part(random)).collect::<Vec<_>>().join(", ")),
        _ => {
            let members = (0..count).map(|_| format!("{}: {}", text(random), part(random)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
    }
}

fn shape_of(shape: &str, random: &mut SeededRandom, flavor: Flavor) -> String {
    let any = ["POINT", "LINESTRING", "POLYGON", "MULTIPOINT", "GEOMETRYCOLLECTION"];
    let shape = if shape == "GEOMETRY" { random.one_of(&any) } else { shape };
    let place = |random: &mut SeededRandom| {
        let coordinate = |random: &mut SeededRandom| {
            let some = random.number() as i32 % 80;
            random.one_of(&[0.0, -0.0, 1e-300, 0.1, -79.999_999_999_999, f64::from(some) / 3.0])
        };
        format!("{:e} {:e}", coordinate(random), coordinate(random))
    };
    let wkt = match shape {
        "POINT" => format!("POINT({})", place(random)),
        "LINESTRING" => format!("LINESTRING({}, 1 1, {})", place(random), place(random)),
        "POLYGON" => "POLYGON((0 0, 10 0, 10 10, 0 10, 0 0), (5 5, 7 5, 7 7, 5 7, 5 5))".to_owned(),
        "MULTIPOINT" => format!("MULTIPOINT({}, {})", place(random), place(random)),
        _ => format!("GEOMETRYCOLLECTION(POINT({}), LINESTRING(0 0, 1.5 -2))", place(random)),
    };
    let reference = match flavor {
        Flavor::MySql => random.one_of(&[0, 0, 4326, 3857]),
        Flavor::MariaDb => random.one_of(&[0, 1, 4326]),
    };
    format!("ST_GeomFromText('{wkt}', {reference})")
}

fn uuid_of(random: &mut SeededRandom) -> String {
    let mut text = String::from("'");
    for (place, byte) in random.bytes(16).into_iter().enumerate() {
        let dash = if [4, 6, 8, 10].contains(&place) { "-" } else { "" };
        let _ = write!(text, "{dash}{byte:02x}");
    }
    text + "'"
}
