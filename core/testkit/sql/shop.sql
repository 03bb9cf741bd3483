-- A small shop, for demonstrations and tests: a little of everything that a database can hold.
-- Runs on MySQL 8 and newer and on MariaDB 10.6 and newer, in an empty database that is the current
-- one. The contents are computed, not drawn, so every run gives the same. @customers, @products and @orders are set before:
-- thousands of rows.

SET NAMES utf8mb4;
SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION';
SET SESSION time_zone = '+00:00';
SET SESSION foreign_key_checks = 0;
SET SESSION unique_checks = 0;

CREATE TABLE country (
  code CHAR(2) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  name VARCHAR(60) NOT NULL,
  vat DECIMAL(4,2) NOT NULL COMMENT 'per cent'
) ENGINE = InnoDB;

-- A department has a head, who is an employee, who is in a department.
CREATE TABLE department (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  name VARCHAR(60) NOT NULL,
  head_id INT UNSIGNED NULL,
  UNIQUE KEY name (name),
  KEY head (head_id)
) ENGINE = InnoDB;

-- An employee has a manager, who is an employee.
CREATE TABLE employee (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  department_id INT UNSIGNED NOT NULL,
  manager_id INT UNSIGNED NULL,
  name VARCHAR(80) NOT NULL,
  skills SET('sales', 'buying', 'packing', 'accounts', 'languages') NOT NULL DEFAULT '',
  birthday DATE NULL,
  begins TIME NOT NULL DEFAULT '09:00:00',
  since YEAR NOT NULL,
  KEY department (department_id),
  KEY manager (manager_id),
  CONSTRAINT employee_department FOREIGN KEY (department_id) REFERENCES department (id),
  CONSTRAINT employee_manager FOREIGN KEY (manager_id) REFERENCES employee (id) ON DELETE SET NULL
) ENGINE = InnoDB;

ALTER TABLE department
  ADD CONSTRAINT department_head FOREIGN KEY (head_id) REFERENCES employee (id) ON DELETE SET NULL;

CREATE TABLE customer (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  email VARCHAR(120) NOT NULL,
  name VARCHAR(120) NOT NULL,
  country_code CHAR(2) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  status ENUM('new', 'regular', 'gold', 'blocked') NOT NULL DEFAULT 'new',
  settings JSON NULL,
  lang VARCHAR(8) GENERATED ALWAYS AS (JSON_UNQUOTE(JSON_EXTRACT(settings, '$.lang'))) VIRTUAL,
  token BINARY(16) NOT NULL,
  registered TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  UNIQUE KEY email (email),
  KEY country (country_code),
  KEY lang (lang),
  CONSTRAINT customer_country FOREIGN KEY (country_code) REFERENCES country (code) ON UPDATE CASCADE
) ENGINE = InnoDB;

CREATE TABLE product (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  sku VARCHAR(20) CHARACTER SET latin1 NOT NULL,
  title VARCHAR(200) NOT NULL,
  description TEXT NULL,
  price DECIMAL(12,4) NOT NULL,
  gross DECIMAL(12,2) GENERATED ALWAYS AS (ROUND(price * 1.19, 2)) STORED,
  weight DOUBLE NULL,
  width FLOAT NULL,
  flags BIT(6) NOT NULL DEFAULT b'0',
  attributes JSON NULL,
  picture MEDIUMBLOB NULL,
  UNIQUE KEY sku (sku),
  KEY price (price, title(20)),
  FULLTEXT KEY words (title, description)
) ENGINE = InnoDB;

CREATE TABLE orders (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  customer_id INT UNSIGNED NOT NULL,
  employee_id INT UNSIGNED NULL,
  placed DATETIME(3) NOT NULL,
  state ENUM('open', 'paid', 'sent', 'returned') NOT NULL DEFAULT 'open',
  note VARCHAR(200) NULL,
  KEY customer (customer_id, placed),
  KEY employee (employee_id),
  KEY state (state),
  CONSTRAINT orders_customer FOREIGN KEY (customer_id) REFERENCES customer (id),
  CONSTRAINT orders_employee FOREIGN KEY (employee_id) REFERENCES employee (id) ON DELETE SET NULL
) ENGINE = InnoDB;

CREATE TABLE order_item (
  order_id BIGINT UNSIGNED NOT NULL,
  line SMALLINT UNSIGNED NOT NULL,
  product_id INT UNSIGNED NOT NULL,
  quantity INT NOT NULL,
  price DECIMAL(12,4) NOT NULL,
  amount DECIMAL(16,4) GENERATED ALWAYS AS (quantity * price) STORED,
  PRIMARY KEY (order_id, line),
  KEY product (product_id),
  CONSTRAINT item_order FOREIGN KEY (order_id) REFERENCES orders (id) ON DELETE CASCADE,
  CONSTRAINT item_product FOREIGN KEY (product_id) REFERENCES product (id),
  CONSTRAINT item_quantity CHECK (quantity > 0)
) ENGINE = InnoDB;

