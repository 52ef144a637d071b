DELETE FROM "shop_public"."orders__refresh" USING "chg_1" c WHERE "shop_public"."orders__refresh"."id" = c."id" AND (c."_partition" = 0 AND c."_offset" > 812 OR c."_partition" = 1 AND c."_offset" > 77);
INSERT INTO "shop_public"."orders__refresh" ("id", "total", "seen", "note")
SELECT c."id", c."total", c."seen" AT TIME ZONE 'UTC', c."note" FROM "chg_1" c WHERE c."_op" <> 'd' AND (c."_partition" = 0 AND c."_offset" > 812 OR c."_partition" = 1 AND c."_offset" > 77);
INSERT INTO "shop_public"."orders__refresh" ("id", "total", "seen", "note")
SELECT c."id", c."total", c."seen" AT TIME ZONE 'UTC', c."note" FROM (SELECT "id", "total", "seen", CAST(NULL AS VARCHAR(256)) AS "note", "_poll", "_partition", "_offset" FROM "stg_1"
  UNION ALL SELECT "id", "amount" AS "total", CAST(NULL AS TIMESTAMP) AS "seen", "note", "_poll", "_partition", "_offset" FROM "stg_2") c WHERE c."_poll" = '01jd3x9k2m7q8r5t6v0w1y2z3a' AND (c."_partition" = 0 AND c."_offset" > 812 OR c."_partition" = 1 AND c."_offset" > 77);
CREATE SCHEMA IF NOT EXISTS "millstream_work";
DROP TABLE IF EXISTS "millstream_work"."01jd3x9k2m7q8r5t6v0w1y2z3a";
CREATE TABLE "millstream_work"."01jd3x9k2m7q8r5t6v0w1y2z3a" ("id" BIGINT) DISTKEY ("id");
INSERT INTO "millstream_work"."01jd3x9k2m7q8r5t6v0w1y2z3a" ("id")
SELECT c."id" FROM "chg_1" c WHERE c."_op" <> 'd' AND (c."_partition" = 0 AND c."_offset" > 812 OR c."_partition" = 1 AND c."_offset" > 77);
DELETE FROM "shop_public"."orders" WHERE "seen" >= 1 AND "seen" < 2
  AND NOT EXISTS (SELECT 1 FROM "millstream_work"."01jd3x9k2m7q8r5t6v0w1y2z3a" w WHERE w."id" = "shop_public"."orders"."id");
DELETE FROM "shop_public"."orders" WHERE "id" >= 1 AND "id" < 2;
DROP TABLE IF EXISTS "shop_public"."orders__refresh";
ALTER TABLE "shop_public"."orders__refresh" RENAME TO "orders";
ALTER TABLE "shop_public"."orders" RENAME COLUMN "amount" TO "total";
