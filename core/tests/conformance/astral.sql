-- servers: mysql mariadb
-- Four-byte characters where SHOW CREATE prints a `?`: members of ENUM and SET, literal defaults; beside real `?`.
-- fidelity: member 2 of column nobody
-- fidelity: member 1 of column nobody_s
SET NAMES utf8mb4;
CREATE TABLE en (id INT PRIMARY KEY, e ENUM('a','😀','é') CHARACTER SET utf8mb4, s SET('x','🐬','?','y🐬?') CHARACTER SET utf8mb4) DEFAULT CHARSET=utf8mb4;
INSERT INTO en VALUES (1,'a','x'),(2,'😀','x,🐬'),(3,'é','🐬,?'),(4,NULL,'x,?,y🐬?');
CREATE TABLE df (id INT PRIMARY KEY, v VARCHAR(20) DEFAULT 'd😀', q VARCHAR(20) NOT NULL DEFAULT 'why?''s \\', w VARCHAR(9) NOT NULL DEFAULT '🐬') DEFAULT CHARSET=utf8mb4;
INSERT INTO df (id) VALUES (1);
CREATE TABLE empty_df (id INT PRIMARY KEY, v VARCHAR(20) DEFAULT 'd😀', e ENUM('a','😀') DEFAULT '😀') DEFAULT CHARSET=utf8mb4;
CREATE TABLE latin (e ENUM('a','?') CHARACTER SET latin1, v VARCHAR(9) CHARACTER SET latin1 DEFAULT '?');
CREATE TABLE unseen (nobody ENUM('a','?','b') CHARACTER SET utf8mb4, nobody_s SET('?','b') CHARACTER SET utf8mb4); INSERT INTO unseen VALUES ('a', 'b');
