use std::collections::BTreeSet;
use std::fmt::Write as _;

use bytes::Bytes;
use dbgraft_testkit as testkit;

use super::{RowFilter, UnknownRow};
use crate::catalog::Table;
use crate::change::{ChangeKind, RowChanges, RowImages};
use crate::codec::row_texts;

fn table() -> Table {
    let columns = [
        ("id", "int not null"),
        ("small", "tinyint"),
        ("big", "bigint"),
        ("size", "bigint unsigned"),
        ("name", "varchar(20)"),
        ("born", "date not null"),
        ("current_user", "int"),
        ("twice", "int generated always as (id * 2) stored"),
    ];
    Table::define("t", columns, &["id".to_owned()])
}

fn changes(kind: ChangeKind, before: &str, after: &str) -> RowChanges {
    let image = |text: &str| {
        let columns = (0..).take(text.lines().next()?.split('\t').count()).collect();
        Some(RowImages { columns, text: Bytes::from(text.to_owned()) })
    };
    let rows = before.lines().count().max(after.lines().count()) as u64;
    RowChanges { table: 3, kind, rows, before: image(before), after: image(after), with_cascades: false }
}

fn describe(changes: &[RowChanges]) -> Vec<String> {
    let text = |image: &Option<RowImages>| match image {
        Some(image) => String::from_utf8(image.text.to_vec()).unwrap().replace('\t', ","),
        None => "-".to_owned(),
    };
    let describe = |changes: &RowChanges| {
        format!("{:?} {} {} {}", changes.kind, changes.rows, text(&changes.before), text(&changes.after))
    };
    changes.iter().map(describe).collect()
}

#[test]
fn rows_that_enter_and_leave_are_inserted_and_deleted_in_order() {
    let columns = [("id", "int not null"), ("tenant", "int"), ("v", "text")];
    let table = Table::define("t", columns, &["id".to_owned()]);
    let filter = RowFilter::parse("tenant = 1", &table).unwrap();
    let all = |kind, before, after| filter.chosen_changes(changes(kind, before, after)).unwrap();
    let before = "1\t1\ta\n2\t2\tb\n3\t1\tc\n4\t\\N\td\n5\t1\te\n6\t2\tf\n7\t1\tg\n";
    let after = "1\t1\tA\n2\t1\tB\n3\t2\tC\n4\t2\tD\n5\t1\tE\n6\t3\tF\n7\t1\tG\n";
    assert_eq!(
        describe(&all(ChangeKind::Update, before, after)),
        [
            "Update 1 1,1,a\n 1,1,A\n",
            "Insert 1 - 2,1,B\n",
            "Delete 1 3,1,c\n -",
            "Update 2 5,1,e\n7,1,g\n 5,1,E\n7,1,G\n"
        ]
    );
    assert_eq!(describe(&all(ChangeKind::Insert, "", after)), ["Insert 4 - 1,1,A\n2,1,B\n5,1,E\n7,1,G\n"]);
    assert_eq!(describe(&all(ChangeKind::Delete, before, "")), ["Delete 4 1,1,a\n3,1,c\n5,1,e\n7,1,g\n -"]);
    assert_eq!(all(ChangeKind::Delete, "2\t2\tx\n4\t\\N\ty\n", ""), []);
    let whole = changes(ChangeKind::Update, "1\t1\ta\n", "1\t1\tb\n");
    assert_eq!(filter.chosen_changes(whole.clone()), Ok(vec![whole]));
    // What the log does not have.
    let mut minimal = changes(ChangeKind::Update, "1\n", "1\t1\n");
    assert_eq!(filter.chosen_changes(minimal.clone()), Err(UnknownRow::Column("tenant".to_owned())));
    minimal.before = changes(ChangeKind::Delete, "1\t2\n", "").before;
    assert_eq!(filter.chosen_changes(minimal.clone()), Err(UnknownRow::PartOfRow));
    minimal.before = changes(ChangeKind::Delete, "1\t1\n", "").before;
    minimal.after = Some(RowImages { columns: vec![2], text: Bytes::from_static(b"new\n") });
    assert_eq!(filter.chosen_changes(minimal.clone()), Ok(vec![minimal.clone()]));
    minimal.before = changes(ChangeKind::Delete, "1\tone\n", "").before;
    assert_eq!(filter.chosen_changes(minimal), Err(UnknownRow::Malformed));
}

