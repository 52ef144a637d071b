SELECT target, topic, part, next_offset, load_id FROM millstream.positions;
SELECT target, topic, part, first_offset, file_key, reason, error, attempts, DATEDIFF(second, since, GETDATE()) FROM millstream.held;
SET query_group TO 'millstream_load';
SET statement_timeout TO 2700000;
SELECT target, poll, strategy, kind, publish, part, parts, started_offset, completed_offset, range_json, rows, complete_through, deletes_through, basis, state, counted, work FROM millstream.polls WHERE target IN ('shop_public.stock') ORDER BY 1, 3, 2, 6;
SELECT table_schema, table_name, column_name, data_type, character_maximum_length, numeric_precision, numeric_scale FROM svv_columns WHERE table_schema IN ('shop_public') AND table_name IN ('stock') ORDER BY table_schema, table_name, ordinal_position;
CREATE TEMP TABLE "stg_01jd3x9k2m7q8r5t6v0w1y0001_00aa1fb2" ("id" BIGINT, "v" BIGINT, "_op" VARCHAR(64), "_pass" BIGINT, "_page" BIGINT, "_strategy" VARCHAR(64), "_poll" VARCHAR(64), "_read_at" TIMESTAMP, "_partition" BIGINT, "_offset" BIGINT) DISTKEY ("id");
COPY "stg_01jd3x9k2m7q8r5t6v0w1y0001_00aa1fb2" FROM 's3://lake/millstream/_loads/shop_public.stock/01jd3x9k2m7q8r5t6v0w1y0001-00aa1fb2.manifest'
IAM_ROLE default FORMAT AS PARQUET MANIFEST STATUPDATE OFF;
SELECT pg_last_copy_count();
CREATE TEMP TABLE "chg_01jd3x9k2m7q8r5t6v0w1y0001" DISTKEY ("id") AS
SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY "id" ORDER BY "_offset" DESC) AS "_rn" FROM (SELECT "id", "v", "_op", "_partition", "_offset" FROM "stg_01jd3x9k2m7q8r5t6v0w1y0001_00aa1fb2") a) b WHERE "_rn" = 1;
SELECT "_poll", "_partition", COUNT(*), SUM(CASE WHEN "_op" = 'c' THEN 0 ELSE 1 END), SUM(CASE WHEN "_op" = 'd' THEN 1 ELSE 0 END),
  SUM(CASE WHEN "_last_pass" > "_pass" OR "_last_pass" = "_pass" AND "_last_page" > "_page" THEN 1 ELSE 0 END)
FROM (SELECT "_poll", "_partition", "_op", "_pass", "_page", LAG("_pass") OVER (PARTITION BY "_partition" ORDER BY "_offset") AS "_last_pass",
  LAG("_page") OVER (PARTITION BY "_partition" ORDER BY "_offset") AS "_last_page" FROM (SELECT "_poll", "_partition", "_op", "_pass", "_page", "_offset" FROM "stg_01jd3x9k2m7q8r5t6v0w1y0001_00aa1fb2") a) b GROUP BY 1, 2;
