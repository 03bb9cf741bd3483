-- servers: mysql
-- fidelity: view v, columns
-- a view whose text, as the server shows it, is not what it does: CHAR(... USING ...) loses its character set on MySQL, so that the view made from the text has binary columns
CREATE TABLE t (id INT PRIMARY KEY, n INT); INSERT INTO t VALUES (1,65),(2,8364);
CREATE VIEW v AS SELECT id, CHAR(n USING ucs2) AS c, CHAR(77, 121, n USING utf8mb4) AS w FROM t;
CREATE VIEW v_on AS SELECT LOWER(w) AS l FROM v;
