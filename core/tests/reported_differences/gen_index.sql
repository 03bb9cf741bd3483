-- servers: mysql
-- fidelity: entries of index day: computed by the sessions that wrote the rows; they depend on time_zone
-- An index over a virtual column that depends on the time zone of the session that wrote the rows.
SET time_zone = '+09:00';
CREATE TABLE visits (id INT PRIMARY KEY, seen TIMESTAMP NOT NULL, day DATE GENERATED ALWAYS AS (CAST(seen AS DATE)) VIRTUAL, v VARCHAR(9), up VARCHAR(9) AS (UPPER(v)), KEY day (day), KEY up (up), KEY low ((LOWER(v))));
INSERT INTO visits (id, seen, v) VALUES (1, '2024-03-01 07:30:00', 'a');
SET time_zone = DEFAULT;
