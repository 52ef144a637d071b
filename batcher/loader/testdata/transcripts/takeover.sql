BEGIN;
LOCK TABLE millstream.lease;
SELECT fence, holder, CASE WHEN expires_at < GETDATE() THEN 1 ELSE 0 END FROM millstream.lease WHERE name = 'loader';
UPDATE millstream.lease SET holder = 'host/loader-2', fence = 2, expires_at = DATEADD(millisecond, 60000, GETDATE()) WHERE name = 'loader';
DELETE FROM millstream.fence;
INSERT INTO millstream.fence (fence) VALUES (2);
COMMIT;
