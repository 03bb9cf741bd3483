-- servers: mysql mariadb
-- Views over views and functions, made in any order; algorithms, security, check options; texts in other character sets.
-- fidelity: broken
-- fidelity: on_broken
-- same: SELECT * FROM a_first
-- same: SELECT HEX(latin), HEX(wide), HEX(plain), HEX(bits) FROM literals
-- same: SELECT * FROM `recursive`
-- then: DROP VIEW broken, on_broken
SET NAMES utf8mb4;
CREATE TABLE t (id INT PRIMARY KEY, `a b` VARCHAR(20), n DECIMAL(10, 2), `from` DATE);
INSERT INTO t VALUES (1, 'x', 1.5, '2024-02-29'), (2, 'größe', NULL, NULL);
CREATE TABLE gone (a INT);
CREATE FUNCTION z_twice(n INT) RETURNS INT DETERMINISTIC RETURN n * 2;
CREATE VIEW z_last AS SELECT id, `a b`, n FROM t;
CREATE VIEW middle AS SELECT z_twice(id) AS twice, `a b` AS `c``d` FROM z_last;
CREATE VIEW a_first AS SELECT m.twice, z.`a b`, {db}.z_twice(z.id) AS again FROM middle AS m JOIN z_last AS z ON m.twice = z.id * 2;
CREATE ALGORITHM = MERGE SQL SECURITY INVOKER VIEW merged AS SELECT `a b` FROM t WHERE id > 0 WITH LOCAL CHECK OPTION;
CREATE ALGORITHM = TEMPTABLE VIEW temporary_one AS SELECT COUNT(*) AS c FROM t GROUP BY `a b`;
CREATE VIEW checked AS SELECT id, n FROM t WHERE n > 1 WITH CASCADED CHECK OPTION;
CREATE VIEW checked_again AS SELECT id FROM checked WHERE id < 9 WITH CHECK OPTION;
CREATE VIEW renamed_columns (`1`, `select`, `x.y`) AS SELECT id, n, 'it''s \\ "so" -- no /* comment */ #' FROM t;
CREATE VIEW literals AS SELECT _latin1 x'e9fc' AS latin, _utf16 x'00e9' AS wide, 'ß表😀' AS plain, b'101' AS bits, _binary x'00ff5c27' AS bytes,
  DATE '2024-02-29' AS d, TIMESTAMP '2024-02-29 12:00:00.5' AS ts, 1e300 AS e, 0x5c AS hex, 'a\tb\nc\0d\Ze%\_' AS escapes;
CREATE VIEW collated AS SELECT 'a' COLLATE utf8mb4_bin = 'A' AS same, CONVERT('ä' USING latin1) COLLATE latin1_german2_ci AS c, CAST('x' AS CHAR(3) CHARACTER SET ucs2) AS u;
CREATE VIEW `recursive` AS WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 5), m (j) AS (SELECT i FROM n) SELECT * FROM m JOIN n ON i = j;
CREATE VIEW `windows` AS SELECT id, ROW_NUMBER() OVER w AS r, SUM(n) OVER (PARTITION BY `a b` ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM t WINDOW w AS (ORDER BY id DESC);
CREATE VIEW united AS (SELECT id FROM t ORDER BY id LIMIT 1) UNION ALL SELECT 7 UNION (SELECT 8 FROM DUAL);
CREATE VIEW nested AS SELECT (SELECT MAX(id) FROM t WHERE t.id <= o.id) AS m, EXISTS (SELECT 1 FROM {db}.t AS i WHERE i.id = o.id) AS e FROM {db}.t AS o WHERE o.id IN (SELECT id FROM z_last);
CREATE VIEW derived AS SELECT d.c, CASE d.c WHEN 1 THEN 'one' ELSE 'more' END AS w, d.c DIV 2 AS h, NOT d.c AS n, d.c IS NULL AS i, d.c BETWEEN 1 AND 2 AS b FROM (SELECT COUNT(*) AS c FROM t) AS d;
CREATE VIEW times AS SELECT `from` + INTERVAL 1 DAY AS next_day, EXTRACT(YEAR_MONTH FROM `from`) AS ym, TIMESTAMPDIFF(DAY, `from`, '2025-01-01') AS days, DATE_FORMAT(`from`, '%d.%m.%Y') AS f FROM t;
CREATE VIEW joins AS SELECT a.id FROM t AS a LEFT JOIN (t AS b JOIN t AS c USING (id)) ON a.id = b.id RIGHT JOIN t AS d ON d.id = a.id STRAIGHT_JOIN t AS e;
CREATE VIEW natural_join AS SELECT * FROM t NATURAL JOIN t AS f;
CREATE VIEW broken AS SELECT a FROM gone;
CREATE VIEW on_broken AS SELECT a FROM broken;
DROP TABLE gone;
CREATE TABLE d (a DATE, s VARCHAR(20), n INT); INSERT INTO d VALUES ('2024-02-29', 'abc', 0);
CREATE VIEW careless AS SELECT CAST('abc' AS SIGNED) AS a, 1 / 0 AS b, DATE_ADD('2024-02-30', INTERVAL 1 DAY) AS c, s + 1 AS d, a > 'nonsense' AS e, STR_TO_DATE('00.00.0000', '%d.%m.%Y') AS f FROM d WHERE a <> '0000-00-00';
