-- servers: mysql mariadb
-- Several triggers of one event in their order; every body, mode and character set.
-- same: INSERT INTO t VALUES (100, 'n'); SELECT s FROM t WHERE id = 100; SELECT w FROM log ORDER BY id
SET NAMES utf8mb4, time_zone = '+00:00';
CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(200));
CREATE TABLE log (id INT AUTO_INCREMENT PRIMARY KEY, w VARCHAR(200));
CREATE TABLE `select` (`from` INT, `a``b` INT, KEY (`from`));
INSERT INTO t VALUES (1, 'kept');
CREATE TRIGGER m BEFORE INSERT ON t FOR EACH ROW SET NEW.s = CONCAT(NEW.s, 'm');
CREATE TRIGGER a BEFORE INSERT ON t FOR EACH ROW FOLLOWS m SET NEW.s = CONCAT(NEW.s, 'a');
CREATE TRIGGER z BEFORE INSERT ON t FOR EACH ROW PRECEDES m SET NEW.s = CONCAT(NEW.s, 'z');
CREATE TRIGGER q BEFORE INSERT ON t FOR EACH ROW FOLLOWS m SET NEW.s = CONCAT(NEW.s, 'q');
CREATE TRIGGER `follows` BEFORE INSERT ON t FOR EACH ROW PRECEDES `q` SET NEW.s = CONCAT(NEW.s, 'f');
CREATE TRIGGER after_it AFTER INSERT ON {db}.t FOR EACH ROW INSERT INTO {db}.log (w) VALUES (NEW.s);
CREATE TRIGGER {db}.qualified AFTER UPDATE ON {db}.t FOR EACH ROW INSERT INTO {db}.log (w) SELECT CONCAT(OLD.s, NEW.s) FROM {db}.t WHERE {db}.t.id = NEW.id;
CREATE TRIGGER `trig``ger '"` BEFORE DELETE ON `select` FOR EACH ROW SET @`a``b` = OLD.`a``b`, @x = OLD.`from`;
DELIMITER //
CREATE TRIGGER big BEFORE UPDATE ON t FOR EACH ROW
-- a comment */ with ; and // not a delimiter here: $$
BEGIN
  /* DEFINER=`x`@`y` ; */ # another
  DECLARE n, m INT DEFAULT 0;
  DECLARE CONTINUE HANDLER FOR SQLEXCEPTION, NOT FOUND BEGIN SET n = -1; END;
  lab: LOOP
    SET n = n + 1;
    IF n > 3 THEN LEAVE lab; END IF;
  END LOOP lab;
  CASE WHEN NEW.s = 'a;b' THEN SET NEW.s = 'it''s \'\\ "'; ELSE BEGIN END; END CASE;
  SET NEW.s = CONCAT(NEW.s, ' -- no comment', ' /* nor this */', "dq;");
END//
DELIMITER ;
SET sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT';
CREATE TRIGGER "ansi ""q" BEFORE UPDATE ON "select" FOR EACH ROW SET NEW."from" = NEW."a`b", @x = 'a"' || '`b';
SET sql_mode = 'NO_BACKSLASH_ESCAPES';
CREATE TRIGGER raw_one AFTER DELETE ON t FOR EACH ROW SET @x = 'a\', @y = '\n''\';
SET sql_mode = 'NO_ZERO_DATE,STRICT_ALL_TABLES,ONLY_FULL_GROUP_BY';
CREATE TRIGGER strict_one BEFORE DELETE ON t FOR EACH ROW SET @x = 'größe 表😀';
SET sql_mode = '';
SET NAMES latin1;
CREATE TRIGGER `latÄn` AFTER UPDATE ON `select` FOR EACH ROW SET @x = 'grÃ¶Ã ';
SET NAMES utf8mb4;
ALTER DATABASE CHARACTER SET latin2;
CREATE TRIGGER other_home AFTER INSERT ON `select` FOR EACH ROW SET @x = CONCAT('č', NEW.`from`);
