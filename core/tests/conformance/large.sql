-- servers: mysql mariadb
-- Tables large enough for their keys to wait for the rows, and tables in memory larger than a server allows by default.
-- same: SELECT COUNT(*) FROM in_memory
SET NAMES utf8mb4, max_heap_table_size = 134217728;
CREATE TABLE numbers (n INT PRIMARY KEY);
INSERT INTO numbers WITH RECURSIVE n AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 149) SELECT a.n * 150 + b.n FROM n AS a JOIN n AS b;
CREATE TABLE in_memory (id INT PRIMARY KEY, c CHAR(200) CHARACTER SET utf8mb4, KEY (c)) ENGINE = MEMORY;
INSERT INTO in_memory SELECT n, REPEAT('é', n % 200) FROM numbers WHERE n < 22000;
CREATE TABLE many_keys (a INT, n INT NOT NULL, v VARCHAR(300), t TEXT, g GEOMETRY NOT NULL /*!80003 SRID 0 */, h INT AS (n + 1) VIRTUAL, s INT AS (n % 7) STORED, id INT AUTO_INCREMENT,
  KEY first_one (v(20)), UNIQUE KEY u (n), KEY counter (id, a), FULLTEXT KEY f (t), SPATIAL KEY g (g), KEY after_it (a DESC, n), UNIQUE KEY u2 (id, v(5)), KEY vh (h), FULLTEXT KEY f2 (v, t), KEY sh (s), CONSTRAINT to_it FOREIGN KEY (a) REFERENCES many_keys (n), CHECK (n >= 0), KEY last_one (n, a, v(3)) COMMENT 'it''s') AUTO_INCREMENT = 7;
INSERT INTO many_keys (a, n, v, t, g) SELECT NULL, n, REPEAT(CHAR(97 + n % 26), n % 300), CONCAT('word', n, ' ', REPEAT('x ', 20)), POINT(n, n) FROM numbers WHERE n < 6000;
CREATE TABLE no_primary (a VARCHAR(300) NOT NULL, b INT NOT NULL, KEY k (b), UNIQUE KEY p (a(10), b), UNIQUE KEY u (b, a(3)), UNIQUE KEY whole (b));
INSERT INTO no_primary SELECT REPEAT('y', 200), n FROM numbers WHERE n < 7000;
/*!80000 CREATE TABLE elsewhere (id INT PRIMARY KEY, v VARCHAR(300), KEY k (v), KEY l (id, v)) SECONDARY_ENGINE = rapid */;
/*M! CREATE TABLE elsewhere (id INT PRIMARY KEY, v VARCHAR(300), KEY k (v), KEY l (id, v)) ENGINE = Aria PAGE_CHECKSUM = 1 */;
INSERT INTO elsewhere SELECT n, REPEAT('z', 200) FROM numbers WHERE n < 7000;
CREATE TABLE by_parts (id INT, v VARCHAR(300), KEY k (v), KEY l (id)) PARTITION BY HASH (id) PARTITIONS 4;
INSERT INTO by_parts SELECT n, REPEAT('z', 200) FROM numbers WHERE n < 7000;
CREATE TABLE my_rows (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(200), t TEXT, KEY k (v), FULLTEXT KEY f (t)) ENGINE = MyISAM;
INSERT INTO my_rows (v, t) SELECT REPEAT('z', 200), CONCAT('word', n) FROM numbers WHERE n < 7000;
ANALYZE TABLE in_memory, many_keys, no_primary, elsewhere, by_parts, my_rows;
DROP TABLE numbers;
