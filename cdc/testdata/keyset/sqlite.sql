-- stamp, first, key of 1
SELECT "k1", "updated_at", +"updated_at", +"k1", (("updated_at" >= ?1 AND ("updated_at" >= ?2 OR "updated_at" < ?3)) OR "k1" > ?7), (("updated_at" >= ?4 AND ("updated_at" >= ?5 OR "updated_at" < ?6))) FROM "shop"."orders" AS t WHERE ("updated_at" >= ?8 AND ("updated_at" >= ?9 OR "updated_at" < ?10)) ORDER BY t."updated_at", t."k1" LIMIT 1000
--   1: "'2026-11-21 06:15'"
--   2: "'2026-11-21T06:15'"
--   3: "'2026-11-21T'"
--   4: "'2026-11-21 06:15'"
--   5: "'2026-11-21T06:15'"
--   6: "'2026-11-21T'"
--   7: "40"
--   8: "'2026-11-21 06:15'"
--   9: "'2026-11-21T06:15'"
--   10: "'2026-11-21T'"
-- stamp, next, key of 1
SELECT "k1", "updated_at", +"updated_at", +"k1", (("updated_at" >= ?1 AND ("updated_at" >= ?2 OR "updated_at" < ?3)) OR 1=1), (("updated_at" >= ?4 AND ("updated_at" >= ?5 OR "updated_at" < ?6))) FROM "shop"."orders" AS t WHERE ("updated_at" >= ?7 AND ("updated_at" >= ?8 OR "updated_at" < ?9)) AND ("updated_at", "k1") > (?10, ?11) ORDER BY t."updated_at", t."k1" LIMIT 1000
--   1: "'2026-11-21 06:15'"
--   2: "'2026-11-21T06:15'"
--   3: "'2026-11-21T'"
--   4: "'2026-11-21 06:15'"
--   5: "'2026-11-21T06:15'"
--   6: "'2026-11-21T'"
--   7: "'2026-11-21 06:15'"
--   8: "'2026-11-21T06:15'"
--   9: "'2026-11-21T'"
--   10: "2026-11-21 06:15:02.113"
--   11: "42"
-- id, key of 1
SELECT "k1", "updated_at", +"k1", ("k1" > ?1), (1=0) FROM "shop"."orders" AS t WHERE "k1" > ?2 ORDER BY t."k1" LIMIT 1000
--   1: "40"
--   2: "41"
-- load, first, key of 1
SELECT "k1", "updated_at", +"k1", 1=0, (1=0) FROM "shop"."orders" AS t ORDER BY t."k1" LIMIT 1000
-- load, next, key of 1
SELECT "k1", "updated_at", +"k1", 1=0, (1=0) FROM "shop"."orders" AS t WHERE "k1" > ?1 ORDER BY t."k1" LIMIT 1000
--   1: "42"
-- load, range, first, key of 1
SELECT "k1", "updated_at", +"k1", 1=0, (1=0) FROM "shop"."orders" AS t WHERE "k1" > ?1 AND "k1" <= ?2 ORDER BY t."k1" LIMIT 1000
--   1: "42"
--   2: "99"
-- load, range, next, key of 1
SELECT "k1", "updated_at", +"k1", 1=0, (1=0) FROM "shop"."orders" AS t WHERE "k1" <= ?1 AND "k1" > ?2 ORDER BY t."k1" LIMIT 1000
--   1: "99"
--   2: "42"
-- nulls, first, key of 1
SELECT "k1", "updated_at", +"k1", 1=1, 1=0 FROM "shop"."orders" AS t WHERE "updated_at" IS NULL ORDER BY t."k1" LIMIT 1000
-- nulls, next, key of 1
SELECT "k1", "updated_at", +"k1", 1=1, 1=0 FROM "shop"."orders" AS t WHERE "updated_at" IS NULL AND "k1" > ?1 ORDER BY t."k1" LIMIT 1000
--   1: "42"
-- window, first, key of 1
SELECT "k1", "updated_at", +"updated_at", +"k1", 1=0, (("updated_at" >= ?1 AND ("updated_at" >= ?2 OR "updated_at" < ?3))) FROM "shop"."orders" AS t WHERE ("updated_at" >= ?4 AND ("updated_at" >= ?5 OR "updated_at" < ?6)) ORDER BY t."updated_at", t."k1" LIMIT 1000
--   1: "'2026-11-21 06:15'"
--   2: "'2026-11-21T06:15'"
--   3: "'2026-11-21T'"
--   4: "'2026-11-21 06:15'"
--   5: "'2026-11-21T06:15'"
--   6: "'2026-11-21T'"
-- window, next, key of 1
SELECT "k1", "updated_at", +"updated_at", +"k1", 1=0, (("updated_at" >= ?1 AND ("updated_at" >= ?2 OR "updated_at" < ?3))) FROM "shop"."orders" AS t WHERE ("updated_at" >= ?4 AND ("updated_at" >= ?5 OR "updated_at" < ?6)) AND ("updated_at", "k1") > (?7, ?8) ORDER BY t."updated_at", t."k1" LIMIT 1000
--   1: "'2026-11-21 06:15'"
--   2: "'2026-11-21T06:15'"
--   3: "'2026-11-21T'"
--   4: "'2026-11-21 06:15'"
--   5: "'2026-11-21T06:15'"
--   6: "'2026-11-21T'"
--   7: "2026-11-21 06:15:02.113"
--   8: "42"
-- stamp, first, key of 2
SELECT "k1", "k2", "updated_at", +"updated_at", +"k1", +"k2", (("updated_at" >= ?1 AND ("updated_at" >= ?2 OR "updated_at" < ?3)) OR "k1" > ?7), (("updated_at" >= ?4 AND ("updated_at" >= ?5 OR "updated_at" < ?6))) FROM "shop"."orders" AS t WHERE ("updated_at" >= ?8 AND ("updated_at" >= ?9 OR "updated_at" < ?10)) ORDER BY t."updated_at", t."k1", t."k2" LIMIT 1000
--   1: "'2026-11-21 06:15'"
--   2: "'2026-11-21T06:15'"
--   3: "'2026-11-21T'"
--   4: "'2026-11-21 06:15'"
--   5: "'2026-11-21T06:15'"
--   6: "'2026-11-21T'"
--   7: "40"
--   8: "'2026-11-21 06:15'"
--   9: "'2026-11-21T06:15'"
--   10: "'2026-11-21T'"
-- stamp, next, key of 2
SELECT "k1", "k2", "updated_at", +"updated_at", +"k1", +"k2", (("updated_at" >= ?1 AND ("updated_at" >= ?2 OR "updated_at" < ?3)) OR 1=1), (("updated_at" >= ?4 AND ("updated_at" >= ?5 OR "updated_at" < ?6))) FROM "shop"."orders" AS t WHERE ("updated_at" >= ?7 AND ("updated_at" >= ?8 OR "updated_at" < ?9)) AND ("updated_at", "k1", "k2") > (?10, ?11, ?12) ORDER BY t."updated_at", t."k1", t."k2" LIMIT 1000
--   1: "'2026-11-21 06:15'"
--   2: "'2026-11-21T06:15'"
--   3: "'2026-11-21T'"
--   4: "'2026-11-21 06:15'"
--   5: "'2026-11-21T06:15'"
--   6: "'2026-11-21T'"
--   7: "'2026-11-21 06:15'"
--   8: "'2026-11-21T06:15'"
--   9: "'2026-11-21T'"
--   10: "2026-11-21 06:15:02.113"
--   11: "42"
--   12: "0027"
-- id, key of 2
SELECT "k1", "k2", "updated_at", +"k1", ("k1" > ?1), (1=0) FROM "shop"."orders" AS t WHERE "k1" > ?2 ORDER BY t."k1" LIMIT 1000
--   1: "40"
--   2: "41"
-- load, first, key of 2
SELECT "k1", "k2", "updated_at", +"k1", +"k2", 1=0, (1=0) FROM "shop"."orders" AS t ORDER BY t."k1", t."k2" LIMIT 1000
-- load, next, key of 2
SELECT "k1", "k2", "updated_at", +"k1", +"k2", 1=0, (1=0) FROM "shop"."orders" AS t WHERE ("k1", "k2") > (?1, ?2) ORDER BY t."k1", t."k2" LIMIT 1000
--   1: "42"
--   2: "0027"
-- load, range, first, key of 2
SELECT "k1", "k2", "updated_at", +"k1", +"k2", 1=0, (1=0) FROM "shop"."orders" AS t WHERE "k1" > ?1 AND "k1" <= ?2 ORDER BY t."k1", t."k2" LIMIT 1000
--   1: "42"
--   2: "99"
-- load, range, next, key of 2
SELECT "k1", "k2", "updated_at", +"k1", +"k2", 1=0, (1=0) FROM "shop"."orders" AS t WHERE "k1" <= ?1 AND ("k1", "k2") > (?2, ?3) ORDER BY t."k1", t."k2" LIMIT 1000
--   1: "99"
--   2: "42"
--   3: "0027"
-- nulls, first, key of 2
SELECT "k1", "k2", "updated_at", +"k1", +"k2", 1=1, 1=0 FROM "shop"."orders" AS t WHERE "updated_at" IS NULL ORDER BY t."k1", t."k2" LIMIT 1000
-- nulls, next, key of 2
SELECT "k1", "k2", "updated_at", +"k1", +"k2", 1=1, 1=0 FROM "shop"."orders" AS t WHERE "updated_at" IS NULL AND ("k1", "k2") > (?1, ?2) ORDER BY t."k1", t."k2" LIMIT 1000
--   1: "42"
--   2: "0027"
-- window, first, key of 2
SELECT "k1", "k2", "updated_at", +"updated_at", +"k1", +"k2", 1=0, (("updated_at" >= ?1 AND ("updated_at" >= ?2 OR "updated_at" < ?3))) FROM "shop"."orders" AS t WHERE ("updated_at" >= ?4 AND ("updated_at" >= ?5 OR "updated_at" < ?6)) ORDER BY t."updated_at", t."k1", t."k2" LIMIT 1000
--   1: "'2026-11-21 06:15'"
--   2: "'2026-11-21T06:15'"
--   3: "'2026-11-21T'"
--   4: "'2026-11-21 06:15'"
--   5: "'2026-11-21T06:15'"
--   6: "'2026-11-21T'"
-- window, next, key of 2
SELECT "k1", "k2", "updated_at", +"updated_at", +"k1", +"k2", 1=0, (("updated_at" >= ?1 AND ("updated_at" >= ?2 OR "updated_at" < ?3))) FROM "shop"."orders" AS t WHERE ("updated_at" >= ?4 AND ("updated_at" >= ?5 OR "updated_at" < ?6)) AND ("updated_at", "k1", "k2") > (?7, ?8, ?9) ORDER BY t."updated_at", t."k1", t."k2" LIMIT 1000
--   1: "'2026-11-21 06:15'"
--   2: "'2026-11-21T06:15'"
--   3: "'2026-11-21T'"
--   4: "'2026-11-21 06:15'"
--   5: "'2026-11-21T06:15'"
--   6: "'2026-11-21T'"
--   7: "2026-11-21 06:15:02.113"
--   8: "42"
--   9: "0027"
-- stamp, first, key of 3
SELECT "k1", "k2", "k3", "updated_at", +"updated_at", +"k1", +"k2", +"k3", (("updated_at" >= ?1 AND ("updated_at" >= ?2 OR "updated_at" < ?3)) OR "k1" > ?7), (("updated_at" >= ?4 AND ("updated_at" >= ?5 OR "updated_at" < ?6))) FROM "shop"."orders" AS t WHERE ("updated_at" >= ?8 AND ("updated_at" >= ?9 OR "updated_at" < ?10)) ORDER BY t."updated_at", t."k1", t."k2", t."k3" LIMIT 1000
--   1: "'2026-11-21 06:15'"
--   2: "'2026-11-21T06:15'"
--   3: "'2026-11-21T'"
--   4: "'2026-11-21 06:15'"
--   5: "'2026-11-21T06:15'"
--   6: "'2026-11-21T'"
--   7: "40"
--   8: "'2026-11-21 06:15'"
--   9: "'2026-11-21T06:15'"
--   10: "'2026-11-21T'"
-- stamp, next, key of 3
SELECT "k1", "k2", "k3", "updated_at", +"updated_at", +"k1", +"k2", +"k3", (("updated_at" >= ?1 AND ("updated_at" >= ?2 OR "updated_at" < ?3)) OR 1=1), (("updated_at" >= ?4 AND ("updated_at" >= ?5 OR "updated_at" < ?6))) FROM "shop"."orders" AS t WHERE ("updated_at" >= ?7 AND ("updated_at" >= ?8 OR "updated_at" < ?9)) AND ("updated_at", "k1", "k2", "k3") > (?10, ?11, ?12, ?13) ORDER BY t."updated_at", t."k1", t."k2", t."k3" LIMIT 1000
--   1: "'2026-11-21 06:15'"
--   2: "'2026-11-21T06:15'"
--   3: "'2026-11-21T'"
--   4: "'2026-11-21 06:15'"
--   5: "'2026-11-21T06:15'"
--   6: "'2026-11-21T'"
--   7: "'2026-11-21 06:15'"
--   8: "'2026-11-21T06:15'"
--   9: "'2026-11-21T'"
--   10: "2026-11-21 06:15:02.113"
--   11: "42"
--   12: "0027"
--   13: "3"
-- id, key of 3
SELECT "k1", "k2", "k3", "updated_at", +"k1", ("k1" > ?1), (1=0) FROM "shop"."orders" AS t WHERE "k1" > ?2 ORDER BY t."k1" LIMIT 1000
--   1: "40"
--   2: "41"
-- load, first, key of 3
SELECT "k1", "k2", "k3", "updated_at", +"k1", +"k2", +"k3", 1=0, (1=0) FROM "shop"."orders" AS t ORDER BY t."k1", t."k2", t."k3" LIMIT 1000
-- load, next, key of 3
SELECT "k1", "k2", "k3", "updated_at", +"k1", +"k2", +"k3", 1=0, (1=0) FROM "shop"."orders" AS t WHERE ("k1", "k2", "k3") > (?1, ?2, ?3) ORDER BY t."k1", t."k2", t."k3" LIMIT 1000
--   1: "42"
--   2: "0027"
--   3: "3"
-- load, range, first, key of 3
SELECT "k1", "k2", "k3", "updated_at", +"k1", +"k2", +"k3", 1=0, (1=0) FROM "shop"."orders" AS t WHERE "k1" > ?1 AND "k1" <= ?2 ORDER BY t."k1", t."k2", t."k3" LIMIT 1000
--   1: "42"
--   2: "99"
-- load, range, next, key of 3
SELECT "k1", "k2", "k3", "updated_at", +"k1", +"k2", +"k3", 1=0, (1=0) FROM "shop"."orders" AS t WHERE "k1" <= ?1 AND ("k1", "k2", "k3") > (?2, ?3, ?4) ORDER BY t."k1", t."k2", t."k3" LIMIT 1000
--   1: "99"
--   2: "42"
--   3: "0027"
--   4: "3"
-- nulls, first, key of 3
SELECT "k1", "k2", "k3", "updated_at", +"k1", +"k2", +"k3", 1=1, 1=0 FROM "shop"."orders" AS t WHERE "updated_at" IS NULL ORDER BY t."k1", t."k2", t."k3" LIMIT 1000
-- nulls, next, key of 3
SELECT "k1", "k2", "k3", "updated_at", +"k1", +"k2", +"k3", 1=1, 1=0 FROM "shop"."orders" AS t WHERE "updated_at" IS NULL AND ("k1", "k2", "k3") > (?1, ?2, ?3) ORDER BY t."k1", t."k2", t."k3" LIMIT 1000
--   1: "42"
--   2: "0027"
--   3: "3"
-- window, first, key of 3
SELECT "k1", "k2", "k3", "updated_at", +"updated_at", +"k1", +"k2", +"k3", 1=0, (("updated_at" >= ?1 AND ("updated_at" >= ?2 OR "updated_at" < ?3))) FROM "shop"."orders" AS t WHERE ("updated_at" >= ?4 AND ("updated_at" >= ?5 OR "updated_at" < ?6)) ORDER BY t."updated_at", t."k1", t."k2", t."k3" LIMIT 1000
--   1: "'2026-11-21 06:15'"
--   2: "'2026-11-21T06:15'"
--   3: "'2026-11-21T'"
--   4: "'2026-11-21 06:15'"
--   5: "'2026-11-21T06:15'"
--   6: "'2026-11-21T'"
-- window, next, key of 3
SELECT "k1", "k2", "k3", "updated_at", +"updated_at", +"k1", +"k2", +"k3", 1=0, (("updated_at" >= ?1 AND ("updated_at" >= ?2 OR "updated_at" < ?3))) FROM "shop"."orders" AS t WHERE ("updated_at" >= ?4 AND ("updated_at" >= ?5 OR "updated_at" < ?6)) AND ("updated_at", "k1", "k2", "k3") > (?7, ?8, ?9, ?10) ORDER BY t."updated_at", t."k1", t."k2", t."k3" LIMIT 1000
--   1: "'2026-11-21 06:15'"
--   2: "'2026-11-21T06:15'"
--   3: "'2026-11-21T'"
--   4: "'2026-11-21 06:15'"
--   5: "'2026-11-21T06:15'"
--   6: "'2026-11-21T'"
--   7: "2026-11-21 06:15:02.113"
--   8: "42"
--   9: "0027"
--   10: "3"
-- stamp, first, key of 4
SELECT "k1", "k2", "k3", "k4", "updated_at", +"updated_at", +"k1", +"k2", +"k3", +"k4", (("updated_at" >= ?1 AND ("updated_at" >= ?2 OR "updated_at" < ?3)) OR "k1" > ?7), (("updated_at" >= ?4 AND ("updated_at" >= ?5 OR "updated_at" < ?6))) FROM "shop"."orders" AS t WHERE ("updated_at" >= ?8 AND ("updated_at" >= ?9 OR "updated_at" < ?10)) ORDER BY t."updated_at", t."k1", t."k2", t."k3", t."k4" LIMIT 1000
--   1: "'2026-11-21 06:15'"
--   2: "'2026-11-21T06:15'"
--   3: "'2026-11-21T'"
--   4: "'2026-11-21 06:15'"
--   5: "'2026-11-21T06:15'"
--   6: "'2026-11-21T'"
--   7: "40"
--   8: "'2026-11-21 06:15'"
--   9: "'2026-11-21T06:15'"
--   10: "'2026-11-21T'"
-- stamp, next, key of 4
SELECT "k1", "k2", "k3", "k4", "updated_at", +"updated_at", +"k1", +"k2", +"k3", +"k4", (("updated_at" >= ?1 AND ("updated_at" >= ?2 OR "updated_at" < ?3)) OR 1=1), (("updated_at" >= ?4 AND ("updated_at" >= ?5 OR "updated_at" < ?6))) FROM "shop"."orders" AS t WHERE ("updated_at" >= ?7 AND ("updated_at" >= ?8 OR "updated_at" < ?9)) AND ("updated_at", "k1", "k2", "k3", "k4") > (?10, ?11, ?12, ?13, ?14) ORDER BY t."updated_at", t."k1", t."k2", t."k3", t."k4" LIMIT 1000
--   1: "'2026-11-21 06:15'"
--   2: "'2026-11-21T06:15'"
--   3: "'2026-11-21T'"
--   4: "'2026-11-21 06:15'"
--   5: "'2026-11-21T06:15'"
--   6: "'2026-11-21T'"
--   7: "'2026-11-21 06:15'"
--   8: "'2026-11-21T06:15'"
--   9: "'2026-11-21T'"
--   10: "2026-11-21 06:15:02.113"
--   11: "42"
--   12: "0027"
--   13: "3"
--   14: "Grüße"
-- id, key of 4
SELECT "k1", "k2", "k3", "k4", "updated_at", +"k1", ("k1" > ?1), (1=0) FROM "shop"."orders" AS t WHERE "k1" > ?2 ORDER BY t."k1" LIMIT 1000
--   1: "40"
--   2: "41"
-- load, first, key of 4
SELECT "k1", "k2", "k3", "k4", "updated_at", +"k1", +"k2", +"k3", +"k4", 1=0, (1=0) FROM "shop"."orders" AS t ORDER BY t."k1", t."k2", t."k3", t."k4" LIMIT 1000
-- load, next, key of 4
SELECT "k1", "k2", "k3", "k4", "updated_at", +"k1", +"k2", +"k3", +"k4", 1=0, (1=0) FROM "shop"."orders" AS t WHERE ("k1", "k2", "k3", "k4") > (?1, ?2, ?3, ?4) ORDER BY t."k1", t."k2", t."k3", t."k4" LIMIT 1000
--   1: "42"
--   2: "0027"
--   3: "3"
--   4: "Grüße"
-- load, range, first, key of 4
SELECT "k1", "k2", "k3", "k4", "updated_at", +"k1", +"k2", +"k3", +"k4", 1=0, (1=0) FROM "shop"."orders" AS t WHERE "k1" > ?1 AND "k1" <= ?2 ORDER BY t."k1", t."k2", t."k3", t."k4" LIMIT 1000
--   1: "42"
--   2: "99"
-- load, range, next, key of 4
SELECT "k1", "k2", "k3", "k4", "updated_at", +"k1", +"k2", +"k3", +"k4", 1=0, (1=0) FROM "shop"."orders" AS t WHERE "k1" <= ?1 AND ("k1", "k2", "k3", "k4") > (?2, ?3, ?4, ?5) ORDER BY t."k1", t."k2", t."k3", t."k4" LIMIT 1000
--   1: "99"
--   2: "42"
--   3: "0027"
--   4: "3"
--   5: "Grüße"
-- nulls, first, key of 4
SELECT "k1", "k2", "k3", "k4", "updated_at", +"k1", +"k2", +"k3", +"k4", 1=1, 1=0 FROM "shop"."orders" AS t WHERE "updated_at" IS NULL ORDER BY t."k1", t."k2", t."k3", t."k4" LIMIT 1000
-- nulls, next, key of 4
SELECT "k1", "k2", "k3", "k4", "updated_at", +"k1", +"k2", +"k3", +"k4", 1=1, 1=0 FROM "shop"."orders" AS t WHERE "updated_at" IS NULL AND ("k1", "k2", "k3", "k4") > (?1, ?2, ?3, ?4) ORDER BY t."k1", t."k2", t."k3", t."k4" LIMIT 1000
--   1: "42"
--   2: "0027"
--   3: "3"
--   4: "Grüße"
-- window, first, key of 4
SELECT "k1", "k2", "k3", "k4", "updated_at", +"updated_at", +"k1", +"k2", +"k3", +"k4", 1=0, (("updated_at" >= ?1 AND ("updated_at" >= ?2 OR "updated_at" < ?3))) FROM "shop"."orders" AS t WHERE ("updated_at" >= ?4 AND ("updated_at" >= ?5 OR "updated_at" < ?6)) ORDER BY t."updated_at", t."k1", t."k2", t."k3", t."k4" LIMIT 1000
--   1: "'2026-11-21 06:15'"
--   2: "'2026-11-21T06:15'"
--   3: "'2026-11-21T'"
--   4: "'2026-11-21 06:15'"
--   5: "'2026-11-21T06:15'"
--   6: "'2026-11-21T'"
-- window, next, key of 4
SELECT "k1", "k2", "k3", "k4", "updated_at", +"updated_at", +"k1", +"k2", +"k3", +"k4", 1=0, (("updated_at" >= ?1 AND ("updated_at" >= ?2 OR "updated_at" < ?3))) FROM "shop"."orders" AS t WHERE ("updated_at" >= ?4 AND ("updated_at" >= ?5 OR "updated_at" < ?6)) AND ("updated_at", "k1", "k2", "k3", "k4") > (?7, ?8, ?9, ?10, ?11) ORDER BY t."updated_at", t."k1", t."k2", t."k3", t."k4" LIMIT 1000
--   1: "'2026-11-21 06:15'"
--   2: "'2026-11-21T06:15'"
--   3: "'2026-11-21T'"
--   4: "'2026-11-21 06:15'"
--   5: "'2026-11-21T06:15'"
--   6: "'2026-11-21T'"
--   7: "2026-11-21 06:15:02.113"
--   8: "42"
--   9: "0027"
--   10: "3"
--   11: "Grüße"
