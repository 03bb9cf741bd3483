-- servers: mysql
-- What MySQL 9 brought: routines in JavaScript, libraries, duality views, VECTOR.
-- same: SELECT data FROM dv
SET NAMES utf8mb4;
CREATE TABLE parent (id INT PRIMARY KEY, a INT, `it's` VARCHAR(9)); INSERT INTO parent VALUES (1, 2, 'x');
CREATE TABLE child (id INT PRIMARY KEY, p INT, KEY (p), FOREIGN KEY (p) REFERENCES parent (id)); INSERT INTO child VALUES (10, 1), (11, 1);
CREATE JSON RELATIONAL DUALITY VIEW dv AS SELECT JSON_DUALITY_OBJECT('_id': id, 'a': a, 'it''s': `it's`) FROM parent;
CREATE JSON RELATIONAL DUALITY VIEW dv_nested AS SELECT JSON_DUALITY_OBJECT(WITH (INSERT, UPDATE) '_id': id, 'children': (SELECT JSON_ARRAYAGG(JSON_DUALITY_OBJECT('c': id, 'p': p)) FROM child WHERE child.p = parent.id)) FROM parent;
CREATE FUNCTION js(a INT, `b c` VARCHAR(9)) RETURNS INT DETERMINISTIC LANGUAGE JAVASCRIPT AS $js$
  // `it's` "so" $$ {db} t -- no
  return a + 1; /* ' */
$js$;
CREATE PROCEDURE js_p() NO SQL COMMENT 'it''s' LANGUAGE JAVASCRIPT AS 'console.log("größe")';
CREATE LIBRARY lib LANGUAGE JAVASCRIPT AS $$ export function f(n) { return `${n} it's`; } $$;
CREATE FUNCTION uses(n INT) RETURNS INT DETERMINISTIC LANGUAGE JAVASCRIPT USING ({db}.lib AS l) AS $$ return l.f(n) $$;
CREATE PROCEDURE uses_too() LANGUAGE JAVASCRIPT USING (lib) AS $$ lib.f(1) $$;
CREATE MATERIALIZED VIEW kept AS SELECT id, a FROM parent WHERE a > 0;
