SET query_group TO 'millstream_load';
SET statement_timeout TO 2700000;
SELECT target, topic, part, next_offset, load_id FROM millstream.positions WHERE target IN ('app.notes', '*');
SELECT target, topic, part, first_offset, file_key, reason, error, attempts, DATEDIFF(second, since, GETDATE()) FROM millstream.held;
SELECT table_schema, table_name, column_name, data_type, character_maximum_length, numeric_precision, numeric_scale FROM svv_columns WHERE table_schema IN ('app') AND table_name IN ('notes') ORDER BY table_schema, table_name, ordinal_position;
SELECT table_schema, table_name, column_name, data_type, character_maximum_length, numeric_precision, numeric_scale FROM svv_columns WHERE table_schema IN ('app') AND table_name IN ('notes') ORDER BY table_schema, table_name, ordinal_position;
CREATE TEMP TABLE "stg_01jd3x9k2m7q8r5t6v0w1y0001_3957fb94" ("id" VARCHAR(256), "received_at" TIMESTAMP, "user_id" VARCHAR(256), "_unmapped" VARCHAR(64), "_partition" BIGINT, "_offset" BIGINT, "note" VARCHAR(64)) DISTKEY ("id") SORTKEY ("received_at");
COPY "stg_01jd3x9k2m7q8r5t6v0w1y0001_3957fb94" FROM 's3://lake/millstream/_loads/app.notes/01jd3x9k2m7q8r5t6v0w1y0001-3957fb94.manifest'
IAM_ROLE default FORMAT AS PARQUET MANIFEST STATUPDATE OFF;
SELECT pg_last_copy_count();
SET statement_timeout TO 300000;
BEGIN;
LOCK TABLE millstream.gate;
SET statement_timeout TO 2700000;
SELECT target, topic, part, next_offset, load_id FROM millstream.positions WHERE target IN ('app.notes', '*');
SELECT target, topic, part, first_offset, file_key, reason, error, attempts, DATEDIFF(second, since, GETDATE()) FROM millstream.held;
SET statement_timeout TO 5000;
DELETE FROM "app"."notes" WHERE FALSE;
SET statement_timeout TO 2700000;
SELECT (SELECT COUNT(*) FROM "app"."notes" WHERE TRUE AND received_at >= '2026-11-21 00:00:00.000' AND received_at < '2026-11-22 00:00:00.000') + (SELECT COUNT(*) FROM millstream.duplicates WHERE target = 'app.notes' AND received_at >= '2026-11-21 00:00:00.000' AND received_at < '2026-11-22 00:00:00.000');
DELETE FROM millstream.duplicates WHERE target = 'app.notes' AND received_at >= '2026-11-21 00:00:00.000' AND received_at < '2026-11-22 00:00:00.000';
DELETE FROM "app"."notes" WHERE TRUE AND received_at >= '2026-11-21 00:00:00.000' AND received_at < '2026-11-22 00:00:00.000';
SET statement_timeout TO 5000;
DELETE FROM "app"."notes" WHERE FALSE;
SET statement_timeout TO 2700000;
INSERT INTO "app"."notes" ("id", "received_at", "user_id", "_unmapped", "_partition", "_offset", "note")
SELECT s."id", s."received_at", s."user_id", CASE WHEN CAN_JSON_PARSE(s."_unmapped") THEN JSON_PARSE(s."_unmapped") ELSE s."_unmapped"::SUPER END, s."_partition", s."_offset", s."note"
FROM (SELECT *, LAG("received_at") OVER (PARTITION BY "id" ORDER BY "received_at", "_partition", "_offset") AS "_prev" FROM "stg_01jd3x9k2m7q8r5t6v0w1y0001_3957fb94") s
LEFT JOIN "app"."notes" t ON t."id" = s."id" AND t."received_at" >= '2026-11-20 06:00:01.000'
  AND t."received_at" BETWEEN DATEADD(second, -86400, s."received_at") AND DATEADD(second, 86400, s."received_at")
WHERE t."id" IS NULL AND (s."_prev" IS NULL OR s."_prev" < DATEADD(second, -86400, s."received_at"));
SELECT (SELECT COUNT(*) FROM "app"."notes" WHERE TRUE AND received_at >= '2026-11-21 00:00:00.000' AND received_at < '2026-11-22 00:00:00.000') + (SELECT COUNT(*) FROM millstream.duplicates WHERE target = 'app.notes' AND received_at >= '2026-11-21 00:00:00.000' AND received_at < '2026-11-22 00:00:00.000');
INSERT INTO millstream.loads (load_id, wave_id, target, kind, fence, commits, files, bytes, rows_staged, rows_inserted, rows_updated, rows_deleted, rows_duplicate, ranges, min_received_at, max_received_at, started_at, committed_at) VALUES ('01jd3x9k2m7q8r5t6v0w1y0002', '01jd3x9k2m7q8r5t6v0w1y0003', 'app.notes', 'repair', -1, 0, 1, 4711, 2, 2, 0, 0, 0, '[]', '2026-11-21 06:00:01.000', '2026-11-21 06:00:02.000', '2026-11-21 06:15:30.000', GETDATE());
COMMIT;
