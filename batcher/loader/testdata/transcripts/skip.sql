SET query_group TO 'millstream_load';
SET statement_timeout TO 2700000;
SET statement_timeout TO 300000;
BEGIN;
LOCK TABLE millstream.gate;
SET statement_timeout TO 2700000;
SELECT target, topic, part, first_offset, file_key, reason, error, attempts, DATEDIFF(second, since, GETDATE()) FROM millstream.held;
UPDATE millstream.held SET reason = 'skipped', error = 'the disk is gone | XX000 The specified key does not exist | ----------------------------------------------- error: The specified key does not exist code: 15001 context: HTTP response error code: 404 Message: NoSuchKey s3://lake/millstream/app/notes/dt=2026-11-21/hh=06/millstream.events-0-5-8-3957fb94.parquet query: 0 location: dory_util.cpp process: local -----------------------------------------------' WHERE target = 'app.notes' AND file_key = 'millstream/app/notes/dt=2026-11-21/hh=06/millstream.events-0-5-8-3957fb94.parquet';
COMMIT;
