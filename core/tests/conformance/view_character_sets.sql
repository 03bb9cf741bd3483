-- servers: mysql mariadb
-- Views that clients of other character sets made, and with other settings.
-- same: SELECT HEX(a), HEX(b), HEX(c) FROM v_latin1
-- same: SELECT HEX(a) FROM v_latin2
-- same: SELECT HEX(a) FROM v_binary
-- same: SELECT HEX(a), HEX(b) FROM v_modes
-- same: SELECT HEX(`Ã¤`) FROM v_names
SET NAMES latin1;
CREATE VIEW v_latin1 AS SELECT 'grÃ¶Ã' AS a, _latin1 x'e9' AS b, _utf8mb4 'ä' AS c;
CREATE TABLE `tä` (`cö` INT);
CREATE VIEW `vä` AS SELECT `cö` AS `dü` FROM `tä`;
CREATE VIEW v_names AS SELECT 'x' AS `ä`;
SET NAMES latin2;
CREATE VIEW v_latin2 AS SELECT 'čš' AS a;
SET NAMES utf8mb4 COLLATE utf8mb4_bin;
CREATE VIEW v_bin AS SELECT 'a' = 'A' AS a;
SET NAMES utf8mb3;
CREATE VIEW v_utf8mb3 AS SELECT 'größe' AS a;
SET character_set_client = utf8mb4, collation_connection = latin1_german1_ci;
CREATE VIEW v_mixed AS SELECT 'größe' AS a;
SET NAMES binary;
CREATE VIEW v_binary AS SELECT 'ÿ' AS a;
SET NAMES utf8mb4;
SET sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES,STRICT_TRANS_TABLES';
CREATE VIEW v_modes AS SELECT 'a\' || "x" AS a, 'b\n''' AS b FROM (SELECT 'c"d`e\' AS x) AS "d""q";
SET sql_mode = 'HIGH_NOT_PRECEDENCE,IGNORE_SPACE,REAL_AS_FLOAT,STRICT_ALL_TABLES';
CREATE VIEW v_not AS SELECT NOT 1 BETWEEN -5 AND 5 AS a, -1 AS b;
