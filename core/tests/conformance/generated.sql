-- servers: mysql mariadb
-- Generated and invisible columns, tables of nothing else, rows that are doubled without a key, hidden keys.
-- same: SELECT COUNT(*) FROM only_generated; SELECT COUNT(*) FROM only_one
-- same: INSERT INTO hidden (a) VALUES (9); SELECT a, h, g FROM hidden ORDER BY 1
SET NAMES utf8mb4, sql_mode = 'NO_AUTO_VALUE_ON_ZERO';
CREATE TABLE virtuals (a INT, b VARCHAR(20), v INT AS (a + 1), s VARCHAR(60) AS (CONCAT(b, 'ß\'"\\', a)) STORED, n INT GENERATED ALWAYS AS (a * 2) VIRTUAL COMMENT 'AS (1)', KEY (v), UNIQUE KEY (s), KEY m (a, v));
INSERT INTO virtuals (a, b) VALUES (1, 'x'), (NULL, NULL), (-5, ''), (7, 'größe');
CREATE TABLE only_generated (a INT AS (1 + 1), b VARCHAR(9) AS ('x') STORED);
INSERT INTO only_generated VALUES (), (), ();
CREATE TABLE only_one (a INT AS (7) STORED);
INSERT INTO only_one VALUES ();
CREATE TABLE first_and_last (v INT AS (b + 1) VIRTUAL, b INT, w INT AS (v + 1) STORED);
INSERT INTO first_and_last (b) VALUES (1), (1), (1), (2), (NULL), (NULL);
CREATE TABLE hidden (a INT, h INT INVISIBLE DEFAULT 3, g INT AS (a + h) VIRTUAL INVISIBLE, `h``h` VARCHAR(9) INVISIBLE DEFAULT 'x');
INSERT INTO hidden (a, h, `h``h`) VALUES (1, 2, 'y'), (3, NULL, NULL), (3, NULL, NULL);
CREATE TABLE hidden_key (id INT AUTO_INCREMENT INVISIBLE PRIMARY KEY, a INT) AUTO_INCREMENT = 77;
INSERT INTO hidden_key (a) VALUES (1), (1);
CREATE TABLE doubled (a INT, b VARCHAR(9), c FLOAT);
INSERT INTO doubled VALUES (1, 'a', 0.1), (1, 'a', 0.1), (1, 'A', 0.1), (NULL, NULL, NULL), (NULL, NULL, NULL), (1, 'a ', 0.1);
CREATE TABLE key_of_generated (a INT, g INT AS (a DIV 2) STORED, /*!80000 PRIMARY */ /*M! UNIQUE */ KEY (g, a));
INSERT INTO key_of_generated (a) VALUES (1), (2), (3);
CREATE TABLE nullable_unique (a INT, b INT, UNIQUE KEY (a), UNIQUE KEY (a, b));
INSERT INTO nullable_unique VALUES (NULL, 1), (NULL, 1), (NULL, NULL), (1, NULL), (2, 2);
CREATE TABLE counted (id INT AUTO_INCREMENT PRIMARY KEY, a INT); INSERT INTO counted VALUES (0, 1), (-5, 2), (9, 3);
CREATE TABLE counted_beside (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, e ENUM('a', 'b'), s SET('x')); INSERT INTO counted_beside VALUES (0, 'b', 'x'), (7, 'a', ''), (4294967295, 'b', '');
CREATE TABLE counted_far (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY) AUTO_INCREMENT = 18446744073709551000; INSERT INTO counted_far VALUES (18446744073709551610), (0);
CREATE TABLE counted_empty (id TINYINT AUTO_INCREMENT PRIMARY KEY) AUTO_INCREMENT = 100;
CREATE TABLE counted_deleted (a INT, id INT AUTO_INCREMENT, KEY (id)); INSERT INTO counted_deleted (a) VALUES (1), (2), (3); DELETE FROM counted_deleted WHERE id > 1;
CREATE TABLE counted_float (id DOUBLE /*!80000 NOT NULL */ /*M! AUTO_INCREMENT */ PRIMARY KEY); INSERT INTO counted_float VALUES (1), (2.5);
CREATE TABLE counted_second (a INT, id INT AUTO_INCREMENT, PRIMARY KEY (a, id)) ENGINE = MyISAM; INSERT INTO counted_second (a) VALUES (1), (1), (2), (1);
CREATE TABLE of_functions (j JSON, u INT AS (JSON_EXTRACT(j, '$.a')) STORED, t TEXT AS (JSON_UNQUOTE(JSON_EXTRACT(j, '$."b c"'))) VIRTUAL, d DATE AS (STR_TO_DATE(JSON_UNQUOTE(JSON_EXTRACT(j, '$.d')), '%Y-%m-%d')) STORED);
INSERT INTO of_functions (j) VALUES ('{"a": 1, "b c": "it''s", "d": "2024-02-29"}'), (NULL);
