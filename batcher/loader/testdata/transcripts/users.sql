SELECT target, topic, part, next_offset, load_id FROM millstream.positions;
SELECT target, topic, part, first_offset, file_key, reason, error, attempts, DATEDIFF(second, since, GETDATE()) FROM millstream.held;
SET query_group TO 'millstream_load';
SET statement_timeout TO 2700000;
SELECT table_schema, table_name, column_name, data_type, character_maximum_length, numeric_precision, numeric_scale FROM svv_columns WHERE table_schema IN ('app') AND table_name IN ('identifies', 'users') ORDER BY table_schema, table_name, ordinal_position;
CREATE TEMP TABLE "stg_01jd3x9k2m7q8r5t6v0w1y0001_6a9d4d2c" ("id" VARCHAR(256), "received_at" TIMESTAMP, "user_id" VARCHAR(256), "_unmapped" VARCHAR(64), "_partition" BIGINT, "_offset" BIGINT, "email" VARCHAR(64)) DISTKEY ("id") SORTKEY ("received_at");
COPY "stg_01jd3x9k2m7q8r5t6v0w1y0001_6a9d4d2c" FROM 's3://lake/millstream/_loads/app.identifies/01jd3x9k2m7q8r5t6v0w1y0001-6a9d4d2c.manifest'
IAM_ROLE default FORMAT AS PARQUET MANIFEST STATUPDATE OFF;
SELECT pg_last_copy_count();
SET statement_timeout TO 300000;
BEGIN;
LOCK TABLE millstream.gate;
SET statement_timeout TO 2700000;
SELECT fence FROM millstream.fence;
SELECT target, topic, part, next_offset, load_id FROM millstream.positions WHERE target IN ('app.identifies');
SET statement_timeout TO 30000;
CREATE SCHEMA IF NOT EXISTS "app";
CREATE TABLE "app"."identifies" ("id" VARCHAR(256) ENCODE zstd, "received_at" TIMESTAMP ENCODE raw, "user_id" VARCHAR(256) ENCODE zstd, "_unmapped" SUPER ENCODE zstd, "_partition" BIGINT ENCODE az64, "_offset" BIGINT ENCODE az64, "email" VARCHAR(64) ENCODE zstd) DISTKEY ("id") SORTKEY ("received_at");
SET statement_timeout TO 2700000;
SET statement_timeout TO 30000;
CREATE SCHEMA IF NOT EXISTS "app";
CREATE TABLE "app"."users" ("id" VARCHAR(256) ENCODE raw, "received_at" TIMESTAMP ENCODE az64, "email" VARCHAR(64) ENCODE zstd) DISTSTYLE ALL SORTKEY ("id");
SET statement_timeout TO 2700000;
SET statement_timeout TO 30000;
INSERT INTO "app"."identifies" ("id", "received_at", "user_id", "_unmapped", "_partition", "_offset", "email")
SELECT s."id", s."received_at", s."user_id", CASE WHEN CAN_JSON_PARSE(s."_unmapped") THEN JSON_PARSE(s."_unmapped") ELSE s."_unmapped"::SUPER END, s."_partition", s."_offset", s."email"
FROM (SELECT *, LAG("received_at") OVER (PARTITION BY "id" ORDER BY "received_at", "_partition", "_offset") AS "_prev" FROM "stg_01jd3x9k2m7q8r5t6v0w1y0001_6a9d4d2c") s
LEFT JOIN "app"."identifies" t ON t."id" = s."id" AND t."received_at" >= '2026-11-20 06:00:01.000'
  AND t."received_at" BETWEEN DATEADD(second, -86400, s."received_at") AND DATEADD(second, 86400, s."received_at")
WHERE t."id" IS NULL AND (s."_prev" IS NULL OR s."_prev" < DATEADD(second, -86400, s."received_at"));
CREATE TEMP TABLE "new_01jd3x9k2m7q8r5t6v0w1y0001" DISTKEY ("id") AS
SELECT DISTINCT s."id" AS "id", MAX(s."received_at") OVER (PARTITION BY s."id") AS "received_at",
  LAST_VALUE(s."email") IGNORE NULLS OVER (PARTITION BY s."id" ORDER BY s."received_at", s."_partition", s."_offset" ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS "email"
FROM (SELECT e."user_id" AS "id", e."received_at", e."email", e."_partition", e."_offset" FROM "app"."identifies" e WHERE e."received_at" >= '2026-11-21 06:00:01.000' AND e."user_id" IN (SELECT "user_id" FROM "stg_01jd3x9k2m7q8r5t6v0w1y0001_6a9d4d2c")) s;
MERGE INTO "app"."users" USING "new_01jd3x9k2m7q8r5t6v0w1y0001" s ON "app"."users"."id" = s."id"
WHEN MATCHED THEN UPDATE SET "received_at" = GREATEST("app"."users"."received_at", s."received_at"),
  "email" = CASE WHEN s."received_at" >= "app"."users"."received_at" THEN COALESCE(s."email", "app"."users"."email") ELSE COALESCE("app"."users"."email", s."email") END
WHEN NOT MATCHED THEN INSERT ("id", "received_at", "email") VALUES (s."id", s."received_at", s."email");
SET statement_timeout TO 2700000;
DELETE FROM millstream.positions WHERE target IN ('app.identifies');
INSERT INTO millstream.positions (target, topic, part, next_offset, load_id, updated_at) VALUES ('app.identifies', 'millstream.events', 0, 1, '01jd3x9k2m7q8r5t6v0w1y0001', GETDATE());
INSERT INTO millstream.loads (load_id, wave_id, target, kind, fence, commits, files, bytes, rows_staged, rows_inserted, rows_updated, rows_deleted, rows_duplicate, ranges, min_received_at, max_received_at, started_at, committed_at) VALUES ('01jd3x9k2m7q8r5t6v0w1y0001', '01jd3x9k2m7q8r5t6v0w1y0002', 'app.identifies', 'append', 1, 1, 1, 4711, 1, 1, 0, 0, 0, '[{"topic":"millstream.events","part":0,"first":0,"next":1}]', '2026-11-21 06:00:01.000', '2026-11-21 06:00:01.000', '2026-11-21 06:15:30.000', GETDATE());
COMMIT;
