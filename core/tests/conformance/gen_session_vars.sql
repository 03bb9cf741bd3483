-- servers: mysql
-- STORED generated columns that depend on settings of the sessions that wrote the rows: names of months and days (lc_time_names), the first day of a week (default_week_format), decimals of a quotient (div_precision_increment), CHAR values padded to their length (PAD_CHAR_TO_FULL_LENGTH)
SET lc_time_names = 'de_DE', default_week_format = 3, div_precision_increment = 12, sql_mode = 'PAD_CHAR_TO_FULL_LENGTH';
CREATE TABLE names (id INT PRIMARY KEY, d DATE, month_name VARCHAR(20) GENERATED ALWAYS AS (DATE_FORMAT(d, '%M')) STORED, day_name VARCHAR(20) GENERATED ALWAYS AS (DAYNAME(d)) STORED, KEY (month_name)) DEFAULT CHARSET=utf8mb4;
INSERT INTO names (id, d) VALUES (1,'2024-03-01'),(2,'2024-12-31'),(3,NULL);
CREATE TABLE weeks (id INT PRIMARY KEY, d DATE, w INT GENERATED ALWAYS AS (WEEK(d)) STORED);
INSERT INTO weeks (id, d) VALUES (1,'2024-01-01'),(2,'2027-01-01'),(3,'2024-12-30');
CREATE TABLE ratios (id INT PRIMARY KEY, a INT, b INT, q DECIMAL(20,12) GENERATED ALWAYS AS (a / b) STORED);
INSERT INTO ratios (id, a, b) VALUES (1,1,3),(2,22,7),(3,1,8);
CREATE TABLE pads (id INT PRIMARY KEY, c CHAR(6), x VARCHAR(10) GENERATED ALWAYS AS (CONCAT(c, '|')) STORED) DEFAULT CHARSET=utf8mb4;
INSERT INTO pads (id, c) VALUES (1,'ab'),(2,'');
SET lc_time_names = DEFAULT, default_week_format = DEFAULT, div_precision_increment = DEFAULT, sql_mode = DEFAULT;
FLUSH TABLES names;
SET lc_time_names = 'fr_FR';
INSERT INTO names (id, d) VALUES (11,'2024-03-01'),(12,'2024-12-31');
SET lc_time_names = DEFAULT;
