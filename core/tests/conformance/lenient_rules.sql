-- servers: mysql
-- rows written without strict mode over which a CHECK, a functional index or a partition's function gives a warning: a check that casts text, an index over a cast member of JSON, an index over an expression that cuts, partitions by a function of a date that is none
SET sql_mode = '';
CREATE TABLE ck (id INT PRIMARY KEY, v VARCHAR(20), CONSTRAINT positive CHECK (CAST(v AS SIGNED) >= 0)) DEFAULT CHARSET=utf8mb4; INSERT INTO ck VALUES (1,'12 apples'),(2,'none'),(3,NULL);
CREATE TABLE fi (id INT PRIMARY KEY, doc JSON, v VARCHAR(50), KEY age ((CAST(JSON_UNQUOTE(JSON_EXTRACT(doc,'$.age')) AS SIGNED))), KEY head ((CAST(v AS CHAR(4))))) DEFAULT CHARSET=utf8mb4; INSERT INTO fi VALUES (1,'{"age":"41 years"}','abcdefgh'),(2,'{"age":"n/a"}',NULL),(3,'{}','');
CREATE TABLE pd (id INT NOT NULL, d DATE, KEY (id)) PARTITION BY RANGE (TO_DAYS(d)) (PARTITION a VALUES LESS THAN (TO_DAYS('2020-01-01')), PARTITION z VALUES LESS THAN MAXVALUE); INSERT INTO pd VALUES (1,'0000-00-00'),(2,'2021-00-00'),(3,NULL),(4,'2022-01-01');
SET sql_mode = DEFAULT;
