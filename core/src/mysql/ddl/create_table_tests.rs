use super::*;

fn split(create: &str) -> TableDdl {
    split_table(create, Dialect::default()).unwrap()
}

fn table(lines: &[&str], options: &str) -> String {
    format!("CREATE TABLE `t` (\n  {}\n) {options}", lines.join(",\n  "))
}

fn deferred(ddl: &TableDdl) -> Vec<&str> {
    ddl.deferred_keys.iter().map(|key| key.name.as_str()).collect()
}

#[test]
fn keys_and_foreign_keys_are_added_after_the_rows() {
    let ddl = split(&table(
        &[
            "`id` bigint unsigned NOT NULL AUTO_INCREMENT",
            "`a` int DEFAULT NULL",
            "PRIMARY KEY (`id`)",
            "UNIQUE KEY `u` (`a`)",
            "KEY `k` (`a`,`id`) /*!80000 INVISIBLE */",
            "FULLTEXT KEY `f` (`a`) /*!50100 WITH PARSER `ngram` */ ",
            "SPATIAL KEY `s` (`a`)",
            "CONSTRAINT `c` CHECK ((`a` > 1)) /*!80016 NOT ENFORCED */",
            "CONSTRAINT `r` FOREIGN KEY (`a`) REFERENCES `t` (`id`) ON DELETE CASCADE",
        ],
        "ENGINE=InnoDB AUTO_INCREMENT=77 DEFAULT CHARSET=utf8mb4",
    ));
    assert_eq!(
        ddl.create,
        table(
            &[
                "`id` bigint unsigned NOT NULL AUTO_INCREMENT",
                "`a` int DEFAULT NULL",
                "PRIMARY KEY (`id`)",
                "CONSTRAINT `c` CHECK ((`a` > 1)) /*!80016 NOT ENFORCED */",
            ],
            "ENGINE=InnoDB AUTO_INCREMENT=77 DEFAULT CHARSET=utf8mb4"
        )
    );
    assert_eq!(deferred(&ddl), ["u", "k", "f", "s"]);
    assert_eq!(ddl.deferred_keys[1].definition, "KEY `k` (`a`,`id`) /*!80000 INVISIBLE */");
    assert_eq!(ddl.deferred_keys[2].definition, "FULLTEXT KEY `f` (`a`) /*!50100 WITH PARSER `ngram` */");
    assert_eq!(ddl.foreign_keys.len(), 1);
    assert!(ddl.create_with_keys.contains("SPATIAL KEY `s`") && !ddl.create_with_keys.contains("REFERENCES"));
    assert_eq!(ddl.engine.as_deref(), Some("InnoDB"));
}

#[test]
fn a_table_without_deferred_keys_stays_unchanged() {
    for create in [
        table(&["`a` int"], "ENGINE=InnoDB"),
        "create temporary table if not exists d.t(a int,primary key(a))engine=innodb".to_owned(),
        table(&["`u` uuid DEFAULT uuid()", "PERIOD FOR `p` (`a`, `b`)", "VECTOR KEY `v` (`a`) `m`=5"], "ENGINE=InnoDB"),
        table(
            &["`my_row_id` bigint unsigned NOT NULL AUTO_INCREMENT /*!80023 INVISIBLE */", "PRIMARY KEY (`my_row_id`)"],
            "ENGINE=InnoDB",
        ),
    ] {
        let ddl = split(&create);
        assert_eq!(ddl.create, create);
        assert!(ddl.deferred_keys.is_empty() && ddl.foreign_keys.is_empty());
    }
}

#[test]
fn clauses_are_not_found_in_names_and_strings() {
    let lines = [
        "`i``d\n),` bigint NOT NULL AUTO_INCREMENT COMMENT 'AUTO_INCREMENT=9, it''s \\\\ \"q\" */ -- \nKEY `z` (`z`),\n'",
        "`KEY` varchar(50) NOT NULL DEFAULT 'KEY `x` (`y`),\\n)\\''",
        "`g` int GENERATED ALWAYS AS (length(concat(`KEY`,_utf8mb4')',_utf8mb4',\\'',_utf8mb4'\"'))) STORED",
        "`e` enum('a,''b','c)','d\\\\') DEFAULT NULL",
        "PRIMARY KEY (`i``d\n),`)",
        "CONSTRAINT `FOREIGN KEY` CHECK (`KEY` <> ')\\', FOREIGN KEY (`a`) REFERENCES `b` (`c`)')",
    ];
    let options = "ENGINE=InnoDB COMMENT='AUTO_INCREMENT=5 DATA DIRECTORY=''/x'' '','";
    let ddl = split(&table(&[&lines[..], &["KEY `k,` (`KEY`) COMMENT 'hi, ) `x`'"]].concat(), options));
    assert_eq!(ddl.create, table(&lines, options));
    assert_eq!(deferred(&ddl), ["k,"]);
    assert_eq!(ddl.deferred_keys[0].definition, "KEY `k,` (`KEY`) COMMENT 'hi, ) `x`'");
}

#[test]
fn a_string_ends_where_the_dialect_says() {
    let create = table(&["`a` int DEFAULT '\\'", "KEY `k` (`a`)"], "ENGINE=InnoDB");
    let raw = Dialect { ansi_quotes: false, no_backslash_escapes: true };
    assert_eq!(deferred(&split_table(&create, raw).unwrap()), ["k"]);
    let ansi = Dialect { ansi_quotes: true, no_backslash_escapes: false };
    let create = "CREATE TABLE \"t\" (\n  \"a,\" int,\n  KEY \"k\\\" (\"a,\")\n) ENGINE=InnoDB";
    assert_eq!(deferred(&split_table(create, ansi).unwrap()), ["k\\"]);
}

