-- stamp, first, key of 1
SELECT `k1`, `updated_at`, `updated_at`, `k1`, (`updated_at` >= '2026-11-21 06:15:02.113' OR `k1` > 40), (`updated_at` >= '2026-11-21 06:15:02.113') FROM `shop`.`orders` AS t WHERE `updated_at` >= '2026-11-21 06:15:02.113' ORDER BY t.`updated_at`, t.`k1` LIMIT 1000
-- stamp, next, key of 1
SELECT `k1`, `updated_at`, `updated_at`, `k1`, (`updated_at` >= '2026-11-21 06:15:02.113' OR 1=1), (`updated_at` >= '2026-11-21 06:15:02.113') FROM `shop`.`orders` AS t WHERE `updated_at` >= '2026-11-21 06:15:02.113' AND `updated_at` >= '2026-11-21 06:15:02.113' AND (`updated_at` > '2026-11-21 06:15:02.113' OR (`updated_at` = '2026-11-21 06:15:02.113' AND `k1` > 42)) ORDER BY t.`updated_at`, t.`k1` LIMIT 1000
-- id, key of 1
SELECT `k1`, `updated_at`, `k1`, (`k1` > 40), (1=0) FROM `shop`.`orders` AS t WHERE `k1` > 41 ORDER BY t.`k1` LIMIT 1000
-- load, first, key of 1
SELECT `k1`, `updated_at`, `k1`, 1=0, (1=0) FROM `shop`.`orders` AS t ORDER BY t.`k1` LIMIT 1000
-- load, next, key of 1
SELECT `k1`, `updated_at`, `k1`, 1=0, (1=0) FROM `shop`.`orders` AS t WHERE `k1` > 42 ORDER BY t.`k1` LIMIT 1000
-- load, range, first, key of 1
SELECT `k1`, `updated_at`, `k1`, 1=0, (1=0) FROM `shop`.`orders` AS t WHERE `k1` > 42 AND `k1` <= 99 ORDER BY t.`k1` LIMIT 1000
-- load, range, next, key of 1
SELECT `k1`, `updated_at`, `k1`, 1=0, (1=0) FROM `shop`.`orders` AS t WHERE `k1` <= 99 AND `k1` > 42 ORDER BY t.`k1` LIMIT 1000
-- nulls, first, key of 1
SELECT `k1`, `updated_at`, `k1`, 1=1, 1=0 FROM `shop`.`orders` AS t WHERE `updated_at` IS NULL ORDER BY t.`k1` LIMIT 1000
-- nulls, next, key of 1
SELECT `k1`, `updated_at`, `k1`, 1=1, 1=0 FROM `shop`.`orders` AS t WHERE `updated_at` IS NULL AND `k1` > 42 ORDER BY t.`k1` LIMIT 1000
-- window, first, key of 1
SELECT `k1`, `updated_at`, `updated_at`, `k1`, 1=0, (`updated_at` >= '2026-11-21 06:15:02.113') FROM `shop`.`orders` AS t WHERE `updated_at` >= '2026-11-21 06:15:02.113' ORDER BY t.`updated_at`, t.`k1` LIMIT 1000
-- window, next, key of 1
SELECT `k1`, `updated_at`, `updated_at`, `k1`, 1=0, (`updated_at` >= '2026-11-21 06:15:02.113') FROM `shop`.`orders` AS t WHERE `updated_at` >= '2026-11-21 06:15:02.113' AND `updated_at` >= '2026-11-21 06:15:02.113' AND (`updated_at` > '2026-11-21 06:15:02.113' OR (`updated_at` = '2026-11-21 06:15:02.113' AND `k1` > 42)) ORDER BY t.`updated_at`, t.`k1` LIMIT 1000
-- stamp, first, key of 2
SELECT `k1`, `k2`, `updated_at`, `updated_at`, `k1`, HEX(`k2`), (`updated_at` >= '2026-11-21 06:15:02.113' OR `k1` > 40), (`updated_at` >= '2026-11-21 06:15:02.113') FROM `shop`.`orders` AS t WHERE `updated_at` >= '2026-11-21 06:15:02.113' ORDER BY t.`updated_at`, t.`k1`, t.`k2` LIMIT 1000
-- stamp, next, key of 2
SELECT `k1`, `k2`, `updated_at`, `updated_at`, `k1`, HEX(`k2`), (`updated_at` >= '2026-11-21 06:15:02.113' OR 1=1), (`updated_at` >= '2026-11-21 06:15:02.113') FROM `shop`.`orders` AS t WHERE `updated_at` >= '2026-11-21 06:15:02.113' AND `updated_at` >= '2026-11-21 06:15:02.113' AND (`updated_at` > '2026-11-21 06:15:02.113' OR (`updated_at` = '2026-11-21 06:15:02.113' AND (`k1` > 42 OR (`k1` = 42 AND `k2` > X'0027')))) ORDER BY t.`updated_at`, t.`k1`, t.`k2` LIMIT 1000
-- id, key of 2
SELECT `k1`, `k2`, `updated_at`, `k1`, (`k1` > 40), (1=0) FROM `shop`.`orders` AS t WHERE `k1` > 41 ORDER BY t.`k1` LIMIT 1000
-- load, first, key of 2
SELECT `k1`, `k2`, `updated_at`, `k1`, HEX(`k2`), 1=0, (1=0) FROM `shop`.`orders` AS t ORDER BY t.`k1`, t.`k2` LIMIT 1000
-- load, next, key of 2
SELECT `k1`, `k2`, `updated_at`, `k1`, HEX(`k2`), 1=0, (1=0) FROM `shop`.`orders` AS t WHERE `k1` >= 42 AND (`k1` > 42 OR (`k1` = 42 AND `k2` > X'0027')) ORDER BY t.`k1`, t.`k2` LIMIT 1000
-- load, range, first, key of 2
SELECT `k1`, `k2`, `updated_at`, `k1`, HEX(`k2`), 1=0, (1=0) FROM `shop`.`orders` AS t WHERE `k1` > 42 AND `k1` <= 99 ORDER BY t.`k1`, t.`k2` LIMIT 1000
-- load, range, next, key of 2
SELECT `k1`, `k2`, `updated_at`, `k1`, HEX(`k2`), 1=0, (1=0) FROM `shop`.`orders` AS t WHERE `k1` <= 99 AND `k1` >= 42 AND (`k1` > 42 OR (`k1` = 42 AND `k2` > X'0027')) ORDER BY t.`k1`, t.`k2` LIMIT 1000
-- nulls, first, key of 2
SELECT `k1`, `k2`, `updated_at`, `k1`, HEX(`k2`), 1=1, 1=0 FROM `shop`.`orders` AS t WHERE `updated_at` IS NULL ORDER BY t.`k1`, t.`k2` LIMIT 1000
-- nulls, next, key of 2
SELECT `k1`, `k2`, `updated_at`, `k1`, HEX(`k2`), 1=1, 1=0 FROM `shop`.`orders` AS t WHERE `updated_at` IS NULL AND `k1` >= 42 AND (`k1` > 42 OR (`k1` = 42 AND `k2` > X'0027')) ORDER BY t.`k1`, t.`k2` LIMIT 1000
-- window, first, key of 2
SELECT `k1`, `k2`, `updated_at`, `updated_at`, `k1`, HEX(`k2`), 1=0, (`updated_at` >= '2026-11-21 06:15:02.113') FROM `shop`.`orders` AS t WHERE `updated_at` >= '2026-11-21 06:15:02.113' ORDER BY t.`updated_at`, t.`k1`, t.`k2` LIMIT 1000
-- window, next, key of 2
SELECT `k1`, `k2`, `updated_at`, `updated_at`, `k1`, HEX(`k2`), 1=0, (`updated_at` >= '2026-11-21 06:15:02.113') FROM `shop`.`orders` AS t WHERE `updated_at` >= '2026-11-21 06:15:02.113' AND `updated_at` >= '2026-11-21 06:15:02.113' AND (`updated_at` > '2026-11-21 06:15:02.113' OR (`updated_at` = '2026-11-21 06:15:02.113' AND (`k1` > 42 OR (`k1` = 42 AND `k2` > X'0027')))) ORDER BY t.`updated_at`, t.`k1`, t.`k2` LIMIT 1000
-- stamp, first, key of 3
SELECT `k1`, `k2`, `k3`, `updated_at`, `updated_at`, `k1`, HEX(`k2`), `k3` + 0, (`updated_at` >= '2026-11-21 06:15:02.113' OR `k1` > 40), (`updated_at` >= '2026-11-21 06:15:02.113') FROM `shop`.`orders` AS t WHERE `updated_at` >= '2026-11-21 06:15:02.113' ORDER BY t.`updated_at`, t.`k1`, t.`k2`, t.`k3` LIMIT 1000
-- stamp, next, key of 3
SELECT `k1`, `k2`, `k3`, `updated_at`, `updated_at`, `k1`, HEX(`k2`), `k3` + 0, (`updated_at` >= '2026-11-21 06:15:02.113' OR 1=1), (`updated_at` >= '2026-11-21 06:15:02.113') FROM `shop`.`orders` AS t WHERE `updated_at` >= '2026-11-21 06:15:02.113' AND `updated_at` >= '2026-11-21 06:15:02.113' AND (`updated_at` > '2026-11-21 06:15:02.113' OR (`updated_at` = '2026-11-21 06:15:02.113' AND (`k1` > 42 OR (`k1` = 42 AND (`k2` > X'0027' OR (`k2` = X'0027' AND `k3` > 3)))))) ORDER BY t.`updated_at`, t.`k1`, t.`k2`, t.`k3` LIMIT 1000
-- id, key of 3
SELECT `k1`, `k2`, `k3`, `updated_at`, `k1`, (`k1` > 40), (1=0) FROM `shop`.`orders` AS t WHERE `k1` > 41 ORDER BY t.`k1` LIMIT 1000
-- load, first, key of 3
SELECT `k1`, `k2`, `k3`, `updated_at`, `k1`, HEX(`k2`), `k3` + 0, 1=0, (1=0) FROM `shop`.`orders` AS t ORDER BY t.`k1`, t.`k2`, t.`k3` LIMIT 1000
-- load, next, key of 3
SELECT `k1`, `k2`, `k3`, `updated_at`, `k1`, HEX(`k2`), `k3` + 0, 1=0, (1=0) FROM `shop`.`orders` AS t WHERE `k1` >= 42 AND (`k1` > 42 OR (`k1` = 42 AND (`k2` > X'0027' OR (`k2` = X'0027' AND `k3` > 3)))) ORDER BY t.`k1`, t.`k2`, t.`k3` LIMIT 1000
-- load, range, first, key of 3
SELECT `k1`, `k2`, `k3`, `updated_at`, `k1`, HEX(`k2`), `k3` + 0, 1=0, (1=0) FROM `shop`.`orders` AS t WHERE `k1` > 42 AND `k1` <= 99 ORDER BY t.`k1`, t.`k2`, t.`k3` LIMIT 1000
-- load, range, next, key of 3
SELECT `k1`, `k2`, `k3`, `updated_at`, `k1`, HEX(`k2`), `k3` + 0, 1=0, (1=0) FROM `shop`.`orders` AS t WHERE `k1` <= 99 AND `k1` >= 42 AND (`k1` > 42 OR (`k1` = 42 AND (`k2` > X'0027' OR (`k2` = X'0027' AND `k3` > 3)))) ORDER BY t.`k1`, t.`k2`, t.`k3` LIMIT 1000
-- nulls, first, key of 3
SELECT `k1`, `k2`, `k3`, `updated_at`, `k1`, HEX(`k2`), `k3` + 0, 1=1, 1=0 FROM `shop`.`orders` AS t WHERE `updated_at` IS NULL ORDER BY t.`k1`, t.`k2`, t.`k3` LIMIT 1000
-- nulls, next, key of 3
SELECT `k1`, `k2`, `k3`, `updated_at`, `k1`, HEX(`k2`), `k3` + 0, 1=1, 1=0 FROM `shop`.`orders` AS t WHERE `updated_at` IS NULL AND `k1` >= 42 AND (`k1` > 42 OR (`k1` = 42 AND (`k2` > X'0027' OR (`k2` = X'0027' AND `k3` > 3)))) ORDER BY t.`k1`, t.`k2`, t.`k3` LIMIT 1000
-- window, first, key of 3
SELECT `k1`, `k2`, `k3`, `updated_at`, `updated_at`, `k1`, HEX(`k2`), `k3` + 0, 1=0, (`updated_at` >= '2026-11-21 06:15:02.113') FROM `shop`.`orders` AS t WHERE `updated_at` >= '2026-11-21 06:15:02.113' ORDER BY t.`updated_at`, t.`k1`, t.`k2`, t.`k3` LIMIT 1000
-- window, next, key of 3
SELECT `k1`, `k2`, `k3`, `updated_at`, `updated_at`, `k1`, HEX(`k2`), `k3` + 0, 1=0, (`updated_at` >= '2026-11-21 06:15:02.113') FROM `shop`.`orders` AS t WHERE `updated_at` >= '2026-11-21 06:15:02.113' AND `updated_at` >= '2026-11-21 06:15:02.113' AND (`updated_at` > '2026-11-21 06:15:02.113' OR (`updated_at` = '2026-11-21 06:15:02.113' AND (`k1` > 42 OR (`k1` = 42 AND (`k2` > X'0027' OR (`k2` = X'0027' AND `k3` > 3)))))) ORDER BY t.`updated_at`, t.`k1`, t.`k2`, t.`k3` LIMIT 1000
-- stamp, first, key of 4
SELECT `k1`, `k2`, `k3`, `k4`, `updated_at`, `updated_at`, `k1`, HEX(`k2`), `k3` + 0, `k4`, (`updated_at` >= '2026-11-21 06:15:02.113' OR `k1` > 40), (`updated_at` >= '2026-11-21 06:15:02.113') FROM `shop`.`orders` AS t WHERE `updated_at` >= '2026-11-21 06:15:02.113' ORDER BY t.`updated_at`, t.`k1`, t.`k2`, t.`k3`, t.`k4` LIMIT 1000
-- stamp, next, key of 4
SELECT `k1`, `k2`, `k3`, `k4`, `updated_at`, `updated_at`, `k1`, HEX(`k2`), `k3` + 0, `k4`, (`updated_at` >= '2026-11-21 06:15:02.113' OR 1=1), (`updated_at` >= '2026-11-21 06:15:02.113') FROM `shop`.`orders` AS t WHERE `updated_at` >= '2026-11-21 06:15:02.113' AND `updated_at` >= '2026-11-21 06:15:02.113' AND (`updated_at` > '2026-11-21 06:15:02.113' OR (`updated_at` = '2026-11-21 06:15:02.113' AND (`k1` > 42 OR (`k1` = 42 AND (`k2` > X'0027' OR (`k2` = X'0027' AND (`k3` > 3 OR (`k3` = 3 AND `k4` > _utf8mb4 X'4772c3bcc39f65')))))))) ORDER BY t.`updated_at`, t.`k1`, t.`k2`, t.`k3`, t.`k4` LIMIT 1000
-- id, key of 4
SELECT `k1`, `k2`, `k3`, `k4`, `updated_at`, `k1`, (`k1` > 40), (1=0) FROM `shop`.`orders` AS t WHERE `k1` > 41 ORDER BY t.`k1` LIMIT 1000
-- load, first, key of 4
SELECT `k1`, `k2`, `k3`, `k4`, `updated_at`, `k1`, HEX(`k2`), `k3` + 0, `k4`, 1=0, (1=0) FROM `shop`.`orders` AS t ORDER BY t.`k1`, t.`k2`, t.`k3`, t.`k4` LIMIT 1000
-- load, next, key of 4
SELECT `k1`, `k2`, `k3`, `k4`, `updated_at`, `k1`, HEX(`k2`), `k3` + 0, `k4`, 1=0, (1=0) FROM `shop`.`orders` AS t WHERE `k1` >= 42 AND (`k1` > 42 OR (`k1` = 42 AND (`k2` > X'0027' OR (`k2` = X'0027' AND (`k3` > 3 OR (`k3` = 3 AND `k4` > _utf8mb4 X'4772c3bcc39f65')))))) ORDER BY t.`k1`, t.`k2`, t.`k3`, t.`k4` LIMIT 1000
-- load, range, first, key of 4
SELECT `k1`, `k2`, `k3`, `k4`, `updated_at`, `k1`, HEX(`k2`), `k3` + 0, `k4`, 1=0, (1=0) FROM `shop`.`orders` AS t WHERE `k1` > 42 AND `k1` <= 99 ORDER BY t.`k1`, t.`k2`, t.`k3`, t.`k4` LIMIT 1000
-- load, range, next, key of 4
SELECT `k1`, `k2`, `k3`, `k4`, `updated_at`, `k1`, HEX(`k2`), `k3` + 0, `k4`, 1=0, (1=0) FROM `shop`.`orders` AS t WHERE `k1` <= 99 AND `k1` >= 42 AND (`k1` > 42 OR (`k1` = 42 AND (`k2` > X'0027' OR (`k2` = X'0027' AND (`k3` > 3 OR (`k3` = 3 AND `k4` > _utf8mb4 X'4772c3bcc39f65')))))) ORDER BY t.`k1`, t.`k2`, t.`k3`, t.`k4` LIMIT 1000
-- nulls, first, key of 4
SELECT `k1`, `k2`, `k3`, `k4`, `updated_at`, `k1`, HEX(`k2`), `k3` + 0, `k4`, 1=1, 1=0 FROM `shop`.`orders` AS t WHERE `updated_at` IS NULL ORDER BY t.`k1`, t.`k2`, t.`k3`, t.`k4` LIMIT 1000
-- nulls, next, key of 4
SELECT `k1`, `k2`, `k3`, `k4`, `updated_at`, `k1`, HEX(`k2`), `k3` + 0, `k4`, 1=1, 1=0 FROM `shop`.`orders` AS t WHERE `updated_at` IS NULL AND `k1` >= 42 AND (`k1` > 42 OR (`k1` = 42 AND (`k2` > X'0027' OR (`k2` = X'0027' AND (`k3` > 3 OR (`k3` = 3 AND `k4` > _utf8mb4 X'4772c3bcc39f65')))))) ORDER BY t.`k1`, t.`k2`, t.`k3`, t.`k4` LIMIT 1000
-- window, first, key of 4
SELECT `k1`, `k2`, `k3`, `k4`, `updated_at`, `updated_at`, `k1`, HEX(`k2`), `k3` + 0, `k4`, 1=0, (`updated_at` >= '2026-11-21 06:15:02.113') FROM `shop`.`orders` AS t WHERE `updated_at` >= '2026-11-21 06:15:02.113' ORDER BY t.`updated_at`, t.`k1`, t.`k2`, t.`k3`, t.`k4` LIMIT 1000
-- window, next, key of 4
SELECT `k1`, `k2`, `k3`, `k4`, `updated_at`, `updated_at`, `k1`, HEX(`k2`), `k3` + 0, `k4`, 1=0, (`updated_at` >= '2026-11-21 06:15:02.113') FROM `shop`.`orders` AS t WHERE `updated_at` >= '2026-11-21 06:15:02.113' AND `updated_at` >= '2026-11-21 06:15:02.113' AND (`updated_at` > '2026-11-21 06:15:02.113' OR (`updated_at` = '2026-11-21 06:15:02.113' AND (`k1` > 42 OR (`k1` = 42 AND (`k2` > X'0027' OR (`k2` = X'0027' AND (`k3` > 3 OR (`k3` = 3 AND `k4` > _utf8mb4 X'4772c3bcc39f65')))))))) ORDER BY t.`updated_at`, t.`k1`, t.`k2`, t.`k3`, t.`k4` LIMIT 1000
