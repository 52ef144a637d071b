CREATE TEMP TABLE "chg_1" DISTKEY ("id") AS
SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY "id" ORDER BY "_offset" DESC) AS "_rn" FROM (SELECT "id", "total", "seen", "_op", "_offset" FROM "stg_1") a) b WHERE "_rn" = 1;
SELECT COUNT(*) FROM "chg_1" WHERE "_op" = 'd';
DELETE FROM "shop_public"."orders" USING "chg_1" c WHERE "shop_public"."orders"."id" = c."id";
INSERT INTO "shop_public"."orders" ("id", "total", "seen")
SELECT c."id", c."total", c."seen" AT TIME ZONE 'UTC' FROM "chg_1" c WHERE c."_op" <> 'd';