#[test]
fn only_comparisons_that_need_no_server_are_filters() {
    for good in [
        "id = 1",
        "ID<>1 AND `big` != -9223372036854775807",
        "t.id = 1 OR 5 > small",
        "(id) >= 1 AND ((id % 10) = 3)",
        "MOD(id, 10) IN (1, 2,3) -- why",
        "id MOD 7 BETWEEN 1 AND 2 AND NOT (small IS NULL OR name IS NOT NULL)",
        "NOT NOT id NOT IN (5) /* all */",
        "size <= 9223372036854775807",
        "`current_user` = 1",
    ] {
        RowFilter::parse(good, &table()).unwrap_or_else(|reason| panic!("{good}: {reason}"));
    }
    let deep = format!("{}id = 1{}", "(".repeat(500), ")".repeat(500));
    for (bad, reason) in [
        ("name = 'x'", "column name is varchar(20), and no integer"),
        ("id = 'x'", "'x' is not evaluated there"),
        ("id = 1.5", "1.5 is n"),
        ("id = 1e3", "1e3 is n"),
        ("id = 0x10", "0x10 is n"),
        ("id = 9223372036854775808", "is no integer of the type BIGINT"),
        ("size > -1", "column size is unsigned"),
        ("-1 < size", "column size is unsigned"),
        ("twice = 2", "column twice is generated"),
        ("other = 2", "other is no column of the table"),
        ("u.id = 2", "u is not evaluated there"),
        ("id = small", "small is not evaluated there"),
        ("id + 1 = 2", "+ is not evaluated there"),
        ("id % 0 = 2", "it divides by 0"),
        ("id % -2 = 0", "it divides by -2"),
        ("id % 4 % 2 = 0", "% is not evaluated there"),
        ("id <=> 1", "> is not evaluated there"),
        ("id = 1 = 1", "= is not evaluated there"),
        ("id", "it ends too early"),
        ("id IN ()", ") is not evaluated there"),
        ("id IN (SELECT 1)", "SELECT is not evaluated there"),
        ("id = 1 XOR id = 2", "XOR is not evaluated there"),
        ("id = 1 || id = 2", "| is not evaluated there"),
        ("! id = 1", "! is not evaluated there"),
        ("id IS TRUE", "TRUE is not evaluated there"),
        ("id IS NULL", "column id is NOT NULL"),
        ("born IS NULL", "column born is NOT NULL"),
        ("id = @x", "@ is not evaluated there"),
        ("RAND() < 1", "it calls RAND"),
        ("ABS(id) = 1", "it calls ABS"),
        ("current_user = 1", "current_user is not evaluated there"),
        ("id = 1 /*! OR 1 */", "a comment that is code"),
        ("name LIKE 'x%'", "column name is varchar(20), and no integer"),
        ("EXISTS (SELECT 1)", "it calls EXISTS"),
        ("", "it ends too early"),
        (&deep, "nested too deeply"),
    ] {
        let found = RowFilter::parse(bad, &table()).unwrap_err();
        assert!(found.contains(reason), "{bad}: {found}");
    }
}

/// Random numbers of a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % limit as u64).unwrap()
    }

    fn pick<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }

    fn number(&mut self, is_unsigned: bool) -> &'static str {
        let all = [
            "0",
            "1",
            "2",
            "7",
            "127",
            "128",
            "255",
            "2147483647",
            "2147483648",
            "4294967295",
            "9223372036854775807",
            "-1",
            "-2",
            "-128",
            "-129",
            "-2147483648",
            "-9223372036854775807",
        ];
        let count = if is_unsigned { all.iter().position(|number| *number == "-1").unwrap() } else { all.len() };
        all[self.below(count)]
    }

    fn condition(&mut self, depth: usize) -> String {
        if depth > 0 && self.below(3) > 0 {
            let (one, other) = (self.condition(depth - 1), self.condition(depth - 1));
            return match self.below(4) {
                0 => format!("NOT {one}"),
                1 => format!("({one}) AND {other}"),
                2 => format!("({one} OR {other})"),
                _ => format!("{one} OR {other}"),
            };
        }
        let column = self.pick(&["tiny", "utiny", "normal", "unormal", "big", "ubig"]);
        let is_unsigned = column.starts_with('u');
        let term = match self.below(5) {
            0 => format!("{column} % {}", self.pick(&["2", "3", "10", "9223372036854775807"])),
            1 => format!("MOD({column}, {})", self.pick(&["1", "7"])),
            _ => column.to_owned(),
        };
        let (a, b) = (self.number(is_unsigned), self.number(is_unsigned));
        let not = self.pick(&["", "NOT "]);
        match self.below(6) {
            0 => format!("{column} IS {not}NULL"),
            1 => format!("{term} {not}BETWEEN {a} AND {b}"),
            2 => format!("{term} {not}IN ({a}, {b}, 5)"),
            3 => format!("{a} {} {term}", self.pick(&["<", "<=", ">", ">=", "=", "<>", "!="])),
            _ => format!("{term} {} {a}", self.pick(&["<", "<=", ">", ">=", "=", "<>", "!="])),
        }
    }
}

