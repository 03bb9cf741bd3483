-- servers: mysql
-- CHECKs that hold only in the time zones of the sessions that wrote the rows, several of them in one table; beside a stored column
SET time_zone = '+09:00';
CREATE TABLE hours (id INT PRIMARY KEY, seen TIMESTAMP NOT NULL, CONSTRAINT early CHECK (HOUR(seen) < 10));
INSERT INTO hours VALUES (1,'2024-01-01 05:00:00'),(2,'2024-01-01 09:30:00');
CREATE TABLE both_ways (id INT PRIMARY KEY, seen TIMESTAMP NOT NULL, hr TINYINT AS (HOUR(seen)) STORED, CONSTRAINT early_too CHECK (HOUR(seen) < 10));
INSERT INTO both_ways (id, seen) VALUES (1,'2024-01-01 05:00:00');
SET time_zone = '-06:00';
INSERT INTO hours VALUES (3,'2024-01-01 08:00:00'),(4,'2024-01-01 00:00:00');
INSERT INTO both_ways (id, seen) VALUES (2,'2024-01-01 05:00:00');
SET time_zone = DEFAULT;
