CREATE TEMP TABLE "new_1" DISTKEY ("id") AS
SELECT DISTINCT s."id" AS "id", MAX(s."received_at") OVER (PARTITION BY s."id") AS "received_at",
  LAST_VALUE(s."email") IGNORE NULLS OVER (PARTITION BY s."id" ORDER BY s."received_at", s."_partition", s."_offset" ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS "email",
  LAST_VALUE(s."plan") IGNORE NULLS OVER (PARTITION BY s."id" ORDER BY s."received_at", s."_partition", s."_offset" ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS "plan"
FROM (SELECT e."user_id" AS "id", e."received_at", e."email", CASE WHEN JSON_SIZE(e."plan") <= 65535 THEN JSON_SERIALIZE(e."plan") END AS "plan", e."_partition", e."_offset" FROM "app"."identifies" e WHERE e."received_at" >= '2026-11-21 06:15:02.113' AND e."user_id" IN (SELECT "user_id" FROM "stg_a" UNION ALL SELECT "user_id" FROM "stg_b")) s;
MERGE INTO "app"."users" USING "new_1" s ON "app"."users"."id" = s."id"
WHEN MATCHED THEN UPDATE SET "received_at" = GREATEST("app"."users"."received_at", s."received_at"),
  "email" = CASE WHEN s."received_at" >= "app"."users"."received_at" THEN COALESCE(s."email", "app"."users"."email") ELSE COALESCE("app"."users"."email", s."email") END,
  "plan" = CASE WHEN s."received_at" >= "app"."users"."received_at" THEN COALESCE(CASE WHEN CAN_JSON_PARSE(s."plan") THEN JSON_PARSE(s."plan") ELSE s."plan"::SUPER END, "app"."users"."plan") ELSE COALESCE("app"."users"."plan", CASE WHEN CAN_JSON_PARSE(s."plan") THEN JSON_PARSE(s."plan") ELSE s."plan"::SUPER END) END
WHEN NOT MATCHED THEN INSERT ("id", "received_at", "email", "plan") VALUES (s."id", s."received_at", s."email", CASE WHEN CAN_JSON_PARSE(s."plan") THEN JSON_PARSE(s."plan") ELSE s."plan"::SUPER END);