-- No key at all, and rows that are equal.
CREATE TABLE visit (
  customer_id INT UNSIGNED NULL,
  at DATETIME NOT NULL,
  path VARCHAR(100) NOT NULL
) ENGINE = InnoDB;

CREATE TABLE audit (
  id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  what VARCHAR(40) NOT NULL,
  before_price DECIMAL(12,4) NULL,
  after_price DECIMAL(12,4) NULL,
  detail LONGTEXT NULL
) ENGINE = InnoDB;

-- 0 to 999; with itself, as many numbers as are needed.
CREATE TABLE number (n INT NOT NULL PRIMARY KEY) ENGINE = InnoDB;
INSERT INTO number
SELECT a.n + 10 * b.n + 100 * c.n
FROM (SELECT 0 n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4
      UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9) a
CROSS JOIN (SELECT 0 n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4
      UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9) b
CROSS JOIN (SELECT 0 n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4
      UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9) c;

INSERT INTO country VALUES
  ('DE', 'Deutschland', 19.00), ('FR', 'France', 20.00), ('GR', 'Ελλάδα', 24.00),
  ('JP', '日本', 10.00), ('UA', 'Україна', 20.00), ('US', 'United States', 0.00);

INSERT INTO department (id, name) VALUES (1, 'Management'), (2, 'Sales'), (3, 'Warehouse'), (4, 'Accounts 💶');

INSERT INTO employee (id, department_id, manager_id, name, skills, birthday, begins, since)
SELECT n, 1 + n % 4, IF(n < 2, NULL, n DIV 5 + 1), CONCAT(ELT(1 + n % 5, 'Ada', 'Søren', 'Иван', '花子', 'Zoë'), ' ', n),
  n % 32, IF(n % 7 = 0, NULL, DATE_ADD('1960-02-29', INTERVAL n * 37 DAY)), SEC_TO_TIME(3600 * (6 + n % 5)), 1990 + n % 35
FROM number WHERE n BETWEEN 1 AND 200;
UPDATE department SET head_id = id;

INSERT INTO customer (id, email, name, country_code, status, settings, token, registered)
SELECT i, CONCAT('customer', i, '@example.com'),
  CONCAT(ELT(1 + i % 6, 'Grace', 'José', 'Αλέξης', '陽菜', 'Оля', 'O\'Neil \\ "Bob"'), ' ', i, IF(i % 11 = 0, ' 🦀👩‍🚀', '')),
  ELT(1 + CRC32(i) % 6, 'DE', 'FR', 'GR', 'JP', 'UA', 'US'), 1 + CRC32(i) % 4,
  IF(i % 13 = 0, NULL, JSON_OBJECT('lang', ELT(1 + i % 3, 'de', 'en', 'ja'), 'news', i % 2 = 0, 'size', i / 7e0)),
  UNHEX(LEFT(SHA2(i, 256), 32)), TIMESTAMPADD(MICROSECOND, i * 1234567, '2019-01-01 00:00:00')
FROM (SELECT 1 + a.n + 1000 * b.n AS i FROM number a CROSS JOIN number b WHERE b.n < @customers) numbers;

INSERT INTO product (id, sku, title, description, price, weight, width, flags, attributes, picture)
SELECT i, CONCAT('P-', LPAD(i, 6, '0'), CHAR(233 USING latin1)),
  CONCAT(ELT(1 + i % 4, 'Café table', 'Blue chair', 'Lämp', '椅子'), ' no. ', i),
  IF(i % 5 = 0, NULL, CONCAT('Line one\tand a tab\nline two\r\nback\\slash ', REPEAT(SHA2(i, 256), i % 5))),
  (CRC32(i) % 1000000) / 1000, IF(i % 9 = 0, NULL, i / 3), i * 1.1, i % 64,
  JSON_OBJECT('colours', JSON_ARRAY('red', 'grün'), 'stock', i), IF(i % 4 = 0, NULL, UNHEX(REPEAT(SHA2(i, 512), 1 + i % 16)))
FROM (SELECT 1 + a.n + 1000 * b.n AS i FROM number a CROSS JOIN number b WHERE b.n < @products) numbers;

INSERT INTO orders (id, customer_id, employee_id, placed, state, note)
SELECT i, 1 + CRC32(i) % (1000 * @customers), IF(i % 6 = 0, NULL, 1 + CRC32(i + 1) % 200),
  TIMESTAMPADD(MICROSECOND, i * 777001000, '2020-01-01 00:00:00'), 1 + CRC32(i + 2) % 4,
  CASE i % 10 WHEN 0 THEN '' WHEN 1 THEN 'gift 🎁' WHEN 2 THEN 'NULL' WHEN 3 THEN '\\N' ELSE NULL END
