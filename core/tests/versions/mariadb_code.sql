-- servers: mariadb
-- Code whose results follow from the default collation of a character set, and modes that other servers do not know.
-- same: SELECT * FROM same_words
-- same: SELECT sharp('ß'), declared()
-- same: SELECT id, same FROM computed ORDER BY id
-- same: SELECT NEXTVAL(counts), NEXTVAL(counts)
SET NAMES utf8mb4, sql_mode = 'STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_CREATE_USER,NO_ENGINE_SUBSTITUTION';
CREATE VIEW same_words AS SELECT _utf8mb4'ss' = _utf8mb4 0xC39F AS literal, CONVERT(_latin1 0xDF USING utf8mb4) = _utf8mb4'ss' AS converted, CAST('ß' AS CHAR CHARACTER SET utf8mb4) = _utf8mb4'ss' AS cast;
CREATE TABLE computed (id INT PRIMARY KEY, word VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, same INT AS (CONVERT(word USING latin1) = _latin1'ss') STORED, sharp INT AS (_utf8mb4'ss' = _utf8mb4 0xC39F) VIRTUAL);
INSERT INTO computed (id, word) VALUES (1, 'ss'), (2, 'ß'), (3, NULL);
CREATE FUNCTION sharp(s VARCHAR(20) CHARACTER SET utf8mb4) RETURNS INT DETERMINISTIC RETURN s = 'ss';
CREATE SEQUENCE counts START WITH 5 INCREMENT BY 3 MINVALUE 1 MAXVALUE 1000 CACHE 10 CYCLE; DO NEXTVAL(counts); DO NEXTVAL(counts);
CREATE TABLE numbered (id INT NOT NULL DEFAULT NEXTVAL(counts) PRIMARY KEY, v VARCHAR(10) DEFAULT CONCAT('a', 'b'), CHECK (v <> 'x')); INSERT INTO numbered (v) VALUES ('y'), (DEFAULT);
DELIMITER //
CREATE FUNCTION declared() RETURNS INT DETERMINISTIC BEGIN DECLARE s VARCHAR(20) CHARACTER SET utf8mb4 DEFAULT 'ß'; RETURN s = 'ss'; END//
CREATE PROCEDURE under_modes(IN a INT) MODIFIES SQL DATA BEGIN INSERT INTO numbered (id) VALUES (a); END//
CREATE TRIGGER shortened BEFORE INSERT ON numbered FOR EACH ROW SET NEW.v = LEFT(NEW.v, 5)//
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 00:00:00' DISABLE DO DELETE FROM numbered WHERE id > 900//
DELIMITER ;
