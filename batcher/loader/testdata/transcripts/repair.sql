SELECT target, topic, part, next_offset, load_id FROM millstream.positions;
SELECT target, topic, part, first_offset, file_key, reason, error, attempts, DATEDIFF(second, since, GETDATE()) FROM millstream.held;
SET query_group TO 'millstream_load';
SET statement_timeout TO 2700000;
SELECT table_schema, table_name, column_name, data_type, character_maximum_length, numeric_precision, numeric_scale FROM svv_columns WHERE table_schema IN ('app') AND table_name IN ('notes') ORDER BY table_schema, table_name, ordinal_position;
CREATE TEMP TABLE "stg_01jd3x9k2m7q8r5t6v0w1y0001_3957fb94" ("id" VARCHAR(256), "received_at" TIMESTAMP, "user_id" VARCHAR(256), "_unmapped" VARCHAR(64), "_partition" BIGINT, "_offset" BIGINT, "note" VARCHAR(64)) DISTKEY ("id") SORTKEY ("received_at");
COPY "stg_01jd3x9k2m7q8r5t6v0w1y0001_3957fb94" FROM 's3://lake/millstream/_loads/app.notes/01jd3x9k2m7q8r5t6v0w1y0001-3957fb94.manifest'
IAM_ROLE default FORMAT AS PARQUET MANIFEST STATUPDATE OFF;
SELECT pg_last_copy_count();
SET statement_timeout TO 300000;
BEGIN;
LOCK TABLE millstream.gate;
SET statement_timeout TO 2700000;
SELECT fence FROM millstream.fence;
SELECT target, topic, part, next_offset, load_id FROM millstream.positions WHERE target IN ('app.notes');
SELECT target, topic, part, first_offset, file_key, reason, error, attempts, DATEDIFF(second, since, GETDATE()) FROM millstream.held;
SET statement_timeout TO 30000;
INSERT INTO "app"."notes" ("id", "received_at", "user_id", "_unmapped", "_partition", "_offset", "note")
SELECT s."id", s."received_at", s."user_id", CASE WHEN CAN_JSON_PARSE(s."_unmapped") THEN JSON_PARSE(s."_unmapped") ELSE s."_unmapped"::SUPER END, s."_partition", s."_offset", s."note"
FROM (SELECT *, LAG("received_at") OVER (PARTITION BY "id" ORDER BY "received_at", "_partition", "_offset") AS "_prev" FROM "stg_01jd3x9k2m7q8r5t6v0w1y0001_3957fb94") s
LEFT JOIN "app"."notes" t ON t."id" = s."id" AND t."received_at" >= '2026-11-20 06:00:03.000'
  AND t."received_at" BETWEEN DATEADD(second, -86400, s."received_at") AND DATEADD(second, 86400, s."received_at")
WHERE t."id" IS NULL AND (s."_prev" IS NULL OR s."_prev" < DATEADD(second, -86400, s."received_at"));
SET statement_timeout TO 2700000;
INSERT INTO millstream.loads (load_id, wave_id, target, kind, fence, commits, files, bytes, rows_staged, rows_inserted, rows_updated, rows_deleted, rows_duplicate, ranges, min_received_at, max_received_at, started_at, committed_at) VALUES ('01jd3x9k2m7q8r5t6v0w1y0001', '01jd3x9k2m7q8r5t6v0w1y0002', 'app.notes', 'repair', 1, 0, 1, 4711, 3, 3, 0, 0, 0, '[]', '2026-11-21 06:00:03.000', '2026-11-21 06:00:05.000', '2026-11-21 06:15:30.000', GETDATE());
DELETE FROM millstream.held WHERE target = 'app.notes' AND file_key = 'millstream/app/notes/dt=2026-11-21/hh=06/millstream.events-0-2-5-3957fb94.parquet';
COMMIT;
