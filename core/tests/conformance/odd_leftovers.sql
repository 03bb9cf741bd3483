-- servers: mariadb
-- options of engines that a table no longer has or that its engine does not know (kept by IGNORE_BAD_TABLE_OPTIONS and shown in a comment), page compression, CSV with quotes, a database with a comment
CREATE TABLE was_toku (id INT PRIMARY KEY, v TEXT) ENGINE=InnoDB PAGE_COMPRESSED=1 PAGE_COMPRESSION_LEVEL=9; INSERT INTO was_toku VALUES (1,REPEAT('a',20000));
CREATE TABLE csv_q (id INT NOT NULL, v VARCHAR(20) NOT NULL) ENGINE=CSV IETF_QUOTES=YES; INSERT INTO csv_q VALUES (1,'a"b'),(2,'c,d');
SET sql_mode = 'IGNORE_BAD_TABLE_OPTIONS';
CREATE TABLE leftover (id INT PRIMARY KEY, v INT) ENGINE=InnoDB COMPRESSION='tokudb_zlib' `clustering`=yes; INSERT INTO leftover VALUES (1,2);
CREATE TABLE parts (id INT PRIMARY KEY `foo`=1, v INT COMMENT 'c' `bar`='x''y', KEY k (v) `zip`=yes, CONSTRAINT c CHECK (v > 0)) ENGINE=MyISAM `opt`='a';
SET sql_mode = DEFAULT;
