SET query_group TO 'millstream_load';
SET statement_timeout TO 2700000;
SET statement_timeout TO 300000;
BEGIN;
LOCK TABLE millstream.gate;
SET statement_timeout TO 2700000;
SELECT target, topic, part, first_offset, file_key, reason, error, attempts, DATEDIFF(second, since, GETDATE()) FROM millstream.held;
UPDATE millstream.held SET attempts = 0 WHERE target = 'app.notes' AND file_key <> '' AND reason <> 'skipped';
COMMIT;
