-- servers: mariadb
-- foreign keys whose parent lost the index they need, or the column, while foreign_key_checks was off, and one whose child lost its index: the server keeps them, shows them, and refuses to add the first two again to tables that are there
CREATE TABLE account (id INT PRIMARY KEY, no INT, UNIQUE KEY no (no)) ENGINE=InnoDB; INSERT INTO account VALUES (1,10),(2,20);
CREATE TABLE booking (id INT PRIMARY KEY, no INT, KEY no (no), CONSTRAINT booking_account FOREIGN KEY (no) REFERENCES account (no)) ENGINE=InnoDB; INSERT INTO booking VALUES (1,10),(2,NULL);
CREATE TABLE owner (id INT PRIMARY KEY, ref INT, UNIQUE KEY (ref)) ENGINE=InnoDB;
CREATE TABLE pet (id INT PRIMARY KEY, ref INT, KEY (ref), CONSTRAINT pet_owner FOREIGN KEY (ref) REFERENCES owner (ref)) ENGINE=InnoDB; INSERT INTO pet VALUES (1,NULL);
CREATE TABLE bystander (id INT PRIMARY KEY) ENGINE=InnoDB; INSERT INTO bystander VALUES (1);
SET foreign_key_checks = 0;
ALTER TABLE account DROP KEY no;
DROP TABLE owner; CREATE TABLE owner (id INT PRIMARY KEY, other INT) ENGINE=InnoDB; INSERT INTO owner VALUES (1,1);
SET foreign_key_checks = 1;
