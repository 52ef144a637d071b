-- xmin, key of 1
SELECT count(*), coalesce(bit_xor(hashint8extended("k1", xmin::text::bigint)), 0) FROM "shop"."orders" WHERE "k1" < $1
--   1: "99"
-- xmin, key of 1
SELECT count(*), coalesce(bit_xor(hashint8extended("k1", xmin::text::bigint)), 0) FROM "shop"."orders" WHERE "k1" >= $1 AND "k1" < $2
--   1: "42"
--   2: "99"
-- xmin, key of 1
SELECT count(*), coalesce(bit_xor(hashint8extended("k1", xmin::text::bigint)), 0) FROM "shop"."orders" WHERE "k1" >= $1
--   1: "42"
-- md5, key of 1
SELECT count(*), coalesce(bit_xor(('x' || left(md5(ROW("k1", "updated_at", "note")::text), 16))::bit(64)::bigint), 0) FROM "shop"."orders" WHERE "k1" < $1
--   1: "99"
-- md5, key of 1
SELECT count(*), coalesce(bit_xor(('x' || left(md5(ROW("k1", "updated_at", "note")::text), 16))::bit(64)::bigint), 0) FROM "shop"."orders" WHERE "k1" >= $1 AND "k1" < $2
--   1: "42"
--   2: "99"
-- md5, key of 1
SELECT count(*), coalesce(bit_xor(('x' || left(md5(ROW("k1", "updated_at", "note")::text), 16))::bit(64)::bigint), 0) FROM "shop"."orders" WHERE "k1" >= $1
--   1: "42"
-- stamp, key of 1
SELECT count(*), coalesce(bit_xor(hash_record_extended(ROW("k1", "updated_at"), 0)), 0) FROM "shop"."orders" WHERE "k1" < $1
--   1: "99"
-- stamp, key of 1
SELECT count(*), coalesce(bit_xor(hash_record_extended(ROW("k1", "updated_at"), 0)), 0) FROM "shop"."orders" WHERE "k1" >= $1 AND "k1" < $2
--   1: "42"
--   2: "99"
-- stamp, key of 1
SELECT count(*), coalesce(bit_xor(hash_record_extended(ROW("k1", "updated_at"), 0)), 0) FROM "shop"."orders" WHERE "k1" >= $1
--   1: "42"
-- xmin, key of 2
SELECT count(*), coalesce(bit_xor(hash_record_extended(ROW("k1", "k2"), xmin::text::bigint)), 0) FROM "shop"."orders" WHERE ("k1", "k2") < ($1, $2)
--   1: "99"
--   2: "00ff"
-- xmin, key of 2
SELECT count(*), coalesce(bit_xor(hash_record_extended(ROW("k1", "k2"), xmin::text::bigint)), 0) FROM "shop"."orders" WHERE ("k1", "k2") >= ($1, $2) AND ("k1", "k2") < ($3, $4)
--   1: "42"
--   2: "0027"
--   3: "99"
--   4: "00ff"
-- xmin, key of 2
SELECT count(*), coalesce(bit_xor(hash_record_extended(ROW("k1", "k2"), xmin::text::bigint)), 0) FROM "shop"."orders" WHERE ("k1", "k2") >= ($1, $2)
--   1: "42"
--   2: "0027"
-- md5, key of 2
SELECT count(*), coalesce(bit_xor(('x' || left(md5(ROW("k1", "k2", "updated_at", "note")::text), 16))::bit(64)::bigint), 0) FROM "shop"."orders" WHERE ("k1", "k2") < ($1, $2)
--   1: "99"
--   2: "00ff"
-- md5, key of 2
SELECT count(*), coalesce(bit_xor(('x' || left(md5(ROW("k1", "k2", "updated_at", "note")::text), 16))::bit(64)::bigint), 0) FROM "shop"."orders" WHERE ("k1", "k2") >= ($1, $2) AND ("k1", "k2") < ($3, $4)
--   1: "42"
--   2: "0027"
--   3: "99"
--   4: "00ff"
-- md5, key of 2
SELECT count(*), coalesce(bit_xor(('x' || left(md5(ROW("k1", "k2", "updated_at", "note")::text), 16))::bit(64)::bigint), 0) FROM "shop"."orders" WHERE ("k1", "k2") >= ($1, $2)
--   1: "42"
--   2: "0027"
-- stamp, key of 2
SELECT count(*), coalesce(bit_xor(hash_record_extended(ROW("k1", "k2", "updated_at"), 0)), 0) FROM "shop"."orders" WHERE ("k1", "k2") < ($1, $2)
--   1: "99"
--   2: "00ff"
-- stamp, key of 2
SELECT count(*), coalesce(bit_xor(hash_record_extended(ROW("k1", "k2", "updated_at"), 0)), 0) FROM "shop"."orders" WHERE ("k1", "k2") >= ($1, $2) AND ("k1", "k2") < ($3, $4)
--   1: "42"
--   2: "0027"
--   3: "99"
--   4: "00ff"
-- stamp, key of 2
SELECT count(*), coalesce(bit_xor(hash_record_extended(ROW("k1", "k2", "updated_at"), 0)), 0) FROM "shop"."orders" WHERE ("k1", "k2") >= ($1, $2)
--   1: "42"
--   2: "0027"
-- xmin, key of 3
SELECT count(*), coalesce(bit_xor(hash_record_extended(ROW("k1", "k2", "k3"), xmin::text::bigint)), 0) FROM "shop"."orders" WHERE ("k1", "k2", "k3") < ($1, $2, $3)
--   1: "99"
--   2: "00ff"
--   3: "4"
-- xmin, key of 3
SELECT count(*), coalesce(bit_xor(hash_record_extended(ROW("k1", "k2", "k3"), xmin::text::bigint)), 0) FROM "shop"."orders" WHERE ("k1", "k2", "k3") >= ($1, $2, $3) AND ("k1", "k2", "k3") < ($4, $5, $6)
--   1: "42"
--   2: "0027"
--   3: "3"
--   4: "99"
--   5: "00ff"
--   6: "4"
-- xmin, key of 3
SELECT count(*), coalesce(bit_xor(hash_record_extended(ROW("k1", "k2", "k3"), xmin::text::bigint)), 0) FROM "shop"."orders" WHERE ("k1", "k2", "k3") >= ($1, $2, $3)
--   1: "42"
--   2: "0027"
--   3: "3"
-- md5, key of 3
SELECT count(*), coalesce(bit_xor(('x' || left(md5(ROW("k1", "k2", "k3", "updated_at", "note")::text), 16))::bit(64)::bigint), 0) FROM "shop"."orders" WHERE ("k1", "k2", "k3") < ($1, $2, $3)
--   1: "99"
--   2: "00ff"
--   3: "4"
-- md5, key of 3
SELECT count(*), coalesce(bit_xor(('x' || left(md5(ROW("k1", "k2", "k3", "updated_at", "note")::text), 16))::bit(64)::bigint), 0) FROM "shop"."orders" WHERE ("k1", "k2", "k3") >= ($1, $2, $3) AND ("k1", "k2", "k3") < ($4, $5, $6)
--   1: "42"
--   2: "0027"
--   3: "3"
--   4: "99"
--   5: "00ff"
--   6: "4"
-- md5, key of 3
SELECT count(*), coalesce(bit_xor(('x' || left(md5(ROW("k1", "k2", "k3", "updated_at", "note")::text), 16))::bit(64)::bigint), 0) FROM "shop"."orders" WHERE ("k1", "k2", "k3") >= ($1, $2, $3)
--   1: "42"
--   2: "0027"
--   3: "3"
-- stamp, key of 3
SELECT count(*), coalesce(bit_xor(hash_record_extended(ROW("k1", "k2", "k3", "updated_at"), 0)), 0) FROM "shop"."orders" WHERE ("k1", "k2", "k3") < ($1, $2, $3)
--   1: "99"
--   2: "00ff"
--   3: "4"
-- stamp, key of 3
SELECT count(*), coalesce(bit_xor(hash_record_extended(ROW("k1", "k2", "k3", "updated_at"), 0)), 0) FROM "shop"."orders" WHERE ("k1", "k2", "k3") >= ($1, $2, $3) AND ("k1", "k2", "k3") < ($4, $5, $6)
--   1: "42"
--   2: "0027"
--   3: "3"
--   4: "99"
--   5: "00ff"
--   6: "4"
-- stamp, key of 3
SELECT count(*), coalesce(bit_xor(hash_record_extended(ROW("k1", "k2", "k3", "updated_at"), 0)), 0) FROM "shop"."orders" WHERE ("k1", "k2", "k3") >= ($1, $2, $3)
--   1: "42"
--   2: "0027"
--   3: "3"