FROM (SELECT 1 + a.n + 1000 * b.n AS i FROM number a CROSS JOIN number b WHERE b.n < @orders) numbers;

INSERT INTO order_item (order_id, line, product_id, quantity, price)
SELECT i, line, 1 + CRC32(i * 10 + line) % (1000 * @products), 1 + CRC32(i + line) % 9, (CRC32(line * 1000000 + i) % 10000000) / 10000
FROM (SELECT 1 + a.n + 1000 * b.n AS i FROM number a CROSS JOIN number b WHERE b.n < @orders) numbers
CROSS JOIN (SELECT 1 AS line UNION SELECT 2 UNION SELECT 3 UNION SELECT 4) line_numbers
WHERE line <= 1 + i % 4;

INSERT INTO visit
SELECT IF(i % 3 = 0, NULL, 1 + CRC32(i) % (1000 * @customers)), TIMESTAMPADD(SECOND, i DIV 2, '2024-02-29 00:00:00'),
  CONCAT('/', ELT(1 + i DIV 2 % 3, 'index', 'search?q=café', 'basket'))
FROM (SELECT 1 + a.n + 1000 * b.n AS i FROM number a CROSS JOIN number b WHERE b.n < @orders) numbers;

DROP TABLE number;
SET SESSION foreign_key_checks = 1;
SET SESSION unique_checks = 1;

CREATE VIEW order_total AS
SELECT o.id, o.customer_id, o.placed, o.state, SUM(i.amount) AS total, COUNT(*) AS items
FROM orders o JOIN order_item i ON i.order_id = o.id
GROUP BY o.id, o.customer_id, o.placed, o.state;

-- Its name comes before the one of the view that it stands on.
CREATE VIEW customer_total AS
SELECT c.id, c.name, c.country_code, COUNT(t.id) AS orders, COALESCE(SUM(t.total), 0) AS total
FROM customer c LEFT JOIN order_total t ON t.customer_id = c.id
GROUP BY c.id, c.name, c.country_code;

CREATE VIEW best_customer AS
SELECT * FROM customer_total WHERE total > 1000;

CREATE VIEW gold_customer AS
SELECT id, email, name, status FROM customer WHERE status = 'gold' WITH CASCADED CHECK OPTION;

DELIMITER //

CREATE FUNCTION with_vat(net DECIMAL(12,4), country CHAR(2) CHARACTER SET ascii COLLATE ascii_bin)
RETURNS DECIMAL(12,2) READS SQL DATA
COMMENT 'net; the country''s VAT on top'
BEGIN
  DECLARE per_cent DECIMAL(4,2) DEFAULT 0;
  SELECT vat INTO per_cent FROM country c WHERE c.code = country;
  RETURN ROUND(net * (1 + per_cent / 100), 2);
END//

CREATE PROCEDURE raise_prices(IN per_cent DECIMAL(5,2), IN below DECIMAL(12,4), OUT changed INT)
MODIFIES SQL DATA SQL SECURITY INVOKER
BEGIN
  UPDATE product SET price = price * (1 + per_cent / 100) WHERE price < below ORDER BY id;
  SET changed = ROW_COUNT();
END//

CREATE TRIGGER product_price_changed AFTER UPDATE ON product FOR EACH ROW
BEGIN
  IF NOT (OLD.price <=> NEW.price) THEN
    INSERT INTO audit (what, before_price, after_price, detail)
    VALUES ('price', OLD.price, NEW.price, CONCAT('product ', NEW.id, '; "', NEW.title, '"'));
  END IF;
END//

CREATE TRIGGER order_item_checked BEFORE INSERT ON order_item FOR EACH ROW
SET NEW.quantity = GREATEST(NEW.quantity, 1)//

CREATE TRIGGER order_item_rounded BEFORE INSERT ON order_item FOR EACH ROW
FOLLOWS order_item_checked
SET NEW.price = ROUND(NEW.price, 4)//

CREATE EVENT forget_visits
ON SCHEDULE EVERY 1 DAY STARTS '2035-01-01 03:00:00'
ON COMPLETION PRESERVE
COMMENT 'keeps a year'
DO BEGIN
  DELETE FROM visit WHERE at < NOW() - INTERVAL 1 YEAR;
END//

DELIMITER ;

CALL raise_prices(5, 20, @changed);

-- So that plans and progress know the sizes at once.
ANALYZE NO_WRITE_TO_BINLOG TABLE country, department, employee, customer, product, orders, order_item, visit, audit;