/// Values of each column: the bounds of the types, and what is near them.
const VALUES: [&[&str]; 6] = [
    &["-128", "-127", "-7", "-1", "0", "1", "2", "5", "126", "127"],
    &["0", "1", "2", "5", "127", "128", "254", "255"],
    &["-2147483648", "-129", "-10", "-1", "0", "1", "5", "128", "2147483647"],
    &["0", "1", "5", "7", "2147483647", "2147483648", "4294967295"],
    &["-9223372036854775808", "-9223372036854775807", "-2147483648", "-1", "0", "3", "9223372036854775807"],
    &["0", "1", "5", "9223372036854775807", "9223372036854775808", "18446744073709551615"],
];

#[test]
fn the_servers_choose_the_same_rows() {
    std::thread::scope(|scope| {
        for flavor in [testkit::Flavor::MySql, testkit::Flavor::MariaDb] {
            scope.spawn(move || compare_with_server(flavor));
        }
    });
}

fn compare_with_server(flavor: testkit::Flavor) {
    let server = &testkit::pair_of(flavor).source;
    let name = format!("row_filter_{}", std::process::id());
    let columns = [
        ("id", "int not null"),
        ("tiny", "tinyint"),
        ("utiny", "tinyint unsigned"),
        ("normal", "int"),
        ("unormal", "int unsigned"),
        ("big", "bigint"),
        ("ubig", "bigint unsigned"),
    ];
    let table = Table::define("t", columns, &["id".to_owned()]);
    server.sql(&format!("CREATE DATABASE {name}")).unwrap();
    // Also by indexes: the servers then compare in another way.
    let keys =
        "ADD KEY (tiny, big), ADD KEY (utiny), ADD KEY (normal), ADD KEY (unormal), ADD KEY (big), ADD KEY (ubig)";
    server.sql_in(&name, &format!("{}; ALTER TABLE t {keys}", table.create)).unwrap();
    let mut random = Random(42);
    let mut lines = String::new();
    for id in 0..400 {
        let mut line = id.to_string();
        for values in VALUES {
            let value = if random.below(8) == 0 { "\\N" } else { random.pick(values) };
            write!(line, "\t{value}").unwrap();
        }
        let row = line.replace('\t', ", ").replace("\\N", "NULL");
        server.sql_in(&name, &format!("INSERT INTO t VALUES ({row})")).unwrap();
        lines.push_str(&line);
        lines.push('\n');
    }
    let mut sizes = BTreeSet::new();
    for _ in 0..600 {
        let condition = random.condition(3);
        let filter = RowFilter::parse(&condition, &table).unwrap_or_else(|reason| panic!("{condition}: {reason}"));
        let chosen = filter.chosen_changes(changes(ChangeKind::Insert, "", &lines)).unwrap();
        let text = chosen.first().and_then(|chosen| chosen.after.as_ref()).map(|image| image.text.clone());
        let rows = text.unwrap_or_default();
        let own: Vec<&str> =
            row_texts(&rows).map(|row| std::str::from_utf8(row).unwrap().split('\t').next().unwrap()).collect();
        let found = server.sql_in(&name, &format!("SELECT id FROM t WHERE ({condition}\n) ORDER BY id")).unwrap();
        assert_eq!(own, found.split_whitespace().collect::<Vec<_>>(), "{flavor:?}: {condition}");
        sizes.insert(own.len());
    }
    assert!(sizes.len() > 50, "{sizes:?}");
    server.sql(&format!("DROP DATABASE {name}")).unwrap();
}
