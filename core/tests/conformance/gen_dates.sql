-- servers: mysql
-- STORED dates of text that is none, or has zeros: NULL, zero or as written, by the sql_mode of the session that wrote the row; beside dates that only ALLOW_INVALID_DATES takes
CREATE TABLE zd (id INT PRIMARY KEY, v VARCHAR(60), d DATE, s DATE AS (CAST(v AS DATE)) STORED, s2 DATETIME AS (v) STORED, t DATE AS (STR_TO_DATE(v, '%Y-%m-%d')) STORED);
CREATE TABLE copied (id INT PRIMARY KEY, d DATETIME, s DATE AS (CAST(d AS DATE)) STORED);
SET sql_mode = 'NO_ZERO_DATE,NO_ZERO_IN_DATE';
INSERT INTO zd (id, v, d) VALUES (1,'0000-00-00','0000-00-00'),(2,'2024-01-00','2024-01-00'),(3,'2024-02-31','2024-02-31'),(4,'2024-02-01','2024-02-01');
INSERT INTO copied (id, d) VALUES (1,'0000-00-00'),(2,'2024-02-01');
SET sql_mode = 'ALLOW_INVALID_DATES';
INSERT INTO zd (id, v, d) VALUES (11,'0000-00-00','0000-00-00'),(12,'2024-01-00','2024-01-00'),(13,'2024-02-31','2024-02-31'),(14,'2024-02-01','2024-02-01');
INSERT INTO copied (id, d) VALUES (11,'0000-00-00'),(12,'2024-02-31');
SET sql_mode = '';
INSERT INTO zd (id, v, d) VALUES (21,'0000-00-00','0000-00-00'),(22,'2024-01-00','2024-01-00'),(23,'2024-02-31','2024-02-31'),(24,'2024-02-01','2024-02-01');
SET sql_mode = DEFAULT;
