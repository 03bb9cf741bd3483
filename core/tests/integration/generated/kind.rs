//! The types of columns, and their values as literals of SQL.

use std::fmt::Write;

use dbgraft_testkit::Flavor;
use proptest::prelude::*;
use proptest::sample::select;

use super::dice::Dice;

#[derive(Clone, Debug)]
pub(crate) struct Kind {
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
pub(crate) enum InKeys {
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
pub(crate) fn kinds(flavor: Flavor) -> BoxedStrategy<Kind> {
    let own: Vec<BoxedStrategy<Kind>> = match flavor {
        Flavor::MySql => vec![(1_usize..9).prop_map(|n| kind(format!("VECTOR({n})"), Values::Vector(n))).boxed()],
        Flavor::MariaDb => {
            let own = [("UUID", Values::Uuid), ("INET6", Values::Inet6), ("INET4", Values::Inet4)];
            vec![select(own.map(|(name, values)| kind(name, values)).to_vec()).boxed()]
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
        (1, (1_u32..=64).prop_map(|bits| kind(format!("BIT({bits})"), Values::Bit(bits))).boxed()),
        (1, Just(kind("YEAR", Values::Year)).boxed()),
        (1, Just(kind("JSON", Values::Json)).boxed()),
        (1, member("ENUM", Values::Enum).boxed()),
        (1, member("SET", Values::Set).boxed()),
        (1, select(shapes.to_vec()).prop_map(|shape| kind(shape, Values::Shape(shape))).boxed()),
    ];
    prop::strategy::Union::new_weighted(all.into_iter().chain(own).collect()).boxed()
}

fn kind(sql: impl Into<String>, values: Values) -> Kind {
    Kind { sql: sql.into(), values }
}

fn integer() -> impl Strategy<Value = Kind> {
    let names = [("INT", 32), ("TINYINT", 8), ("SMALLINT", 16), ("MEDIUMINT", 24), ("BIGINT", 64), ("BOOL", 8)];
    (select(names.to_vec()), select(vec!["", " UNSIGNED", "(7) UNSIGNED ZEROFILL"])).prop_map(|((name, bits), sign)| {
        let sign = if name == "BOOL" { "" } else { sign };
        kind(format!("{name}{sign}"), Values::Integer { bits, unsigned: !sign.is_empty() })
    })
}

fn decimal() -> impl Strategy<Value = Kind> {
    (1_usize..=65, 0_usize..=30).prop_map(|(digits, scale)| {
        let scale = scale.min(digits);
        kind(format!("DECIMAL({digits},{scale})"), Values::Decimal { digits, scale })
    })
}

fn real() -> impl Strategy<Value = Kind> {
    let names = [
        ("DOUBLE", Values::Double),
        ("FLOAT", Values::Float),
        ("DOUBLE(20,4)", Values::Double),
        ("FLOAT(10,3)", Values::Float),
    ];
    select(names.to_vec()).prop_map(|(name, values)| kind(name, values))
}

fn moment() -> impl Strategy<Value = Kind> {
    let names = [
        ("DATE", Values::Date),
        ("TIME", Values::Time),
        ("DATETIME", Values::Datetime),
        ("TIMESTAMP", Values::Timestamp),
    ];
    (select(names.to_vec()), 0..=6).prop_map(|((name, values), fraction)| match values {
        Values::Date => kind(name, values),
        _ => kind(format!("{name}({fraction})"), values),
    })
}

fn text(flavor: Flavor) -> impl Strategy<Value = Kind> {
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
        kind(format!("{name} CHARACTER SET {charset} COLLATE {collation}"), values)
    })
}

fn bytes() -> impl Strategy<Value = Kind> {
    let sizes = [
        ("VARBINARY(60)", Values::Bytes(60, false)),
        ("BINARY(16)", Values::Bytes(16, false)),
        ("BINARY(3)", Values::Bytes(3, false)),
        ("BLOB", Values::Bytes(300, true)),
        ("TINYBLOB", Values::Bytes(255, true)),
        ("LONGBLOB", Values::Bytes(3000, true)),
    ];
    select(sizes.to_vec()).prop_map(|(name, values)| kind(name, values))
}

fn member(name: &'static str, values: Values) -> impl Strategy<Value = Kind> {
    select(vec!["utf8mb4", "latin1", "utf16"])
        .prop_map(move |charset| kind(format!("{name}{MEMBERS} CHARACTER SET {charset}"), values))
}

impl Kind {
    pub(crate) fn in_keys(&self) -> InKeys {
        match self.values {
            Values::Json | Values::Shape(_) | Values::Vector(_) => InKeys::No,
            Values::Text(_, true) | Values::Bytes(_, true) => InKeys::Prefix,
            Values::Text(_, false) => InKeys::WholeOrPrefix,
            _ => InKeys::Whole,
        }
    }