SET statement_timeout TO 300000;
BEGIN;
LOCK TABLE millstream.gate;
SET statement_timeout TO 2700000;
SELECT fence FROM millstream.fence;
SELECT target, topic, part, next_offset, load_id FROM millstream.positions WHERE target IN ('shop_public.stock');
SET statement_timeout TO 30000;
DELETE FROM "shop_public"."stock" USING "chg_01jd3x9k2m7q8r5t6v0w1y0001" c WHERE "shop_public"."stock"."id" = c."id";
INSERT INTO "shop_public"."stock" ("id", "v")
SELECT c."id", c."v" FROM "chg_01jd3x9k2m7q8r5t6v0w1y0001" c WHERE c."_op" <> 'd';
CREATE SCHEMA IF NOT EXISTS "millstream_work";
DROP TABLE IF EXISTS "millstream_work"."01jd3x9k2m7q8r5t6v0w1y0002";
CREATE TABLE "millstream_work"."01jd3x9k2m7q8r5t6v0w1y0002" ("id" BIGINT) DISTKEY ("id");
INSERT INTO "millstream_work"."01jd3x9k2m7q8r5t6v0w1y0002" ("id")
SELECT c."id" FROM "chg_01jd3x9k2m7q8r5t6v0w1y0001" c WHERE c."_op" <> 'd' AND (c."_partition" = 0 AND c."_offset" > 1);
SELECT target, poll, strategy, kind, publish, part, parts, started_offset, completed_offset, range_json, rows, complete_through, deletes_through, basis, state, counted, work FROM millstream.polls WHERE target IN ('shop_public.stock') ORDER BY 1, 3, 2, 6;
DELETE FROM millstream.polls WHERE target = 'shop_public.stock';
INSERT INTO millstream.polls (target, poll, strategy, kind, publish, part, parts, started_offset, completed_offset, range_json, rows, complete_through, deletes_through, basis, state, counted, work) VALUES ('shop_public.stock', '01jd3x9k2m7q8r5t6v0w1y0002', 'bounded', 'bounded', 'replace', 0, 1, 1, 3, '{"column":"v","lo":"5","hi":"20"}', 1, '2026-11-21 06:00:01.000000', '2026-11-21 06:00:01.000000', '', 'due', 1, 'millstream_work.01jd3x9k2m7q8r5t6v0w1y0002');
SET statement_timeout TO 2700000;
DELETE FROM millstream.positions WHERE target IN ('shop_public.stock');
INSERT INTO millstream.positions (target, topic, part, next_offset, load_id, updated_at) VALUES ('shop_public.stock', 'millstream.changes.shop.public.stock', 0, 4, '01jd3x9k2m7q8r5t6v0w1y0001', GETDATE());
INSERT INTO millstream.loads (load_id, wave_id, target, kind, fence, commits, files, bytes, rows_staged, rows_inserted, rows_updated, rows_deleted, rows_duplicate, ranges, min_received_at, max_received_at, started_at, committed_at) VALUES ('01jd3x9k2m7q8r5t6v0w1y0001', '01jd3x9k2m7q8r5t6v0w1y0003', 'shop_public.stock', 'mirror', 1, 1, 1, 4711, 1, 0, 1, 0, 0, '[{"topic":"millstream.changes.shop.public.stock","part":0,"first":1,"next":4}]', '2026-11-21 06:00:02.000', '2026-11-21 06:00:02.000', '2026-11-21 06:15:30.000', GETDATE());
COMMIT;
SET query_group TO 'millstream_load';
SET statement_timeout TO 2700000;
SELECT target, poll, strategy, kind, publish, part, parts, started_offset, completed_offset, range_json, rows, complete_through, deletes_through, basis, state, counted, work FROM millstream.polls ORDER BY 1, 3, 2, 6;
SELECT table_schema, table_name, column_name, data_type, character_maximum_length, numeric_precision, numeric_scale FROM svv_columns WHERE table_schema IN ('shop_public', 'millstream_work') AND table_name IN ('stock', '01jd3x9k2m7q8r5t6v0w1y0002') ORDER BY table_schema, table_name, ordinal_position;
SET statement_timeout TO 300000;
BEGIN;
LOCK TABLE millstream.gate;
SET statement_timeout TO 2700000;
SELECT fence FROM millstream.fence;
SELECT target, poll, strategy, kind, publish, part, parts, started_offset, completed_offset, range_json, rows, complete_through, deletes_through, basis, state, counted, work FROM millstream.polls WHERE target IN ('shop_public.stock') ORDER BY 1, 3, 2, 6;
SET statement_timeout TO 1000;
DELETE FROM "shop_public"."stock" WHERE FALSE;
SET statement_timeout TO 2700000;
DELETE FROM "shop_public"."stock" WHERE "v" >= 5 AND "v" < 20
  AND NOT EXISTS (SELECT 1 FROM "millstream_work"."01jd3x9k2m7q8r5t6v0w1y0002" w WHERE w."id" = "shop_public"."stock"."id");
DROP TABLE IF EXISTS "millstream_work"."01jd3x9k2m7q8r5t6v0w1y0002";
DELETE FROM millstream.polls WHERE target = 'shop_public.stock';
INSERT INTO millstream.polls (target, poll, strategy, kind, publish, part, parts, started_offset, completed_offset, range_json, rows, complete_through, deletes_through, basis, state, counted, work) VALUES ('shop_public.stock', '01jd3x9k2m7q8r5t6v0w1y0002', 'bounded', 'bounded', 'replace', 0, 1, 1, 3, '{"column":"v","lo":"5","hi":"20"}', 1, '2026-11-21 06:00:01.000000', '2026-11-21 06:00:01.000000', '', 'done', 1, '');
INSERT INTO millstream.loads (load_id, wave_id, target, kind, fence, commits, files, bytes, rows_staged, rows_inserted, rows_updated, rows_deleted, rows_duplicate, ranges, min_received_at, max_received_at, started_at, committed_at) VALUES ('01jd3x9k2m7q8r5t6v0w1y0004', '01jd3x9k2m7q8r5t6v0w1y0003', 'shop_public.stock', 'mirror', 1, 0, 0, 4711, 0, 0, 0, 0, 0, '[]', NULL, NULL, '2026-11-21 06:15:30.000', GETDATE());
COMMIT;
