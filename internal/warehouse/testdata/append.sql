CREATE TEMP TABLE "stg_01jd3x9k_51d0e3aa" ("id" VARCHAR(256), "received_at" TIMESTAMP, "note" VARCHAR(256), "yes" BOOLEAN, "i16" SMALLINT, "i32" INTEGER, "i64" BIGINT, "f32" REAL, "f64" DOUBLE PRECISION, "price" NUMERIC(18,2), "day" DATE, "doc" VARCHAR(64), "raw" VARBYTE(1024000), "_partition" BIGINT, "_offset" BIGINT) DISTKEY ("id") SORTKEY ("received_at");
COPY "stg_01jd3x9k_51d0e3aa" FROM 's3://lake/millstream/_loads/app.order_completed/01jd3x9k-51d0e3aa.manifest'
IAM_ROLE 'arn:aws:iam::123456789012:role/millstream-load' FORMAT AS PARQUET MANIFEST STATUPDATE OFF;
SELECT pg_last_copy_count();
INSERT INTO "app"."order_completed" ("id", "received_at", "note", "yes", "i16", "i32", "i64", "f32", "f64", "price", "day", "doc", "raw", "_partition", "_offset")
SELECT s."id", s."received_at", s."note", s."yes", s."i16", s."i32", s."i64", s."f32", s."f64", s."price", s."day", CASE WHEN CAN_JSON_PARSE(s."doc") THEN JSON_PARSE(s."doc") ELSE s."doc"::SUPER END, s."raw", s."_partition", s."_offset"
FROM (SELECT *, LAG("received_at") OVER (PARTITION BY "id" ORDER BY "received_at", "_partition", "_offset") AS "_prev" FROM "stg_01jd3x9k_51d0e3aa") s
LEFT JOIN "app"."order_completed" t ON t."id" = s."id" AND t."received_at" >= '2026-11-20 06:15:02.113'
  AND t."received_at" BETWEEN DATEADD(second, -86400, s."received_at") AND DATEADD(second, 86400, s."received_at")
WHERE t."id" IS NULL AND (s."_prev" IS NULL OR s."_prev" < DATEADD(second, -86400, s."received_at"));
INSERT INTO millstream.duplicates (target, id, part, offset_, received_at, load_id)
SELECT 'app.order_completed', s."id", s."_partition", s."_offset", s."received_at", '01jd3x9k2m7q8r5t6v0w1y2z3a'
FROM "stg_01jd3x9k_51d0e3aa" s LEFT JOIN "app"."order_completed" t ON t."id" = s."id" AND t."_partition" = s."_partition" AND t."_offset" = s."_offset" AND t."received_at" >= '2026-11-21 06:15:02.113'
WHERE t."id" IS NULL;
INSERT INTO "app"."order_completed" ("id", "received_at", "note", "yes", "i16", "i32", "i64", "f32", "f64", "price", "day", "doc", "raw", "_partition", "_offset")
SELECT s."id", s."received_at", s."note", s."yes", s."i16", s."i32", s."i64", s."f32", s."f64", s."price", s."day", CASE WHEN CAN_JSON_PARSE(s."doc") THEN JSON_PARSE(s."doc") ELSE s."doc"::SUPER END, s."raw", s."_partition", s."_offset"
FROM "stg_01jd3x9k_51d0e3aa" s;
DROP TABLE "stg_01jd3x9k_51d0e3aa";
