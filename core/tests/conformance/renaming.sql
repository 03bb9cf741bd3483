-- servers: mysql mariadb
-- References that mean the clone follow it; those that mean another database, a column or a text stay.
-- elsewhere: CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(20)); INSERT INTO t VALUES (1, 'elsewhere')
-- elsewhere: CREATE FUNCTION f() RETURNS VARCHAR(20) NO SQL RETURN 'elsewhere'
-- same: SELECT * FROM v; SELECT * FROM v_other; SELECT {db}.calls(3)
-- same: CALL p(); CALL mixed()
-- same: UPDATE t SET s = 'new' WHERE id = 1; SELECT * FROM log
-- same: CALL shows('t')
-- same: CALL `dynamic`()
SET NAMES utf8mb4;
CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(20), `{db}` INT);
CREATE TABLE log (id INT AUTO_INCREMENT PRIMARY KEY, w VARCHAR(200));
INSERT INTO t VALUES (1, 'here', 7), (2, 'there', 8);
CREATE FUNCTION f() RETURNS VARCHAR(20) READS SQL DATA RETURN (SELECT s FROM {db}.t WHERE {db}.t.id = 1);
CREATE FUNCTION calls(n INT) RETURNS VARCHAR(50) READS SQL DATA RETURN CONCAT({db}.f(), `{db}`.`f`(), {other}.f(), n);
CREATE VIEW v AS SELECT {db}.f() AS f, t.s, {db}.t.id FROM {db}.t WHERE t.id IN (SELECT id FROM {db}.t);
CREATE VIEW v_other AS SELECT o.s, {other}.f() AS f FROM {other}.t AS o JOIN {db}.t ON o.id = {db}.t.id;
CREATE TRIGGER tr AFTER UPDATE ON {db}.t FOR EACH ROW INSERT INTO {db}.log (w) SELECT CONCAT(NEW.s, {db}.f(), (SELECT s FROM {other}.t)) ;
CREATE EVENT e ON SCHEDULE EVERY 1 YEAR STARTS '2038-01-01 00:00:00' DO DELETE {db}.t FROM {db}.t JOIN {other}.t AS o ON o.id = {db}.t.id WHERE 0;
DELIMITER //
CREATE PROCEDURE p()
BEGIN
  -- {db} t is not touched in comments /* {db} */
  DECLARE x INT DEFAULT (SELECT COUNT(*) FROM {db}.t);
  DECLARE c CURSOR FOR SELECT id FROM {db}.t;
  SELECT 'a string: {db} t', x, {db}.t.id, `{db}`.`t`.`s` FROM {db}.t, {other}.t AS o WHERE o.id = {db}.t.id;
  INSERT INTO {db}.log (w) VALUES ('x');
  UPDATE {db}.log AS l, {other}.t SET l.w = 'y' WHERE {other}.t.id = 0;
  REPLACE {db}.log (id, w) VALUES (1000, 'z');
  DELETE FROM {db}.log WHERE id = 1000;
  TRUNCATE TABLE {db}.log;
  CALL {db}.q(1);
  CREATE TEMPORARY TABLE {db}.tmp LIKE {db}.t;
  DROP TEMPORARY TABLE IF EXISTS {db}.tmp;
END//
CREATE PROCEDURE q(n INT) SELECT n FROM DUAL WHERE EXISTS (SELECT * FROM {db}.t)//
-- Here the name is also a column: only what must be a table follows.
CREATE PROCEDURE mixed()
BEGIN
  SELECT t.`{db}`, {db}.t.s FROM {db}.t ORDER BY {db}.t.`{db}`;
  SELECT u.{db} FROM {db}.t AS u WHERE u.{db} > 0 ORDER BY 1;
END//
CREATE PROCEDURE shows(n VARCHAR(20))
BEGIN
  SHOW FULL TABLES FROM {db} LIKE 't';
  SHOW COLUMNS FROM t IN {db} LIKE 's';
  SHOW INDEX FROM {db}.t WHERE Key_name = 'none';
END//
CREATE PROCEDURE `dynamic`()
BEGIN
  SET @q = CONCAT('SELECT s FROM `', DATABASE(), '`.t WHERE id = 1');
  PREPARE s FROM @q; EXECUTE s; DEALLOCATE PREPARE s;
END//
DELIMITER ;
