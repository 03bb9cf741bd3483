-- servers: mariadb
-- fidelity: foreign key archived
-- fidelity: _ibfk_1: its name
-- fidelity: _ibfk_2: its name
-- foreign keys that the server named, and renamed with their table to one of 64 characters, so that the constraint's own name is longer than 64 and cannot be written again as it is shown
CREATE TABLE p (id INT PRIMARY KEY); INSERT INTO p VALUES (1),(2);
CREATE TABLE orders (id INT PRIMARY KEY, f INT, g INT, FOREIGN KEY (f) REFERENCES p (id), FOREIGN KEY (g) REFERENCES p (id) ON DELETE CASCADE);
INSERT INTO orders VALUES (1,1,2),(2,2,NULL);
RENAME TABLE orders TO `t234567890123456789012345678901234567890123456789012345678901234`;
CREATE TABLE `sub orders` (id INT PRIMARY KEY, f INT, FOREIGN KEY (f) REFERENCES `t234567890123456789012345678901234567890123456789012345678901234` (id)); INSERT INTO `sub orders` VALUES (1,2);
RENAME TABLE `sub orders` TO `archived - sub orders of the year two thousand and twenty-four`;
