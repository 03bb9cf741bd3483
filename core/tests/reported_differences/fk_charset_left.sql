-- servers: mysql
-- fidelity: foreign key line_product
-- fidelity: foreign key zone_product
-- foreign keys over text whose two ends have different character sets, as a parent that was converted with foreign_key_checks off leaves behind: the server keeps such keys, and refuses to add them again to tables that are there
CREATE TABLE product (code VARCHAR(20) NOT NULL PRIMARY KEY, name VARCHAR(40)) ENGINE=InnoDB DEFAULT CHARSET=latin1;
INSERT INTO product VALUES ('a-1','first'),('b-2','second');
CREATE TABLE line (id INT PRIMARY KEY, code VARCHAR(20), n INT, KEY (code), CONSTRAINT line_product FOREIGN KEY (code) REFERENCES product (code) ON UPDATE CASCADE) ENGINE=InnoDB DEFAULT CHARSET=latin1;
INSERT INTO line VALUES (1,'a-1',5),(2,NULL,6);
CREATE TABLE zone (code VARCHAR(20), KEY (code), CONSTRAINT zone_product FOREIGN KEY (code) REFERENCES product (code)) ENGINE=InnoDB DEFAULT CHARSET=latin1;
CREATE TABLE bystander (id INT PRIMARY KEY) ENGINE=InnoDB; INSERT INTO bystander VALUES (1);
SET foreign_key_checks = 0;
ALTER TABLE product CONVERT TO CHARACTER SET utf8mb4;
SET foreign_key_checks = 1;
