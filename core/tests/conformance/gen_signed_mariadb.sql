-- servers: mariadb
-- Differences of numbers without a sign: MariaDB makes a stored one, and adds a key or a foreign key beside it, only in a session with NO_UNSIGNED_SUBTRACTION; others are an error elsewhere
-- fidelity: entries of index s
SET sql_mode = 'NO_UNSIGNED_SUBTRACTION';
CREATE TABLE su (id INT PRIMARY KEY, a BIGINT UNSIGNED, b BIGINT UNSIGNED, s BIGINT AS (a - b) STORED, v VARCHAR(9), parent INT, KEY v (v), KEY s2 (s), FOREIGN KEY parent (parent) REFERENCES su (id));
INSERT INTO su (id, a, b, parent) VALUES (1,5,3,NULL),(2,3,5,1),(3,NULL,1,1);
CREATE TABLE ix (id INT PRIMARY KEY, a BIGINT UNSIGNED, b BIGINT UNSIGNED, s BIGINT AS (a - b) VIRTUAL, KEY s (s));
INSERT INTO ix (id, a, b) VALUES (1,5,3),(2,9,5);
CREATE TABLE sub (id INT, u INT UNSIGNED) PARTITION BY RANGE (id) SUBPARTITION BY HASH (u - 3) SUBPARTITIONS 2 (PARTITION a VALUES LESS THAN (2), PARTITION b VALUES LESS THAN MAXVALUE);
INSERT INTO sub VALUES (1,0),(2,10);
SET sql_mode = DEFAULT;