    /// A value, by all means one that the column takes, though it may have to change it.
    pub(crate) fn literal(&self, dice: &mut Dice, flavor: Flavor) -> String {
        match self.values {
            Values::Integer { bits, unsigned } => integer_of(bits, unsigned, dice),
            Values::Decimal { digits, scale } => decimal_of(digits, scale, dice),
            Values::Float => format!("{:e}", dice.float()),
            Values::Double => format!("{:e}", dice.double()),
            Values::Bit(bits) => {
                let any = dice.number();
                (dice.one_of(&[0, 1 << 63, u64::MAX, any, any]) >> (64 - bits)).to_string()
            }
            Values::Date => format!("'{}'", date_of(dice)),
            Values::Time => format!("'{}'", time_of(dice)),
            Values::Datetime => format!("'{} {}'", date_of(dice), hour_of(dice)),
            Values::Timestamp => timestamp_of(dice),
            Values::Year => dice.one_of(&["0", "1901", "2155", "1970", "2024"]).to_owned(),
            Values::Text(most, _) => hex("_utf8mb4 ", dice.text(most).as_bytes()),
            Values::Bytes(most, _) => {
                let count = dice.below(most + 1);
                hex("", &dice.bytes(count))
            }
            Values::Enum => dice.below(COUNT + 1).to_string(),
            Values::Set => dice.below(1 << COUNT).to_string(),
            Values::Json => hex("_utf8mb4 ", json_of(3, dice).as_bytes()),
            Values::Shape(shape) => shape_of(shape, dice, flavor),
            Values::Uuid => uuid_of(dice),
            Values::Inet6 => match dice.below(4) {
                0 => dice.one_of(&["'::'", "'::1'", "'::ffff:192.0.2.1'", "'5c4e:a09::5c'"]).to_owned(),
                _ => format!("'{}'", std::net::Ipv6Addr::from(u128::from(dice.number()) << dice.below(64))),
            },
            Values::Inet4 => format!("'{}'", std::net::Ipv4Addr::from(dice.number() as u32)),
            Values::Vector(size) => {
                // Not a number and the infinite ones are refused.
                let numbers = (0..size).flat_map(|_| dice.float().to_le_bytes());
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

fn integer_of(bits: u32, unsigned: bool, dice: &mut Dice) -> String {
    let any = dice.number() >> (64 - bits);
    let greatest = u64::MAX >> (64 - bits);
    let (less, small) = (any >> dice.below(bits as usize), dice.number() % 1000);
    let number = dice.one_of(&[any, any, less, small, greatest, 0]);
    match unsigned {
        true => number.to_string(),
        false => (i128::from(number) - (1_i128 << (bits - 1))).to_string(),
    }
}

fn decimal_of(digits: usize, scale: usize, dice: &mut Dice) -> String {
    let (before, after) = match dice.below(4) {
        0 => ("9".repeat(digits - scale), "9".repeat(scale)),
        1 => ("0".to_owned(), format!("{:0>scale$}", dice.below(10))),
        _ => {
            let before = dice.below(digits - scale + 1);
            (dice.digits(before), dice.digits(scale))
        }
    };
    let sign = dice.one_of(&["", "-"]);
    if scale == 0 { format!("{sign}0{before}") } else { format!("{sign}0{before}.{after}") }
}

/// Also of days that do not exist.
fn date_of(dice: &mut Dice) -> String {
    const EDGES: [&str; 6] = ["0000-00-00", "9999-12-31", "0001-01-01", "2024-02-30", "2024-00-00", "1000-01-01"];
    match dice.once_in(4) {
        true => dice.one_of(&EDGES).to_owned(),
        false => format!("{:04}-{:02}-{:02}", 1900 + dice.below(200), dice.below(13), dice.below(32)),
    }
}

fn hour_of(dice: &mut Dice) -> String {
    let (hour, minute, second) = (dice.below(24), dice.below(60), dice.below(60));
    format!("{hour:02}:{minute:02}:{second:02}.{}", dice.digits(6))
}

fn time_of(dice: &mut Dice) -> String {
    let sign = dice.one_of(&["", "-"]);
    match dice.below(4) {
        0 => format!("{sign}838:59:59"),
        1 => format!("{sign}00:00:00.{}", dice.digits(6)),
        _ => format!("{sign}{}:{:02}:{:02}.{}", dice.below(838), dice.below(60), dice.below(60), dice.digits(6)),
    }
}

fn timestamp_of(dice: &mut Dice) -> String {
    const EDGES: [&str; 4] =
        ["'0000-00-00'", "'1970-01-01 00:00:01'", "'2038-01-19 03:14:07.999999'", "'2024-10-27 01:30:00.5'"];
    let (year, month, day) = (1971 + dice.below(60), 1 + dice.below(12), 1 + dice.below(28));
    match dice.once_in(4) {
        true => dice.one_of(&EDGES).to_owned(),
        false => format!("'{year}-{month:02}-{day:02} {}'", hour_of(dice)),
    }
}

fn json_of(depth: usize, dice: &mut Dice) -> String {
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
    let part = |dice: &mut Dice| json_of(depth - 1, dice);
    let text = |dice: &mut Dice| serde_json::to_string(&dice.text(20)).unwrap_or_default();
    let count = dice.below(5);
    match dice.below(if depth == 0 { 4 } else { 7 }) {
        0 | 1 => dice.one_of(&EDGES).to_owned(),
        2 => format!("{:e}", dice.double()),
        3 => text(dice),
        4 | 5 => format!("[{}]", (0..count).map(|_| part(dice)).collect::<Vec<_>>().join(", ")),
        _ => {
            let members = (0..count).map(|_| format!("{}: {}", text(dice), part(dice)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
    }
}

fn shape_of(shape: &str, dice: &mut Dice, flavor: Flavor) -> String {
    let any = ["POINT", "LINESTRING", "POLYGON", "MULTIPOINT", "GEOMETRYCOLLECTION"];
    let shape = if shape == "GEOMETRY" { dice.one_of(&any) } else { shape };
    let place = |dice: &mut Dice| {
        let coordinate = |dice: &mut Dice| {
            let some = dice.number() as i32 % 80;
            dice.one_of(&[0.0, -0.0, 1e-300, 0.1, -79.999_999_999_999, f64::from(some) / 3.0])
        };
        format!("{:e} {:e}", coordinate(dice), coordinate(dice))
    };
    let wkt = match shape {
        "POINT" => format!("POINT({})", place(dice)),
        "LINESTRING" => format!("LINESTRING({}, 1 1, {})", place(dice), place(dice)),
        "POLYGON" => "POLYGON((0 0, 10 0, 10 10, 0 10, 0 0), (5 5, 7 5, 7 7, 5 7, 5 5))".to_owned(),
        "MULTIPOINT" => format!("MULTIPOINT({}, {})", place(dice), place(dice)),
        _ => format!("GEOMETRYCOLLECTION(POINT({}), LINESTRING(0 0, 1.5 -2))", place(dice)),
    };
    let reference = match flavor {
        Flavor::MySql => dice.one_of(&[0, 0, 4326, 3857]),
        Flavor::MariaDb => dice.one_of(&[0, 1, 4326]),
    };
    format!("ST_GeomFromText('{wkt}', {reference})")
}

fn uuid_of(dice: &mut Dice) -> String {
    let mut text = String::from("'");
    for (place, byte) in dice.bytes(16).into_iter().enumerate() {
        let dash = if [4, 6, 8, 10].contains(&place) { "-" } else { "" };
        let _ = write!(text, "{dash}{byte:02x}");
    }
    text + "'"
}
