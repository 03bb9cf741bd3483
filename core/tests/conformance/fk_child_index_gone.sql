-- servers: mariadb
-- a foreign key whose child lost the index it needs while foreign_key_checks was off: added again, the server makes an index that the source does not have
CREATE TABLE account (id INT PRIMARY KEY) ENGINE=InnoDB; INSERT INTO account VALUES (1),(2);
CREATE TABLE booking (id INT PRIMARY KEY, account INT, KEY acc (account), CONSTRAINT booking_account FOREIGN KEY (account) REFERENCES account (id)) ENGINE=InnoDB; INSERT INTO booking VALUES (1,1),(2,NULL);
SET foreign_key_checks = 0;
ALTER TABLE booking DROP KEY acc;
SET foreign_key_checks = 1;
