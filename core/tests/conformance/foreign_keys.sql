-- servers: mysql mariadb
-- Foreign keys in circles, to themselves, to other databases, with every rule, and to parents that are not unique.
-- elsewhere: CREATE TABLE p (id INT PRIMARY KEY, `o``k` INT, UNIQUE KEY (`o``k`)); INSERT INTO p VALUES (1, 1)
-- same: SELECT @@foreign_key_checks; DELETE FROM a WHERE id = 2; SELECT * FROM a; SELECT * FROM b ORDER BY id
SET NAMES utf8mb4, foreign_key_checks = 0;
CREATE TABLE a (id INT PRIMARY KEY, b INT, CONSTRAINT to_b FOREIGN KEY (b) REFERENCES b (id) ON DELETE CASCADE ON UPDATE SET NULL);
CREATE TABLE b (id INT PRIMARY KEY, a INT, self INT, o INT, FOREIGN KEY (a) REFERENCES a (id) ON DELETE SET NULL, FOREIGN KEY (self) REFERENCES b (id) ON DELETE NO ACTION, CONSTRAINT `to``p` FOREIGN KEY (o) REFERENCES {other}.p (id) ON DELETE RESTRICT, FOREIGN KEY (o) REFERENCES {other}.p (`o``k`));
INSERT INTO a VALUES (1, 2), (2, 1); INSERT INTO b VALUES (1, 2, 2, 1), (2, 1, 1, NULL);
CREATE TABLE c (x INT, y VARCHAR(9), z INT, PRIMARY KEY (x, y), KEY some (z, x), FOREIGN KEY wide (z, y) REFERENCES d (z, y) ON UPDATE CASCADE);
CREATE TABLE d (z INT, y VARCHAR(9), UNIQUE KEY (z, y), KEY (y));
INSERT INTO c VALUES (1, 'a', 1), (2, 'b', NULL); INSERT INTO d VALUES (1, 'a');
CREATE TABLE `e``f` (`g h` INT, `i,j` INT, KEY own (`g h`), CONSTRAINT `k``l` FOREIGN KEY (`g h`) REFERENCES `e``f` (`i,j`), UNIQUE KEY (`i,j`)); INSERT INTO `e``f` VALUES (1, 2), (2, 1);
CREATE TABLE two (a INT, b INT, c INT, KEY ab (a, b), FOREIGN KEY (a) REFERENCES a (id), FOREIGN KEY (a, b) REFERENCES pair (a, b), CONSTRAINT generated_one FOREIGN KEY (c) REFERENCES a (id)); INSERT INTO two VALUES (1, 1, NULL);
CREATE TABLE pair (a INT, b INT, PRIMARY KEY (a, b)); INSERT INTO pair VALUES (1, 1);
CREATE TABLE of_stored (a INT, s INT AS (a + 0) STORED, FOREIGN KEY (s) REFERENCES a (id)); INSERT INTO of_stored (a) VALUES (1);
/*!80000 SET restrict_fk_on_non_standard_key = 0 */;
CREATE TABLE loose (a INT, b INT, KEY (a)); INSERT INTO loose VALUES (1, 1), (1, 2);
CREATE TABLE on_loose (a INT, FOREIGN KEY (a) REFERENCES loose (a)); INSERT INTO on_loose VALUES (1);
