-- servers: mysql mariadb
-- A trigger on a column that was dropped later is reported, and the rest stands.
-- fidelity: bad
-- then: DROP TRIGGER bad
CREATE TABLE t (a INT, b INT);
CREATE TRIGGER bad BEFORE INSERT ON t FOR EACH ROW SET NEW.b = 1;
CREATE TRIGGER good BEFORE UPDATE ON t FOR EACH ROW SET NEW.a = 1;
ALTER TABLE t DROP COLUMN b;
