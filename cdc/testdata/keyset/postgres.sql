-- stamp, first, key of 1
SELECT "k1", "updated_at", xmin::text, "updated_at"::text, "k1"::text, ("updated_at" >= $1 OR "k1" > $3), ("updated_at" >= $2) FROM "shop"."orders" AS t WHERE "updated_at" >= $4 ORDER BY t."updated_at", t."k1" LIMIT 1000
--   1: "2026-11-21 06:15:02.113402+00"
--   2: "2026-11-21 06:15:02.113402+00"
--   3: "40"
--   4: "2026-11-21 06:15:02.113402+00"
-- stamp, next, key of 1
SELECT "k1", "updated_at", xmin::text, "updated_at"::text, "k1"::text, ("updated_at" >= $1 OR 1=1), ("updated_at" >= $2) FROM "shop"."orders" AS t WHERE "updated_at" >= $3 AND ("updated_at", "k1") > ($4, $5) ORDER BY t."updated_at", t."k1" LIMIT 1000
--   1: "2026-11-21 06:15:02.113402+00"
--   2: "2026-11-21 06:15:02.113402+00"
--   3: "2026-11-21 06:15:02.113402+00"
--   4: "2026-11-21 06:15:02.113"
--   5: "42"
-- id, key of 1
SELECT "k1", "updated_at", xmin::text, "k1"::text, ("k1" > $1), (1=0) FROM "shop"."orders" AS t WHERE "k1" > $2 ORDER BY t."k1" LIMIT 1000
--   1: "40"
--   2: "41"
-- load, first, key of 1
SELECT "k1", "updated_at", xmin::text, "k1"::text, 1=0, (1=0) FROM "shop"."orders" AS t ORDER BY t."k1" LIMIT 1000
-- load, next, key of 1
SELECT "k1", "updated_at", xmin::text, "k1"::text, 1=0, (1=0) FROM "shop"."orders" AS t WHERE "k1" > $1 ORDER BY t."k1" LIMIT 1000
--   1: "42"
-- load, range, first, key of 1
SELECT "k1", "updated_at", xmin::text, "k1"::text, 1=0, (1=0) FROM "shop"."orders" AS t WHERE "k1" > $1 AND "k1" <= $2 ORDER BY t."k1" LIMIT 1000
--   1: "42"
--   2: "99"
-- load, range, next, key of 1
SELECT "k1", "updated_at", xmin::text, "k1"::text, 1=0, (1=0) FROM "shop"."orders" AS t WHERE "k1" <= $1 AND "k1" > $2 ORDER BY t."k1" LIMIT 1000
--   1: "99"
--   2: "42"
-- nulls, first, key of 1
SELECT "k1", "updated_at", xmin::text, "k1"::text, 1=1, 1=0 FROM "shop"."orders" AS t WHERE "updated_at" IS NULL ORDER BY t."k1" LIMIT 1000
-- nulls, next, key of 1
SELECT "k1", "updated_at", xmin::text, "k1"::text, 1=1, 1=0 FROM "shop"."orders" AS t WHERE "updated_at" IS NULL AND "k1" > $1 ORDER BY t."k1" LIMIT 1000
--   1: "42"
-- window, first, key of 1
SELECT "k1", "updated_at", xmin::text, "updated_at"::text, "k1"::text, 1=0, ("updated_at" >= $1) FROM "shop"."orders" AS t WHERE "updated_at" >= $2 ORDER BY t."updated_at", t."k1" LIMIT 1000
--   1: "2026-11-21 06:15:02.113402+00"
--   2: "2026-11-21 06:15:02.113402+00"
-- window, next, key of 1
SELECT "k1", "updated_at", xmin::text, "updated_at"::text, "k1"::text, 1=0, ("updated_at" >= $1) FROM "shop"."orders" AS t WHERE "updated_at" >= $2 AND ("updated_at", "k1") > ($3, $4) ORDER BY t."updated_at", t."k1" LIMIT 1000
--   1: "2026-11-21 06:15:02.113402+00"
--   2: "2026-11-21 06:15:02.113402+00"
--   3: "2026-11-21 06:15:02.113"
--   4: "42"
-- stamp, first, key of 2
SELECT "k1", "k2", "updated_at", xmin::text, "updated_at"::text, "k1"::text, "k2"::text, ("updated_at" >= $1 OR "k1" > $3), ("updated_at" >= $2) FROM "shop"."orders" AS t WHERE "updated_at" >= $4 ORDER BY t."updated_at", t."k1", t."k2" LIMIT 1000
--   1: "2026-11-21 06:15:02.113402+00"
--   2: "2026-11-21 06:15:02.113402+00"
--   3: "40"
--   4: "2026-11-21 06:15:02.113402+00"
-- stamp, next, key of 2
SELECT "k1", "k2", "updated_at", xmin::text, "updated_at"::text, "k1"::text, "k2"::text, ("updated_at" >= $1 OR 1=1), ("updated_at" >= $2) FROM "shop"."orders" AS t WHERE "updated_at" >= $3 AND ("updated_at", "k1", "k2") > ($4, $5, $6) ORDER BY t."updated_at", t."k1", t."k2" LIMIT 1000
--   1: "2026-11-21 06:15:02.113402+00"
--   2: "2026-11-21 06:15:02.113402+00"
--   3: "2026-11-21 06:15:02.113402+00"
--   4: "2026-11-21 06:15:02.113"
--   5: "42"
--   6: "0027"
-- id, key of 2
SELECT "k1", "k2", "updated_at", xmin::text, "k1"::text, ("k1" > $1), (1=0) FROM "shop"."orders" AS t WHERE "k1" > $2 ORDER BY t."k1" LIMIT 1000
--   1: "40"
--   2: "41"
-- load, first, key of 2
SELECT "k1", "k2", "updated_at", xmin::text, "k1"::text, "k2"::text, 1=0, (1=0) FROM "shop"."orders" AS t ORDER BY t."k1", t."k2" LIMIT 1000
-- load, next, key of 2
SELECT "k1", "k2", "updated_at", xmin::text, "k1"::text, "k2"::text, 1=0, (1=0) FROM "shop"."orders" AS t WHERE ("k1", "k2") > ($1, $2) ORDER BY t."k1", t."k2" LIMIT 1000
--   1: "42"
--   2: "0027"
-- load, range, first, key of 2
SELECT "k1", "k2", "updated_at", xmin::text, "k1"::text, "k2"::text, 1=0, (1=0) FROM "shop"."orders" AS t WHERE "k1" > $1 AND "k1" <= $2 ORDER BY t."k1", t."k2" LIMIT 1000
--   1: "42"
--   2: "99"
-- load, range, next, key of 2
SELECT "k1", "k2", "updated_at", xmin::text, "k1"::text, "k2"::text, 1=0, (1=0) FROM "shop"."orders" AS t WHERE "k1" <= $1 AND ("k1", "k2") > ($2, $3) ORDER BY t."k1", t."k2" LIMIT 1000
--   1: "99"
--   2: "42"
--   3: "0027"
-- nulls, first, key of 2
SELECT "k1", "k2", "updated_at", xmin::text, "k1"::text, "k2"::text, 1=1, 1=0 FROM "shop"."orders" AS t WHERE "updated_at" IS NULL ORDER BY t."k1", t."k2" LIMIT 1000
-- nulls, next, key of 2
SELECT "k1", "k2", "updated_at", xmin::text, "k1"::text, "k2"::text, 1=1, 1=0 FROM "shop"."orders" AS t WHERE "updated_at" IS NULL AND ("k1", "k2") > ($1, $2) ORDER BY t."k1", t."k2" LIMIT 1000
--   1: "42"
--   2: "0027"
-- window, first, key of 2
SELECT "k1", "k2", "updated_at", xmin::text, "updated_at"::text, "k1"::text, "k2"::text, 1=0, ("updated_at" >= $1) FROM "shop"."orders" AS t WHERE "updated_at" >= $2 ORDER BY t."updated_at", t."k1", t."k2" LIMIT 1000
--   1: "2026-11-21 06:15:02.113402+00"
--   2: "2026-11-21 06:15:02.113402+00"
-- window, next, key of 2
SELECT "k1", "k2", "updated_at", xmin::text, "updated_at"::text, "k1"::text, "k2"::text, 1=0, ("updated_at" >= $1) FROM "shop"."orders" AS t WHERE "updated_at" >= $2 AND ("updated_at", "k1", "k2") > ($3, $4, $5) ORDER BY t."updated_at", t."k1", t."k2" LIMIT 1000
--   1: "2026-11-21 06:15:02.113402+00"
--   2: "2026-11-21 06:15:02.113402+00"
--   3: "2026-11-21 06:15:02.113"
--   4: "42"
--   5: "0027"
-- stamp, first, key of 3
SELECT "k1", "k2", "k3", "updated_at", xmin::text, "updated_at"::text, "k1"::text, "k2"::text, "k3"::text, ("updated_at" >= $1 OR "k1" > $3), ("updated_at" >= $2) FROM "shop"."orders" AS t WHERE "updated_at" >= $4 ORDER BY t."updated_at", t."k1", t."k2", t."k3" LIMIT 1000
--   1: "2026-11-21 06:15:02.113402+00"
--   2: "2026-11-21 06:15:02.113402+00"
--   3: "40"
--   4: "2026-11-21 06:15:02.113402+00"
-- stamp, next, key of 3
SELECT "k1", "k2", "k3", "updated_at", xmin::text, "updated_at"::text, "k1"::text, "k2"::text, "k3"::text, ("updated_at" >= $1 OR 1=1), ("updated_at" >= $2) FROM "shop"."orders" AS t WHERE "updated_at" >= $3 AND ("updated_at", "k1", "k2", "k3") > ($4, $5, $6, $7) ORDER BY t."updated_at", t."k1", t."k2", t."k3" LIMIT 1000
--   1: "2026-11-21 06:15:02.113402+00"
--   2: "2026-11-21 06:15:02.113402+00"
--   3: "2026-11-21 06:15:02.113402+00"
--   4: "2026-11-21 06:15:02.113"
--   5: "42"
--   6: "0027"
--   7: "3"
-- id, key of 3
SELECT "k1", "k2", "k3", "updated_at", xmin::text, "k1"::text, ("k1" > $1), (1=0) FROM "shop"."orders" AS t WHERE "k1" > $2 ORDER BY t."k1" LIMIT 1000
--   1: "40"
--   2: "41"
-- load, first, key of 3
SELECT "k1", "k2", "k3", "updated_at", xmin::text, "k1"::text, "k2"::text, "k3"::text, 1=0, (1=0) FROM "shop"."orders" AS t ORDER BY t."k1", t."k2", t."k3" LIMIT 1000
-- load, next, key of 3
SELECT "k1", "k2", "k3", "updated_at", xmin::text, "k1"::text, "k2"::text, "k3"::text, 1=0, (1=0) FROM "shop"."orders" AS t WHERE ("k1", "k2", "k3") > ($1, $2, $3) ORDER BY t."k1", t."k2", t."k3" LIMIT 1000
--   1: "42"
--   2: "0027"
--   3: "3"
-- load, range, first, key of 3
SELECT "k1", "k2", "k3", "updated_at", xmin::text, "k1"::text, "k2"::text, "k3"::text, 1=0, (1=0) FROM "shop"."orders" AS t WHERE "k1" > $1 AND "k1" <= $2 ORDER BY t."k1", t."k2", t."k3" LIMIT 1000
--   1: "42"
--   2: "99"
-- load, range, next, key of 3
SELECT "k1", "k2", "k3", "updated_at", xmin::text, "k1"::text, "k2"::text, "k3"::text, 1=0, (1=0) FROM "shop"."orders" AS t WHERE "k1" <= $1 AND ("k1", "k2", "k3") > ($2, $3, $4) ORDER BY t."k1", t."k2", t."k3" LIMIT 1000
--   1: "99"
--   2: "42"
--   3: "0027"
--   4: "3"
-- nulls, first, key of 3
SELECT "k1", "k2", "k3", "updated_at", xmin::text, "k1"::text, "k2"::text, "k3"::text, 1=1, 1=0 FROM "shop"."orders" AS t WHERE "updated_at" IS NULL ORDER BY t."k1", t."k2", t."k3" LIMIT 1000
-- nulls, next, key of 3
SELECT "k1", "k2", "k3", "updated_at", xmin::text, "k1"::text, "k2"::text, "k3"::text, 1=1, 1=0 FROM "shop"."orders" AS t WHERE "updated_at" IS NULL AND ("k1", "k2", "k3") > ($1, $2, $3) ORDER BY t."k1", t."k2", t."k3" LIMIT 1000
--   1: "42"
--   2: "0027"
--   3: "3"
-- window, first, key of 3
SELECT "k1", "k2", "k3", "updated_at", xmin::text, "updated_at"::text, "k1"::text, "k2"::text, "k3"::text, 1=0, ("updated_at" >= $1) FROM "shop"."orders" AS t WHERE "updated_at" >= $2 ORDER BY t."updated_at", t."k1", t."k2", t."k3" LIMIT 1000
--   1: "2026-11-21 06:15:02.113402+00"
--   2: "2026-11-21 06:15:02.113402+00"
-- window, next, key of 3
SELECT "k1", "k2", "k3", "updated_at", xmin::text, "updated_at"::text, "k1"::text, "k2"::text, "k3"::text, 1=0, ("updated_at" >= $1) FROM "shop"."orders" AS t WHERE "updated_at" >= $2 AND ("updated_at", "k1", "k2", "k3") > ($3, $4, $5, $6) ORDER BY t."updated_at", t."k1", t."k2", t."k3" LIMIT 1000
--   1: "2026-11-21 06:15:02.113402+00"
--   2: "2026-11-21 06:15:02.113402+00"
--   3: "2026-11-21 06:15:02.113"
--   4: "42"
--   5: "0027"
--   6: "3"
-- stamp, first, key of 4
SELECT "k1", "k2", "k3", "k4", "updated_at", xmin::text, "updated_at"::text, "k1"::text, "k2"::text, "k3"::text, "k4"::text, ("updated_at" >= $1 OR "k1" > $3), ("updated_at" >= $2) FROM "shop"."orders" AS t WHERE "updated_at" >= $4 ORDER BY t."updated_at", t."k1", t."k2", t."k3", t."k4" LIMIT 1000
--   1: "2026-11-21 06:15:02.113402+00"
--   2: "2026-11-21 06:15:02.113402+00"
--   3: "40"
--   4: "2026-11-21 06:15:02.113402+00"
-- stamp, next, key of 4
SELECT "k1", "k2", "k3", "k4", "updated_at", xmin::text, "updated_at"::text, "k1"::text, "k2"::text, "k3"::text, "k4"::text, ("updated_at" >= $1 OR 1=1), ("updated_at" >= $2) FROM "shop"."orders" AS t WHERE "updated_at" >= $3 AND ("updated_at", "k1", "k2", "k3", "k4") > ($4, $5, $6, $7, $8) ORDER BY t."updated_at", t."k1", t."k2", t."k3", t."k4" LIMIT 1000
--   1: "2026-11-21 06:15:02.113402+00"
--   2: "2026-11-21 06:15:02.113402+00"
--   3: "2026-11-21 06:15:02.113402+00"
--   4: "2026-11-21 06:15:02.113"
--   5: "42"
--   6: "0027"
--   7: "3"
--   8: "Grüße"
-- id, key of 4
SELECT "k1", "k2", "k3", "k4", "updated_at", xmin::text, "k1"::text, ("k1" > $1), (1=0) FROM "shop"."orders" AS t WHERE "k1" > $2 ORDER BY t."k1" LIMIT 1000
--   1: "40"
--   2: "41"
-- load, first, key of 4
SELECT "k1", "k2", "k3", "k4", "updated_at", xmin::text, "k1"::text, "k2"::text, "k3"::text, "k4"::text, 1=0, (1=0) FROM "shop"."orders" AS t ORDER BY t."k1", t."k2", t."k3", t."k4" LIMIT 1000
-- load, next, key of 4
SELECT "k1", "k2", "k3", "k4", "updated_at", xmin::text, "k1"::text, "k2"::text, "k3"::text, "k4"::text, 1=0, (1=0) FROM "shop"."orders" AS t WHERE ("k1", "k2", "k3", "k4") > ($1, $2, $3, $4) ORDER BY t."k1", t."k2", t."k3", t."k4" LIMIT 1000
--   1: "42"
--   2: "0027"
--   3: "3"
--   4: "Grüße"
-- load, range, first, key of 4
SELECT "k1", "k2", "k3", "k4", "updated_at", xmin::text, "k1"::text, "k2"::text, "k3"::text, "k4"::text, 1=0, (1=0) FROM "shop"."orders" AS t WHERE "k1" > $1 AND "k1" <= $2 ORDER BY t."k1", t."k2", t."k3", t."k4" LIMIT 1000
--   1: "42"
--   2: "99"
-- load, range, next, key of 4
SELECT "k1", "k2", "k3", "k4", "updated_at", xmin::text, "k1"::text, "k2"::text, "k3"::text, "k4"::text, 1=0, (1=0) FROM "shop"."orders" AS t WHERE "k1" <= $1 AND ("k1", "k2", "k3", "k4") > ($2, $3, $4, $5) ORDER BY t."k1", t."k2", t."k3", t."k4" LIMIT 1000
--   1: "99"
--   2: "42"
--   3: "0027"
--   4: "3"
--   5: "Grüße"
-- nulls, first, key of 4
SELECT "k1", "k2", "k3", "k4", "updated_at", xmin::text, "k1"::text, "k2"::text, "k3"::text, "k4"::text, 1=1, 1=0 FROM "shop"."orders" AS t WHERE "updated_at" IS NULL ORDER BY t."k1", t."k2", t."k3", t."k4" LIMIT 1000
-- nulls, next, key of 4
SELECT "k1", "k2", "k3", "k4", "updated_at", xmin::text, "k1"::text, "k2"::text, "k3"::text, "k4"::text, 1=1, 1=0 FROM "shop"."orders" AS t WHERE "updated_at" IS NULL AND ("k1", "k2", "k3", "k4") > ($1, $2, $3, $4) ORDER BY t."k1", t."k2", t."k3", t."k4" LIMIT 1000
--   1: "42"
--   2: "0027"
--   3: "3"
--   4: "Grüße"
-- window, first, key of 4
SELECT "k1", "k2", "k3", "k4", "updated_at", xmin::text, "updated_at"::text, "k1"::text, "k2"::text, "k3"::text, "k4"::text, 1=0, ("updated_at" >= $1) FROM "shop"."orders" AS t WHERE "updated_at" >= $2 ORDER BY t."updated_at", t."k1", t."k2", t."k3", t."k4" LIMIT 1000
--   1: "2026-11-21 06:15:02.113402+00"
--   2: "2026-11-21 06:15:02.113402+00"
-- window, next, key of 4
SELECT "k1", "k2", "k3", "k4", "updated_at", xmin::text, "updated_at"::text, "k1"::text, "k2"::text, "k3"::text, "k4"::text, 1=0, ("updated_at" >= $1) FROM "shop"."orders" AS t WHERE "updated_at" >= $2 AND ("updated_at", "k1", "k2", "k3", "k4") > ($3, $4, $5, $6, $7) ORDER BY t."updated_at", t."k1", t."k2", t."k3", t."k4" LIMIT 1000
--   1: "2026-11-21 06:15:02.113402+00"
--   2: "2026-11-21 06:15:02.113402+00"
--   3: "2026-11-21 06:15:02.113"
--   4: "42"
--   5: "0027"
--   6: "3"
--   7: "Grüße"
