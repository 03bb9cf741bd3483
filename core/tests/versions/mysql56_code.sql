-- servers: mysql56
-- Code as old servers have it: literals and parameters without COLLATE, modes and words that newer servers do not know.
-- same: SELECT * FROM same_words
-- same: SELECT sharp('ß'), declared(), compared('ß', 'ss')
-- same: SELECT * FROM counted
-- same: SELECT * FROM words WHERE word = 'ß'
-- same: CALL listed()
-- same: SELECT sql_mode_then()
-- same: CALL ranked()
SET NAMES utf8mb4, sql_mode = 'NO_ENGINE_SUBSTITUTION', time_zone = '+00:00';
CREATE TABLE words (id INT PRIMARY KEY, word VARCHAR(20) CHARACTER SET utf8mb4, day DATE, UNIQUE KEY (word)) ENGINE = InnoDB;
INSERT INTO words VALUES (1, 'ss', '2015-01-01'), (2, 'ß', '0000-00-00'), (3, 'SZ', NULL), (4, 'æ', '2015-01-31'), (5, 'ae', '2015-02-28');
CREATE VIEW same_words AS SELECT _utf8mb4'ss' = _utf8mb4'ß' AS literal, _utf8mb4'a' = _utf8mb4'a ' AS padded, CONVERT(_latin1 0xDF USING utf8mb4) = _utf8mb4'ss' AS converted;
CREATE VIEW counted AS SELECT word, COUNT(*) AS c FROM words GROUP BY word ORDER BY word;
CREATE VIEW sorted AS SELECT day, COUNT(*) AS c FROM words GROUP BY day DESC;
CREATE FUNCTION sharp(s VARCHAR(20) CHARACTER SET utf8mb4) RETURNS INT DETERMINISTIC RETURN s = 'ss';
CREATE FUNCTION compared(a VARCHAR(20) CHARACTER SET utf8mb4, b VARCHAR(20) CHARACTER SET utf8mb4) RETURNS VARCHAR(20) CHARACTER SET utf8mb4 DETERMINISTIC RETURN IF(a = b, 'equal', 'different');
CREATE FUNCTION sql_mode_then() RETURNS VARCHAR(200) NO SQL RETURN CONCAT(LEFT('abc', 2), '|', 1 / 0 IS NULL);
CREATE TABLE ranks (id INT PRIMARY KEY, rank INT, system VARCHAR(10)) ENGINE = InnoDB; INSERT INTO ranks VALUES (1, 2, 'x'), (2, 1, 'y');
CREATE FUNCTION hashed(s VARCHAR(20)) RETURNS VARCHAR(41) DETERMINISTIC RETURN PASSWORD(s);
DELIMITER //
CREATE PROCEDURE ranked() BEGIN SELECT rank, system FROM ranks ORDER BY rank; END//
CREATE FUNCTION declared() RETURNS INT DETERMINISTIC BEGIN DECLARE s VARCHAR(20) CHARACTER SET utf8mb4 DEFAULT 'ß'; RETURN s = 'ss'; END//
CREATE PROCEDURE listed() BEGIN SELECT id, word FROM words ORDER BY id; END//
CREATE TRIGGER kept_short BEFORE INSERT ON words FOR EACH ROW BEGIN IF NEW.word = 'ß' THEN SET NEW.day = '2015-05-05'; END IF; END//
SET sql_mode = 'NO_AUTO_CREATE_USER,STRICT_TRANS_TABLES,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO'//
CREATE PROCEDURE under_old_modes(IN a INT) BEGIN INSERT INTO words (id) VALUES (a); END//
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 00:00:00' DISABLE COMMENT 'old' DO DELETE FROM words WHERE id > 100//
DELIMITER ;
