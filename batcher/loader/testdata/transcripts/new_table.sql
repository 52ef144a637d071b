SELECT target, topic, part, next_offset, load_id FROM millstream.positions;
SELECT target, topic, part, first_offset, file_key, reason, error, attempts, DATEDIFF(second, since, GETDATE()) FROM millstream.held;
SET query_group TO 'millstream_load';
SET statement_timeout TO 2700000;
SELECT table_schema, table_name, column_name, data_type, character_maximum_length, numeric_precision, numeric_scale FROM svv_columns WHERE table_schema IN ('app') AND table_name IN ('tracks') ORDER BY table_schema, table_name, ordinal_position;
CREATE TEMP TABLE "stg_01jd3x9k2m7q8r5t6v0w1y0001_b3ac246c" ("id" VARCHAR(256), "received_at" TIMESTAMP, "user_id" VARCHAR(256), "_unmapped" VARCHAR(64), "_partition" BIGINT, "_offset" BIGINT) DISTKEY ("id") SORTKEY ("received_at");
COPY "stg_01jd3x9k2m7q8r5t6v0w1y0001_b3ac246c" FROM 's3://lake/millstream/_loads/app.tracks/01jd3x9k2m7q8r5t6v0w1y0001-b3ac246c.manifest'
IAM_ROLE default FORMAT AS PARQUET MANIFEST STATUPDATE OFF;
SELECT pg_last_copy_count();
SET statement_timeout TO 300000;
BEGIN;
LOCK TABLE millstream.gate;
SET statement_timeout TO 2700000;
SELECT fence FROM millstream.fence;
SELECT target, topic, part, next_offset, load_id FROM millstream.positions WHERE target IN ('app.tracks');
SET statement_timeout TO 30000;
CREATE SCHEMA IF NOT EXISTS "app";
CREATE TABLE "app"."tracks" ("id" VARCHAR(256) ENCODE zstd, "received_at" TIMESTAMP ENCODE raw, "user_id" VARCHAR(256) ENCODE zstd, "_unmapped" SUPER ENCODE zstd, "_partition" BIGINT ENCODE az64, "_offset" BIGINT ENCODE az64) DISTKEY ("id") SORTKEY ("received_at");
SET statement_timeout TO 2700000;
SET statement_timeout TO 30000;
INSERT INTO "app"."tracks" ("id", "received_at", "user_id", "_unmapped", "_partition", "_offset")
SELECT s."id", s."received_at", s."user_id", CASE WHEN CAN_JSON_PARSE(s."_unmapped") THEN JSON_PARSE(s."_unmapped") ELSE s."_unmapped"::SUPER END, s."_partition", s."_offset"
FROM (SELECT *, LAG("received_at") OVER (PARTITION BY "id" ORDER BY "received_at", "_partition", "_offset") AS "_prev" FROM "stg_01jd3x9k2m7q8r5t6v0w1y0001_b3ac246c") s
LEFT JOIN "app"."tracks" t ON t."id" = s."id" AND t."received_at" >= '2026-11-20 06:00:01.000'
  AND t."received_at" BETWEEN DATEADD(second, -86400, s."received_at") AND DATEADD(second, 86400, s."received_at")
WHERE t."id" IS NULL AND (s."_prev" IS NULL OR s."_prev" < DATEADD(second, -86400, s."received_at"));
SET statement_timeout TO 2700000;
DELETE FROM millstream.positions WHERE target IN ('app.tracks');
INSERT INTO millstream.positions (target, topic, part, next_offset, load_id, updated_at) VALUES ('app.tracks', 'millstream.events', 3, 2, '01jd3x9k2m7q8r5t6v0w1y0001', GETDATE());
INSERT INTO millstream.loads (load_id, wave_id, target, kind, fence, commits, files, bytes, rows_staged, rows_inserted, rows_updated, rows_deleted, rows_duplicate, ranges, min_received_at, max_received_at, started_at, committed_at) VALUES ('01jd3x9k2m7q8r5t6v0w1y0001', '01jd3x9k2m7q8r5t6v0w1y0002', 'app.tracks', 'append', 1, 1, 1, 4711, 2, 2, 0, 0, 0, '[{"topic":"millstream.events","part":3,"first":0,"next":2}]', '2026-11-21 06:00:01.000', '2026-11-21 06:00:02.000', '2026-11-21 06:15:30.000', GETDATE());
COMMIT;
