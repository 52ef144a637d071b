-- md5, key of 1
SELECT count(*), BIT_XOR(CAST(CONV(LEFT(MD5(CONCAT_WS(',', QUOTE(`k1`), QUOTE(`updated_at`), QUOTE(MD5(`note`)))), 16), 16, 10) AS UNSIGNED)) FROM `shop`.`orders` WHERE `k1` < 99
-- md5, key of 1
SELECT count(*), BIT_XOR(CAST(CONV(LEFT(MD5(CONCAT_WS(',', QUOTE(`k1`), QUOTE(`updated_at`), QUOTE(MD5(`note`)))), 16), 16, 10) AS UNSIGNED)) FROM `shop`.`orders` WHERE `k1` >= 42 AND `k1` < 99
-- md5, key of 1
SELECT count(*), BIT_XOR(CAST(CONV(LEFT(MD5(CONCAT_WS(',', QUOTE(`k1`), QUOTE(`updated_at`), QUOTE(MD5(`note`)))), 16), 16, 10) AS UNSIGNED)) FROM `shop`.`orders` WHERE `k1` >= 42
-- stamp, key of 1
SELECT count(*), BIT_XOR(CAST(CONV(LEFT(MD5(CONCAT_WS(',', QUOTE(`k1`), QUOTE(`updated_at`))), 16), 16, 10) AS UNSIGNED)) FROM `shop`.`orders` WHERE `k1` < 99
-- stamp, key of 1
SELECT count(*), BIT_XOR(CAST(CONV(LEFT(MD5(CONCAT_WS(',', QUOTE(`k1`), QUOTE(`updated_at`))), 16), 16, 10) AS UNSIGNED)) FROM `shop`.`orders` WHERE `k1` >= 42 AND `k1` < 99
-- stamp, key of 1
SELECT count(*), BIT_XOR(CAST(CONV(LEFT(MD5(CONCAT_WS(',', QUOTE(`k1`), QUOTE(`updated_at`))), 16), 16, 10) AS UNSIGNED)) FROM `shop`.`orders` WHERE `k1` >= 42
-- crc32, key of 1
SELECT count(*), BIT_XOR(CRC32(CONCAT_WS(',', QUOTE(`k1`), QUOTE(`updated_at`), QUOTE(MD5(`note`))))) FROM `shop`.`orders` WHERE `k1` < 99
-- crc32, key of 1
SELECT count(*), BIT_XOR(CRC32(CONCAT_WS(',', QUOTE(`k1`), QUOTE(`updated_at`), QUOTE(MD5(`note`))))) FROM `shop`.`orders` WHERE `k1` >= 42 AND `k1` < 99
-- crc32, key of 1
SELECT count(*), BIT_XOR(CRC32(CONCAT_WS(',', QUOTE(`k1`), QUOTE(`updated_at`), QUOTE(MD5(`note`))))) FROM `shop`.`orders` WHERE `k1` >= 42
-- md5, key of 2
SELECT count(*), BIT_XOR(CAST(CONV(LEFT(MD5(CONCAT_WS(',', QUOTE(`k1`), QUOTE(MD5(`k2`)), QUOTE(`updated_at`), QUOTE(MD5(`note`)))), 16), 16, 10) AS UNSIGNED)) FROM `shop`.`orders` WHERE `k1` <= 99 AND (`k1` < 99 OR (`k1` = 99 AND `k2` < X'00ff'))
-- md5, key of 2
SELECT count(*), BIT_XOR(CAST(CONV(LEFT(MD5(CONCAT_WS(',', QUOTE(`k1`), QUOTE(MD5(`k2`)), QUOTE(`updated_at`), QUOTE(MD5(`note`)))), 16), 16, 10) AS UNSIGNED)) FROM `shop`.`orders` WHERE `k1` >= 42 AND (`k1` > 42 OR (`k1` = 42 AND `k2` >= X'0027')) AND `k1` <= 99 AND (`k1` < 99 OR (`k1` = 99 AND `k2` < X'00ff'))
-- md5, key of 2
SELECT count(*), BIT_XOR(CAST(CONV(LEFT(MD5(CONCAT_WS(',', QUOTE(`k1`), QUOTE(MD5(`k2`)), QUOTE(`updated_at`), QUOTE(MD5(`note`)))), 16), 16, 10) AS UNSIGNED)) FROM `shop`.`orders` WHERE `k1` >= 42 AND (`k1` > 42 OR (`k1` = 42 AND `k2` >= X'0027'))
-- stamp, key of 2
SELECT count(*), BIT_XOR(CAST(CONV(LEFT(MD5(CONCAT_WS(',', QUOTE(`k1`), QUOTE(MD5(`k2`)), QUOTE(`updated_at`))), 16), 16, 10) AS UNSIGNED)) FROM `shop`.`orders` WHERE `k1` <= 99 AND (`k1` < 99 OR (`k1` = 99 AND `k2` < X'00ff'))
-- stamp, key of 2
SELECT count(*), BIT_XOR(CAST(CONV(LEFT(MD5(CONCAT_WS(',', QUOTE(`k1`), QUOTE(MD5(`k2`)), QUOTE(`updated_at`))), 16), 16, 10) AS UNSIGNED)) FROM `shop`.`orders` WHERE `k1` >= 42 AND (`k1` > 42 OR (`k1` = 42 AND `k2` >= X'0027')) AND `k1` <= 99 AND (`k1` < 99 OR (`k1` = 99 AND `k2` < X'00ff'))
-- stamp, key of 2
SELECT count(*), BIT_XOR(CAST(CONV(LEFT(MD5(CONCAT_WS(',', QUOTE(`k1`), QUOTE(MD5(`k2`)), QUOTE(`updated_at`))), 16), 16, 10) AS UNSIGNED)) FROM `shop`.`orders` WHERE `k1` >= 42 AND (`k1` > 42 OR (`k1` = 42 AND `k2` >= X'0027'))
-- crc32, key of 2
SELECT count(*), BIT_XOR(CRC32(CONCAT_WS(',', QUOTE(`k1`), QUOTE(MD5(`k2`)), QUOTE(`updated_at`), QUOTE(MD5(`note`))))) FROM `shop`.`orders` WHERE `k1` <= 99 AND (`k1` < 99 OR (`k1` = 99 AND `k2` < X'00ff'))
-- crc32, key of 2
SELECT count(*), BIT_XOR(CRC32(CONCAT_WS(',', QUOTE(`k1`), QUOTE(MD5(`k2`)), QUOTE(`updated_at`), QUOTE(MD5(`note`))))) FROM `shop`.`orders` WHERE `k1` >= 42 AND (`k1` > 42 OR (`k1` = 42 AND `k2` >= X'0027')) AND `k1` <= 99 AND (`k1` < 99 OR (`k1` = 99 AND `k2` < X'00ff'))
-- crc32, key of 2
SELECT count(*), BIT_XOR(CRC32(CONCAT_WS(',', QUOTE(`k1`), QUOTE(MD5(`k2`)), QUOTE(`updated_at`), QUOTE(MD5(`note`))))) FROM `shop`.`orders` WHERE `k1` >= 42 AND (`k1` > 42 OR (`k1` = 42 AND `k2` >= X'0027'))
-- md5, key of 3
SELECT count(*), BIT_XOR(CAST(CONV(LEFT(MD5(CONCAT_WS(',', QUOTE(`k1`), QUOTE(MD5(`k2`)), QUOTE(MD5(`k3`)), QUOTE(`updated_at`), QUOTE(MD5(`note`)))), 16), 16, 10) AS UNSIGNED)) FROM `shop`.`orders` WHERE `k1` <= 99 AND (`k1` < 99 OR (`k1` = 99 AND (`k2` < X'00ff' OR (`k2` = X'00ff' AND `k3` < 4))))
-- md5, key of 3
SELECT count(*), BIT_XOR(CAST(CONV(LEFT(MD5(CONCAT_WS(',', QUOTE(`k1`), QUOTE(MD5(`k2`)), QUOTE(MD5(`k3`)), QUOTE(`updated_at`), QUOTE(MD5(`note`)))), 16), 16, 10) AS UNSIGNED)) FROM `shop`.`orders` WHERE `k1` >= 42 AND (`k1` > 42 OR (`k1` = 42 AND (`k2` > X'0027' OR (`k2` = X'0027' AND `k3` >= 3)))) AND `k1` <= 99 AND (`k1` < 99 OR (`k1` = 99 AND (`k2` < X'00ff' OR (`k2` = X'00ff' AND `k3` < 4))))
-- md5, key of 3
SELECT count(*), BIT_XOR(CAST(CONV(LEFT(MD5(CONCAT_WS(',', QUOTE(`k1`), QUOTE(MD5(`k2`)), QUOTE(MD5(`k3`)), QUOTE(`updated_at`), QUOTE(MD5(`note`)))), 16), 16, 10) AS UNSIGNED)) FROM `shop`.`orders` WHERE `k1` >= 42 AND (`k1` > 42 OR (`k1` = 42 AND (`k2` > X'0027' OR (`k2` = X'0027' AND `k3` >= 3))))
-- stamp, key of 3
SELECT count(*), BIT_XOR(CAST(CONV(LEFT(MD5(CONCAT_WS(',', QUOTE(`k1`), QUOTE(MD5(`k2`)), QUOTE(MD5(`k3`)), QUOTE(`updated_at`))), 16), 16, 10) AS UNSIGNED)) FROM `shop`.`orders` WHERE `k1` <= 99 AND (`k1` < 99 OR (`k1` = 99 AND (`k2` < X'00ff' OR (`k2` = X'00ff' AND `k3` < 4))))
-- stamp, key of 3
SELECT count(*), BIT_XOR(CAST(CONV(LEFT(MD5(CONCAT_WS(',', QUOTE(`k1`), QUOTE(MD5(`k2`)), QUOTE(MD5(`k3`)), QUOTE(`updated_at`))), 16), 16, 10) AS UNSIGNED)) FROM `shop`.`orders` WHERE `k1` >= 42 AND (`k1` > 42 OR (`k1` = 42 AND (`k2` > X'0027' OR (`k2` = X'0027' AND `k3` >= 3)))) AND `k1` <= 99 AND (`k1` < 99 OR (`k1` = 99 AND (`k2` < X'00ff' OR (`k2` = X'00ff' AND `k3` < 4))))
-- stamp, key of 3
SELECT count(*), BIT_XOR(CAST(CONV(LEFT(MD5(CONCAT_WS(',', QUOTE(`k1`), QUOTE(MD5(`k2`)), QUOTE(MD5(`k3`)), QUOTE(`updated_at`))), 16), 16, 10) AS UNSIGNED)) FROM `shop`.`orders` WHERE `k1` >= 42 AND (`k1` > 42 OR (`k1` = 42 AND (`k2` > X'0027' OR (`k2` = X'0027' AND `k3` >= 3))))
-- crc32, key of 3
SELECT count(*), BIT_XOR(CRC32(CONCAT_WS(',', QUOTE(`k1`), QUOTE(MD5(`k2`)), QUOTE(MD5(`k3`)), QUOTE(`updated_at`), QUOTE(MD5(`note`))))) FROM `shop`.`orders` WHERE `k1` <= 99 AND (`k1` < 99 OR (`k1` = 99 AND (`k2` < X'00ff' OR (`k2` = X'00ff' AND `k3` < 4))))
-- crc32, key of 3
SELECT count(*), BIT_XOR(CRC32(CONCAT_WS(',', QUOTE(`k1`), QUOTE(MD5(`k2`)), QUOTE(MD5(`k3`)), QUOTE(`updated_at`), QUOTE(MD5(`note`))))) FROM `shop`.`orders` WHERE `k1` >= 42 AND (`k1` > 42 OR (`k1` = 42 AND (`k2` > X'0027' OR (`k2` = X'0027' AND `k3` >= 3)))) AND `k1` <= 99 AND (`k1` < 99 OR (`k1` = 99 AND (`k2` < X'00ff' OR (`k2` = X'00ff' AND `k3` < 4))))
-- crc32, key of 3
SELECT count(*), BIT_XOR(CRC32(CONCAT_WS(',', QUOTE(`k1`), QUOTE(MD5(`k2`)), QUOTE(MD5(`k3`)), QUOTE(`updated_at`), QUOTE(MD5(`note`))))) FROM `shop`.`orders` WHERE `k1` >= 42 AND (`k1` > 42 OR (`k1` = 42 AND (`k2` > X'0027' OR (`k2` = X'0027' AND `k3` >= 3))))
