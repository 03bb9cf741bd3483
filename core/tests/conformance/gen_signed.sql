-- servers: mysql
-- Differences of numbers without a sign, by sessions with NO_UNSIGNED_SUBTRACTION: an error in other sessions. AES under a block_encryption_mode
SET sql_mode = 'NO_UNSIGNED_SUBTRACTION';
CREATE TABLE su (id INT PRIMARY KEY, a BIGINT UNSIGNED, b BIGINT UNSIGNED, s BIGINT AS (a - b) STORED);
INSERT INTO su (id, a, b) VALUES (1,5,3),(2,3,5),(3,NULL,1),(4,0,1);
SET sql_mode = DEFAULT, block_encryption_mode = 'aes-256-cbc';
CREATE TABLE aes (id INT PRIMARY KEY, v VARCHAR(30), s VARBINARY(64) AS (AES_ENCRYPT(v, 'key', '1234567890123456')) STORED);
INSERT INTO aes (id, v) VALUES (1,'hello'),(2,NULL);
SET block_encryption_mode = DEFAULT;
INSERT INTO aes (id, v) VALUES (3,'hello');
