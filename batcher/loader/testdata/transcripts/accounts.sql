SELECT target, topic, part, next_offset, load_id FROM millstream.positions;
SELECT target, topic, part, first_offset, file_key, reason, error, attempts, DATEDIFF(second, since, GETDATE()) FROM millstream.held;
SET query_group TO 'millstream_load';
SET statement_timeout TO 2700000;
SELECT table_schema, table_name, column_name, data_type, character_maximum_length, numeric_precision, numeric_scale FROM svv_columns WHERE table_schema IN ('app') AND table_name IN ('groups', 'accounts') ORDER BY table_schema, table_name, ordinal_position;
CREATE TEMP TABLE "stg_01jd3x9k2m7q8r5t6v0w1y0001_ef88feb0" ("id" VARCHAR(256), "received_at" TIMESTAMP, "user_id" VARCHAR(256), "_unmapped" VARCHAR(64), "_partition" BIGINT, "_offset" BIGINT, "group_id" VARCHAR(256), "name" VARCHAR(64)) DISTKEY ("id") SORTKEY ("received_at");
COPY "stg_01jd3x9k2m7q8r5t6v0w1y0001_ef88feb0" FROM 's3://lake/millstream/_loads/app.groups/01jd3x9k2m7q8r5t6v0w1y0001-ef88feb0.manifest'
IAM_ROLE default FORMAT AS PARQUET MANIFEST STATUPDATE OFF;
SELECT pg_last_copy_count();
SET statement_timeout TO 300000;
BEGIN;
LOCK TABLE millstream.gate;
SET statement_timeout TO 2700000;
SELECT fence FROM millstream.fence;
SELECT target, topic, part, next_offset, load_id FROM millstream.positions WHERE target IN ('app.groups');
SET statement_timeout TO 30000;
INSERT INTO "app"."groups" ("id", "received_at", "user_id", "_unmapped", "_partition", "_offset", "group_id", "name")
SELECT s."id", s."received_at", s."user_id", CASE WHEN CAN_JSON_PARSE(s."_unmapped") THEN JSON_PARSE(s."_unmapped") ELSE s."_unmapped"::SUPER END, s."_partition", s."_offset", s."group_id", s."name"
FROM (SELECT *, LAG("received_at") OVER (PARTITION BY "id" ORDER BY "received_at", "_partition", "_offset") AS "_prev" FROM "stg_01jd3x9k2m7q8r5t6v0w1y0001_ef88feb0") s
LEFT JOIN "app"."groups" t ON t."id" = s."id" AND t."received_at" >= '2026-11-20 06:00:02.000'
  AND t."received_at" BETWEEN DATEADD(second, -86400, s."received_at") AND DATEADD(second, 86400, s."received_at")
WHERE t."id" IS NULL AND (s."_prev" IS NULL OR s."_prev" < DATEADD(second, -86400, s."received_at"));
CREATE TEMP TABLE "new_01jd3x9k2m7q8r5t6v0w1y0001" DISTKEY ("id") AS
SELECT DISTINCT s."id" AS "id", MAX(s."received_at") OVER (PARTITION BY s."id") AS "received_at",
  LAST_VALUE(s."name") IGNORE NULLS OVER (PARTITION BY s."id" ORDER BY s."received_at", s."_partition", s."_offset" ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS "name"
FROM (SELECT e."group_id" AS "id", e."received_at", e."name", e."_partition", e."_offset" FROM "app"."groups" e WHERE e."received_at" >= '2026-11-21 06:00:02.000' AND e."group_id" IN (SELECT "group_id" FROM "stg_01jd3x9k2m7q8r5t6v0w1y0001_ef88feb0")) s;
MERGE INTO "app"."accounts" USING "new_01jd3x9k2m7q8r5t6v0w1y0001" s ON "app"."accounts"."id" = s."id"
WHEN MATCHED THEN UPDATE SET "received_at" = GREATEST("app"."accounts"."received_at", s."received_at"),
  "name" = CASE WHEN s."received_at" >= "app"."accounts"."received_at" THEN COALESCE(s."name", "app"."accounts"."name") ELSE COALESCE("app"."accounts"."name", s."name") END
WHEN NOT MATCHED THEN INSERT ("id", "received_at", "name") VALUES (s."id", s."received_at", s."name");
SET statement_timeout TO 2700000;
DELETE FROM millstream.positions WHERE target IN ('app.groups');
INSERT INTO millstream.positions (target, topic, part, next_offset, load_id, updated_at) VALUES ('app.groups', 'millstream.events', 0, 2, '01jd3x9k2m7q8r5t6v0w1y0001', GETDATE());
INSERT INTO millstream.loads (load_id, wave_id, target, kind, fence, commits, files, bytes, rows_staged, rows_inserted, rows_updated, rows_deleted, rows_duplicate, ranges, min_received_at, max_received_at, started_at, committed_at) VALUES ('01jd3x9k2m7q8r5t6v0w1y0001', '01jd3x9k2m7q8r5t6v0w1y0002', 'app.groups', 'append', 1, 1, 1, 4711, 1, 1, 0, 0, 0, '[{"topic":"millstream.events","part":0,"first":1,"next":2}]', '2026-11-21 06:00:02.000', '2026-11-21 06:00:02.000', '2026-11-21 06:15:30.000', GETDATE());
COMMIT;
