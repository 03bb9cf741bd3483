-- servers: mysql
-- Differences of numbers without a sign, by sessions with NO_UNSIGNED_SUBTRACTION: stored ones, functions of partitions, and checks; an error in other sessions. AES under several values of block_encryption_mode
SET sql_mode = 'NO_UNSIGNED_SUBTRACTION';
CREATE TABLE su (id INT PRIMARY KEY, a BIGINT UNSIGNED, b BIGINT UNSIGNED, s BIGINT AS (a - b) STORED);
INSERT INTO su (id, a, b) VALUES (1,5,3),(2,3,5),(3,NULL,1),(4,0,1);
CREATE TABLE pa (id INT, u INT UNSIGNED) PARTITION BY RANGE (u - 5) (PARTITION a VALUES LESS THAN (0), PARTITION b VALUES LESS THAN MAXVALUE);
INSERT INTO pa VALUES (1,0),(2,10),(3,4),(4,NULL);
CREATE TABLE sub (id INT, u INT UNSIGNED) PARTITION BY RANGE (id) SUBPARTITION BY HASH (u - 3) SUBPARTITIONS 2 (PARTITION a VALUES LESS THAN (2), PARTITION b VALUES LESS THAN MAXVALUE);
INSERT INTO sub VALUES (1,0),(2,10);
CREATE TABLE ck (id INT PRIMARY KEY, u INT UNSIGNED, CONSTRAINT c CHECK (u - 5 < 10));
INSERT INTO ck VALUES (1,0),(2,12);
CREATE TABLE hours (id INT PRIMARY KEY, u INT UNSIGNED, at TIMESTAMP, CONSTRAINT h CHECK (u - 5 < 10 AND HOUR(at) < 12));
SET time_zone = '+09:00';
INSERT INTO hours VALUES (1,0,'2024-01-01 05:00:00'),(2,3,'2024-01-01 11:00:00');
SET time_zone = '-06:00';
INSERT INTO hours VALUES (3,0,'2024-01-01 05:00:00'),(4,3,'2024-01-01 11:00:00');
SET time_zone = DEFAULT;
SET sql_mode = DEFAULT, block_encryption_mode = 'aes-256-cbc';
CREATE TABLE aes (id INT PRIMARY KEY, v VARCHAR(30), s VARBINARY(64) AS (AES_ENCRYPT(v, 'key', '1234567890123456')) STORED);
INSERT INTO aes (id, v) VALUES (1,'hello'),(2,NULL);
SET block_encryption_mode = DEFAULT;
INSERT INTO aes (id, v) VALUES (3,'hello');
