SELECT target, topic, part, next_offset, load_id FROM millstream.positions;
SELECT target, topic, part, first_offset, file_key, reason, error, attempts, DATEDIFF(second, since, GETDATE()) FROM millstream.held;
SET query_group TO 'millstream_load';
SET statement_timeout TO 2700000;
SELECT table_schema, table_name, column_name, data_type, character_maximum_length, numeric_precision, numeric_scale FROM svv_columns WHERE table_schema IN ('millstream') AND table_name IN ('daily_metrics') ORDER BY table_schema, table_name, ordinal_position;
CREATE TEMP TABLE "stg_01jd3x9k2m7q8r5t6v0w1y0001_dfc100de" ("metric" VARCHAR(128), "version" INTEGER, "day" DATE, "zone" VARCHAR(64), "dims" VARCHAR(64), "dims_key" VARCHAR(64), "value" NUMERIC(38,9), "estimate" DOUBLE PRECISION, "method" VARCHAR(64), "events" BIGINT, "late" BIGINT, "revision" INTEGER, "sealed_at" TIMESTAMP);
COPY "stg_01jd3x9k2m7q8r5t6v0w1y0001_dfc100de" FROM 's3://lake/millstream/_loads/millstream.daily_metrics/01jd3x9k2m7q8r5t6v0w1y0001-dfc100de.manifest'
IAM_ROLE default FORMAT AS PARQUET MANIFEST STATUPDATE OFF;
SELECT pg_last_copy_count();
SET statement_timeout TO 300000;
BEGIN;
LOCK TABLE millstream.gate;
SET statement_timeout TO 2700000;
SELECT fence FROM millstream.fence;
SELECT target, topic, part, next_offset, load_id FROM millstream.positions WHERE target IN ('millstream.daily_metrics');
SET statement_timeout TO 30000;
CREATE SCHEMA IF NOT EXISTS "millstream";
CREATE TABLE "millstream"."daily_metrics" ("metric" VARCHAR(128) ENCODE zstd, "version" INTEGER ENCODE az64, "day" DATE ENCODE raw, "zone" VARCHAR(64) ENCODE zstd, "dims" SUPER ENCODE zstd, "dims_key" VARCHAR(64) ENCODE zstd, "value" NUMERIC(38,9) ENCODE az64, "estimate" DOUBLE PRECISION ENCODE zstd, "method" VARCHAR(32) ENCODE zstd, "events" BIGINT ENCODE az64, "late" BIGINT ENCODE az64, "revision" INTEGER ENCODE az64, "sealed_at" TIMESTAMP ENCODE az64) DISTSTYLE ALL SORTKEY ("day", "metric");
SET statement_timeout TO 2700000;
SET statement_timeout TO 30000;
CREATE TEMP TABLE "day_stg_01jd3x9k2m7q8r5t6v0w1y0001_dfc100de" AS SELECT "metric", "version", "zone", "day", MAX("revision") AS "revision" FROM "stg_01jd3x9k2m7q8r5t6v0w1y0001_dfc100de" GROUP BY 1, 2, 3, 4;
DELETE FROM "millstream"."daily_metrics" USING "day_stg_01jd3x9k2m7q8r5t6v0w1y0001_dfc100de" d WHERE d."metric" = "millstream"."daily_metrics"."metric" AND d."version" = "millstream"."daily_metrics"."version" AND d."zone" = "millstream"."daily_metrics"."zone" AND d."day" = "millstream"."daily_metrics"."day" AND "millstream"."daily_metrics"."revision" < d."revision";
INSERT INTO "millstream"."daily_metrics" ("metric", "version", "day", "zone", "dims", "dims_key", "value", "estimate", "method", "events", "late", "revision", "sealed_at")
SELECT s."metric", s."version", s."day", s."zone", CASE WHEN CAN_JSON_PARSE(s."dims") THEN JSON_PARSE(s."dims") ELSE s."dims"::SUPER END, s."dims_key", s."value", s."estimate", s."method", s."events", s."late", s."revision", s."sealed_at" FROM "stg_01jd3x9k2m7q8r5t6v0w1y0001_dfc100de" s JOIN "day_stg_01jd3x9k2m7q8r5t6v0w1y0001_dfc100de" d ON d."metric" = s."metric" AND d."version" = s."version" AND d."zone" = s."zone" AND d."day" = s."day" AND d."revision" = s."revision"
LEFT JOIN (SELECT DISTINCT "metric", "version", "zone", "day", "revision" FROM "millstream"."daily_metrics") t ON t."metric" = s."metric" AND t."version" = s."version" AND t."zone" = s."zone" AND t."day" = s."day" AND t."revision" >= s."revision"
WHERE t."metric" IS NULL;
SET statement_timeout TO 2700000;
DELETE FROM millstream.positions WHERE target IN ('millstream.daily_metrics');
INSERT INTO millstream.positions (target, topic, part, next_offset, load_id, updated_at) VALUES ('millstream.daily_metrics', 'millstream.daily_metrics', 0, 1, '01jd3x9k2m7q8r5t6v0w1y0001', GETDATE());
INSERT INTO millstream.loads (load_id, wave_id, target, kind, fence, commits, files, bytes, rows_staged, rows_inserted, rows_updated, rows_deleted, rows_duplicate, ranges, min_received_at, max_received_at, started_at, committed_at) VALUES ('01jd3x9k2m7q8r5t6v0w1y0001', '01jd3x9k2m7q8r5t6v0w1y0002', 'millstream.daily_metrics', 'metrics', 1, 1, 1, 4711, 1, 1, 0, 0, 0, '[{"topic":"millstream.daily_metrics","part":0,"first":0,"next":1}]', '2026-11-21 06:00:01.000', '2026-11-21 06:00:01.000', '2026-11-21 06:15:30.000', GETDATE());
COMMIT;
