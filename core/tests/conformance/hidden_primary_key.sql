-- servers: mysql
-- Primary keys that MySQL made by itself and hides.
-- same: SELECT my_row_id, a FROM t ORDER BY 1
-- same: SHOW CREATE TABLE t
SET sql_generate_invisible_primary_key = 1;
CREATE TABLE t (a INT, b VARCHAR(9));
INSERT INTO t VALUES (1, 'x'), (1, 'x'), (NULL, NULL);
INSERT INTO t (my_row_id, a) VALUES (500, 2);
CREATE TABLE empty_one (a INT UNIQUE);
CREATE TABLE partitioned (a INT PRIMARY KEY) PARTITION BY HASH (a) PARTITIONS 3;
SET sql_generate_invisible_primary_key = 0;
CREATE TABLE looks_like_it (my_row_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY INVISIBLE, a INT);
INSERT INTO looks_like_it (a) VALUES (1), (2);
CREATE TABLE is_not (my_row_id INT PRIMARY KEY, a INT); INSERT INTO is_not VALUES (1, 2);
