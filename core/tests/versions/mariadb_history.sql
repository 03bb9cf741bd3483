-- servers: mariadb
-- Tables with the versions of their rows: what is there now, and what was, on servers with one end of time or the other.
-- same: SELECT COUNT(*), SUM(b) FROM hidden
-- same: SELECT COUNT(*), SUM(b) FROM shown
-- same: SELECT COUNT(*) FROM hidden FOR SYSTEM_TIME ALL
-- same: SELECT a, b FROM shown FOR SYSTEM_TIME AS OF TIMESTAMP '2023-11-14 22:14:00' ORDER BY a
SET time_zone = '+00:00';
CREATE TABLE hidden (a INT, b INT) WITH SYSTEM VERSIONING;
CREATE TABLE shown (a INT PRIMARY KEY, b INT, since TIMESTAMP(6) GENERATED ALWAYS AS ROW START, until TIMESTAMP(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (since, until)) WITH SYSTEM VERSIONING;
CREATE TABLE partly (a INT PRIMARY KEY, b INT WITHOUT SYSTEM VERSIONING, c INT) WITH SYSTEM VERSIONING;
SET timestamp = 1700000000;
INSERT INTO hidden VALUES (1, 1), (2, 2), (3, 3); INSERT INTO shown (a, b) VALUES (1, 1), (2, 2), (3, 3); INSERT INTO partly VALUES (1, 1, 1), (2, 2, 2);
SET timestamp = 1700000100;
UPDATE hidden SET b = 10 WHERE a = 1; UPDATE shown SET b = 10 WHERE a = 1; UPDATE partly SET b = 10, c = 10 WHERE a = 1;
DELETE FROM hidden WHERE a = 2; DELETE FROM shown WHERE a = 2;
