-- servers: mysql mariadb
-- Names of everything inside other things: columns, keys, constraints, partitions, parameters, labels, aliases, cursors.
-- same: SELECT * FROM `v``1`; CALL `p``1`(3)
SET NAMES utf8mb4;
CREATE TABLE `PRIMARY KEY` (`PRIMARY` INT, `KEY ``x` INT, `,` VARCHAR(9), `)` INT, `--` INT, `/*` INT, `*/` INT, `'` INT, `"` INT, `\\` INT, `;` INT, `a b` INT, `表` INT, `FOREIGN KEY (a) REFERENCES b (c)` INT AS (`a b` + 1),
  PRIMARY KEY (`PRIMARY`), KEY `,` (`,`(3)), KEY `)` (`)`, `--`), KEY `CONSTRAINT` (`/*`), UNIQUE KEY `"` (`"`), KEY `\\` (`\\`), KEY `GEN_CLUST` (`;`), CONSTRAINT `CHECK (1)` CHECK (`a b` <> 0 OR `'` IS NULL), KEY `primary_` (`'`)) COMMENT = 'KEY `x` (`y`), ) ENGINE=x';
INSERT INTO `PRIMARY KEY` (`PRIMARY`, `,`, `a b`) VALUES (1, '),(', 5), (2, NULL, NULL);
CREATE TABLE `AUTO_INCREMENT=5` (`AUTO_INCREMENT` INT NOT NULL AUTO_INCREMENT, `ENGINE=` INT, KEY `AUTO_INCREMENT` (`AUTO_INCREMENT`)) AUTO_INCREMENT = 9;
INSERT INTO `AUTO_INCREMENT=5` VALUES (3, 4);
CREATE TABLE `child` (`id` INT, CONSTRAINT `REFERENCES ``p` FOREIGN KEY `ON DELETE` (`id`) REFERENCES `PRIMARY KEY` (`PRIMARY`) ON DELETE CASCADE); INSERT INTO child VALUES (1);
CREATE TABLE `default` (`default` INT DEFAULT 1, `null` INT NULL, `not null` INT NOT NULL DEFAULT 2, `generated` INT, `invisible` INT, `comment` VARCHAR(9) COMMENT 'comment'); INSERT INTO `default` (`null`) VALUES (1);
CREATE TABLE `sixty_four_characters_long_sixty_four_characters_long_sixty_four` (`sixty_four_characters_long_sixty_four_characters_long_sixty_four` INT, KEY `sixty_four_characters_long_sixty_four_characters_long_sixty_four` (`sixty_four_characters_long_sixty_four_characters_long_sixty_four`));
CREATE TABLE `1e5` (`1` INT, `1e5` INT, `0x1` INT, `$` INT, `_latin1` INT, `@` INT, `@@x` INT); INSERT INTO `1e5` VALUES (1, 2, 3, 4, 5, 6, 7);
CREATE TABLE `a@0023b` (a INT); CREATE TABLE `con` (a INT); CREATE TABLE `.` (a INT); CREATE TABLE `a.b` (`c.d` INT); INSERT INTO `a.b` VALUES (1);
CREATE TABLE parted (`VALUES` INT) PARTITION BY LIST (`VALUES`) (PARTITION `VALUES IN (5)` VALUES IN (1), PARTITION `p``2 ENGINE = x` VALUES IN (2)); INSERT INTO parted VALUES (1), (2);
CREATE VIEW `v``1` AS SELECT `p`.`,` AS `SELECT ``*`, `p`.`a b` AS `AS`, '`' AS `'`, "'" AS `"` FROM `PRIMARY KEY` AS `p` JOIN (SELECT 1 AS `x.y`) AS `derived ``q` ON `derived ``q`.`x.y` = `p`.`PRIMARY`;
DELIMITER //
CREATE PROCEDURE `p``1`(`IN` INT)
`be``gin`: BEGIN
  DECLARE `END` INT DEFAULT `IN`;
  DECLARE `c;` CURSOR FOR SELECT `PRIMARY` FROM `PRIMARY KEY`;
  IF `END` = 0 THEN LEAVE `be``gin`; END IF;
  SELECT `END` AS `DEFINER=``x``@``y```, `IN`;
END `be``gin`//
CREATE TRIGGER `BEFORE INSERT` BEFORE INSERT ON `PRIMARY KEY` FOR EACH ROW SET NEW.`KEY ``x` = NEW.`,` /* ON `x` */ //
CREATE EVENT `DO` ON SCHEDULE EVERY 1 YEAR STARTS '2038-01-01 00:00:00' COMMENT 'DO' DO `DO`: BEGIN SET @`DO` = 1; END//
CREATE FUNCTION `RETURNS`(`RETURNS` INT) RETURNS INT DETERMINISTIC COMMENT 'RETURNS' RETURN `RETURNS`//
