-- servers: mysql mariadb
-- Literals whose bytes are no UTF-8, in views, routines, defaults, generated columns and checks.
-- same: SELECT HEX(a) FROM l; SELECT HEX(a) FROM s; SELECT HEX(a) FROM g; SELECT HEX(a) FROM u; SELECT HEX(a), HEX(c) FROM b
-- same: INSERT INTO t (a) VALUES (7); SELECT HEX(c), HEX(d), HEX(e), HEX(f), HEX(g), HEX(h), HEX(i) FROM t
-- same: SELECT HEX(fn())
SET NAMES utf8mb4, sql_mode = '';
CREATE VIEW l AS SELECT _latin1 x'e9fc' AS a, 'é' AS `ü`;
CREATE VIEW s AS SELECT _sjis x'835c' AS a;
CREATE VIEW g AS SELECT _gbk x'd55c' AS a, _latin1 'a\'b\\c' AS q, _utf16 x'00e90020' AS c;
CREATE VIEW u AS SELECT _utf16 x'00270041' AS a;
CREATE VIEW b AS SELECT _binary x'ff5c27000a0d1a' AS a, _binary 'a\'b' AS c;
CREATE TABLE t (a INT PRIMARY KEY, c VARCHAR(20) AS (CONCAT(_latin1 /*!80000 x'e9' */ /*M! 'e' */, a)),
  d VARCHAR(10) DEFAULT (_latin1 x'e9'), e VARBINARY(10) DEFAULT (x'ff00'), f VARBINARY(9) DEFAULT 0xfffe, b3 BINARY(3) DEFAULT x'ff0000',
  g VARCHAR(9) CHARACTER SET latin1 DEFAULT _latin1 x'e9', h VARCHAR(5) CHARACTER SET sjis DEFAULT _sjis x'835c', i VARCHAR(5) CHARACTER SET utf16 DEFAULT _utf16 x'00270041',
  n ENUM('ü', 'a\'b', '') CHARACTER SET latin1 DEFAULT 'ü', o SET('x', '表') CHARACTER SET sjis DEFAULT '表', CHECK (g <> _latin1 /*!80000 x'fc' */ /*M! 'q' */));
INSERT INTO t (a) VALUES (1);
CREATE TABLE p (a VARBINARY(9), b VARCHAR(9) CHARACTER SET latin1) PARTITION BY LIST COLUMNS (a) (PARTITION p0 VALUES IN (x'ff00', x'5c27'), PARTITION p1 VALUES IN ('a'));
INSERT INTO p VALUES (x'ff00', 'é'), ('a', NULL);
CREATE TABLE p2 (b VARCHAR(9) CHARACTER SET latin1) PARTITION BY RANGE COLUMNS (b) (PARTITION p0 VALUES LESS THAN (_latin1 x'e9'), PARTITION p1 VALUES LESS THAN (MAXVALUE));
INSERT INTO p2 VALUES ('a'), (x'ff');
CREATE FUNCTION fn() RETURNS VARCHAR(9) CHARACTER SET latin1 DETERMINISTIC RETURN CONCAT(_latin1 x'e9', _latin1 'é', '\\');
