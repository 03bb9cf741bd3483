-- servers: mysql mariadb
-- STORED and VIRTUAL generated columns that were written without strict mode and whose values raised a warning there: text cut to the column's length, numbers clipped to its range, a cast of text that is no number, a division by zero, JSON that has no such member; indexed too
SET sql_mode = '';
CREATE TABLE cut (id INT PRIMARY KEY, v VARCHAR(100), s VARCHAR(5) GENERATED ALWAYS AS (UPPER(v)) STORED, w VARCHAR(6) GENERATED ALWAYS AS (LOWER(v)) VIRTUAL, KEY (s)) DEFAULT CHARSET=utf8mb4;
INSERT INTO cut (id, v) VALUES (1,'abcdefghij'),(2,'ééééééé'),(3,'ok');
CREATE TABLE clip (id INT PRIMARY KEY, a INT, b INT, t TINYINT GENERATED ALWAYS AS (a * b) STORED, u TINYINT UNSIGNED GENERATED ALWAYS AS (a - b) STORED, q DECIMAL(4,1) GENERATED ALWAYS AS (a / b) STORED, KEY (u));
INSERT INTO clip (id, a, b) VALUES (1,100,100),(2,1,2),(3,5,0),(4,-100,100),(5,99999,1);
CREATE TABLE cast_text (id INT PRIMARY KEY, v VARCHAR(20), n INT GENERATED ALWAYS AS (CAST(v AS SIGNED)) STORED, d DECIMAL(8,2) GENERATED ALWAYS AS (v) STORED) DEFAULT CHARSET=utf8mb4;
INSERT INTO cast_text (id, v) VALUES (1,'12abc'),(2,''),(3,'1e3x'),(4,NULL),(5,'-7.555');
CREATE TABLE unsigned_sub (id INT PRIMARY KEY, a INT UNSIGNED, b INT UNSIGNED, d BIGINT GENERATED ALWAYS AS (CAST(a AS SIGNED) - CAST(b AS SIGNED)) STORED);
INSERT INTO unsigned_sub (id, a, b) VALUES (1,1,2),(2,4294967295,0);
CREATE TABLE must (id INT PRIMARY KEY, doc LONGTEXT, n INT GENERATED ALWAYS AS (JSON_UNQUOTE(JSON_EXTRACT(doc,'$.n'))) STORED, len INT GENERATED ALWAYS AS (NULLIF(CHAR_LENGTH(doc),2)) STORED /*!80000 NOT NULL */) DEFAULT CHARSET=utf8mb4;
INSERT INTO must (id, doc) VALUES (1,'{"n":5}'),(2,'{"n":"x9"}'),(3,'{}');
SET sql_mode = DEFAULT;