#[test]
fn auto_increment_keeps_its_indexes() {
    let lines =
        ["`a` int NOT NULL", "`b` int NOT NULL AUTO_INCREMENT", "KEY `b` (`b`)", "KEY `ab` (`a`,`b`)", "KEY `a` (`a`)"];
    let other_primary = [&lines[..], &["PRIMARY KEY (`a`)"]].concat();
    let own_primary = [&lines[..], &["PRIMARY KEY (`b`,`a`)"]].concat();
    let late_primary = [&lines[..], &["PRIMARY KEY (`a`,`b`)"]].concat();
    for engine in ["ENGINE=InnoDB", "ENGINE=MyISAM", "ENGINE=Aria"] {
        assert_eq!(deferred(&split(&table(&lines, engine))), ["a"]);
        assert_eq!(deferred(&split(&table(&other_primary, engine))), ["a"]);
        assert_eq!(deferred(&split(&table(&late_primary, engine))), ["a"]);
        assert_eq!(deferred(&split(&table(&own_primary, engine))), ["b", "ab", "a"]);
    }
}

#[test]
fn the_key_that_identifies_rows_stays() {
    let lines = [
        "`a` varchar(9) NOT NULL",
        "`b` int NOT NULL",
        "`c` int DEFAULT NULL /* NOT NULL */ COMMENT 'NOT NULL'",
        "UNIQUE KEY `nullable` (`b`,`c`)",
        "UNIQUE KEY `prefix` (`a`(3))",
        "UNIQUE KEY `expression` ((`b` + 1))",
        "UNIQUE KEY `first` (`a`,`b`)",
        "UNIQUE KEY `second` (`b`)",
    ];
    let ddl = split(&table(&lines, "ENGINE=InnoDB"));
    // Servers print it first. Every index before one that stays has to stay too, for the order of indexes.
    assert_eq!(deferred(&ddl), ["second"]);
    let ddl = split(&table(&[&lines[..], &["PRIMARY KEY (`b`)"]].concat(), "ENGINE=InnoDB"));
    assert_eq!(ddl.deferred_keys.len(), 5);
}

#[test]
fn keys_that_cannot_be_deferred_stay() {
    let period = ["`a` int", "PERIOD FOR `p` (`x`, `y`)", "UNIQUE KEY `n` (`a`,`p` WITHOUT OVERLAPS)", "KEY `k` (`a`)"];
    assert_eq!(deferred(&split(&table(&period, "ENGINE=InnoDB"))), ["k"]);
    assert_eq!(deferred(&split(&table(&["`a` text", "UNIQUE KEY `l` (`a`) USING HASH"], "ENGINE=InnoDB"))), [""; 0]);
    let keyed = ["`a` int", "KEY `k` (`a`)"];
    for engine in ["ENGINE=MEMORY", "ENGINE=ROCKSDB", "ENGINE=InnoDB WITH SYSTEM VERSIONING", "DEFAULT CHARSET=utf8mb4"]
    {
        assert_eq!(split(&table(&keyed, engine)).create, table(&keyed, engine));
    }
    let versioned = [&keyed[..], &["PERIOD FOR SYSTEM_TIME (`s`, `e`)"]].concat();
    assert_eq!(deferred(&split(&table(&versioned, "ENGINE=InnoDB"))), [""; 0]);
}

#[test]
fn a_conditional_comment_over_two_items_is_not_split() {
    let create = table(&["`a` int", "/*!50100 KEY `k` (`a`)", "KEY `l` (`a`) */", "KEY `m` (`a`)"], "ENGINE=InnoDB");
    let ddl = split(&create);
    assert_eq!(deferred(&ddl), ["m"]);
    assert!(ddl.create.contains("/*!50100 KEY `k` (`a`),\n  KEY `l` (`a`) */\n)"));
}

#[test]
fn an_error_names_the_expected_token_and_its_position() {
    let error = |create: &str| split_table(create, Dialect::default()).unwrap_err().to_string();
    assert!(error("CREATE VIEW `v` AS select 1").ends_with("expected TABLE at byte 7, near \"VIEW\""));
    assert!(error("CREATE TABLE `t` ENGINE=InnoDB").contains("expected a bracketed list of columns at byte 17"));
    assert!(error("CREATE TABLE `t` (`a` int, `b").contains("bracketed list"));
    assert!(error("CREATE TABLE ").ends_with("expected the table's name at byte 13, where the text ends"));
    assert!(error("").contains("expected CREATE"));
}

#[test]
fn an_archive_table_gets_its_counter_after_the_rows() {
    let create = "CREATE TABLE `a` (\n  `id` int NOT NULL AUTO_INCREMENT COMMENT 'AUTO_INCREMENT',\n  `b` int,\n  \
                  PRIMARY KEY (`id`)\n) ENGINE=ARCHIVE AUTO_INCREMENT=7";
    let ddl = split_table(create, Dialect::default()).unwrap();
    assert_eq!(
        ddl.create,
        "CREATE TABLE `a` (\n  `id` int NOT NULL  COMMENT 'AUTO_INCREMENT',\n  `b` int\n) ENGINE=ARCHIVE AUTO_INCREMENT=7"
    );
    let [key] = ddl.deferred_keys.as_slice() else { panic!("{:?}", ddl.deferred_keys) };
    assert_eq!(
        key.definition,
        "PRIMARY KEY (`id`), MODIFY `id` int NOT NULL AUTO_INCREMENT COMMENT 'AUTO_INCREMENT', AUTO_INCREMENT = 1, ORDER BY `id`"
    );
    assert!(ddl.always_defers());
}
