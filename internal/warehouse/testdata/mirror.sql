CREATE TEMP TABLE "chg_1" DISTKEY ("id") AS
SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY "id" ORDER BY "_offset" DESC) AS "_rn" FROM (SELECT "id", "total", "seen", CAST(NULL AS VARCHAR(256)) AS "note", "_op", "_partition", "_offset" FROM "stg_1"
  UNION ALL SELECT "id", "amount" AS "total", CAST(NULL AS TIMESTAMP) AS "seen", "note", "_op", "_partition", "_offset" FROM "stg_2") a) b WHERE "_rn" = 1;
SELECT "_poll", "_partition", COUNT(*), SUM(CASE WHEN "_op" = 'c' THEN 0 ELSE 1 END), SUM(CASE WHEN "_op" = 'd' THEN 1 ELSE 0 END),
  SUM(CASE WHEN "_last_pass" > "_pass" OR "_last_pass" = "_pass" AND "_last_page" > "_page" THEN 1 ELSE 0 END)
FROM (SELECT "_poll", "_partition", "_op", "_pass", "_page", LAG("_pass") OVER (PARTITION BY "_partition" ORDER BY "_offset") AS "_last_pass",
  LAG("_page") OVER (PARTITION BY "_partition" ORDER BY "_offset") AS "_last_page" FROM (SELECT "_poll", "_partition", "_op", "_pass", "_page", "_offset" FROM "stg_1"
  UNION ALL SELECT "_poll", "_partition", "_op", "_pass", "_page", "_offset" FROM "stg_2") a) b GROUP BY 1, 2;
DELETE FROM "shop_public"."orders" USING "chg_1" c WHERE "shop_public"."orders"."id" = c."id";
INSERT INTO "shop_public"."orders" ("id", "total", "seen", "note")
SELECT c."id", c."total", c."seen" AT TIME ZONE 'UTC', c."note" FROM "chg_1" c WHERE c."_op" <> 'd';
SELECT COUNT(*) FROM "chg_1" WHERE "_op" = 'd';
