-- servers: mysql
-- STORED generated columns computed from a TIMESTAMP or by FROM_UNIXTIME in a session whose time zone was not UTC (a day, an hour, a month), one of them part of a unique key; recomputed under another zone they change
SET time_zone = '+09:00';
CREATE TABLE visits (id INT PRIMARY KEY, seen TIMESTAMP(3) NOT NULL, day DATE GENERATED ALWAYS AS (CAST(seen AS DATE)) STORED, hr TINYINT GENERATED ALWAYS AS (HOUR(seen)) STORED, note VARCHAR(20), KEY (day), KEY (hr));
INSERT INTO visits (id, seen, note) VALUES (1,'2024-03-01 07:30:00.123','morning'),(2,'2024-03-01 23:59:59.999','night'),(3,'2024-12-31 08:59:00','eve');
CREATE TABLE per_month (id INT NOT NULL, seen TIMESTAMP NULL, ym CHAR(7) GENERATED ALWAYS AS (DATE_FORMAT(seen,'%Y-%m')) STORED, PRIMARY KEY (id), UNIQUE KEY (ym, id));
INSERT INTO per_month (id, seen) VALUES (1,'2024-02-01 00:30:00'),(2,'2024-02-01 10:00:00'),(3,NULL);
CREATE TABLE epochs (id INT PRIMARY KEY, sec INT UNSIGNED NOT NULL, day DATE GENERATED ALWAYS AS (CAST(FROM_UNIXTIME(sec) AS DATE)) STORED, KEY (day));
INSERT INTO epochs (id, sec) VALUES (1, UNIX_TIMESTAMP('2024-03-01 07:30:00')),(2, UNIX_TIMESTAMP('2024-03-01 12:00:00'));
SET time_zone = DEFAULT;
-- A zone with summer time, so that no single offset gives all rows, and an index over what depends on the zone.
SET time_zone = '+01:00';
CREATE TABLE seasons (id INT PRIMARY KEY, seen TIMESTAMP NOT NULL, hr TINYINT GENERATED ALWAYS AS (HOUR(seen)) STORED);
INSERT INTO seasons (id, seen) VALUES (1,'2024-01-01 12:00:00'),(2,'2024-01-02 23:30:00');
SET time_zone = '+02:00';
INSERT INTO seasons (id, seen) VALUES (3,'2024-07-01 12:00:00'),(4,'2024-07-02 23:30:00'),(5,'2024-10-27 02:30:00');
SET time_zone = DEFAULT;
