SET query_group TO 'millstream_load';
SET statement_timeout TO 2700000;
SELECT target, act, reason, before, after, seconds, error, DATEDIFF(second, done_at, GETDATE())
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY target, act, CASE WHEN error = '' THEN 1 ELSE 0 END ORDER BY done_at DESC) AS rn FROM millstream.maintenance) m
WHERE rn = 1 ORDER BY done_at DESC, target, act;
SELECT target FROM millstream.positions WHERE target <> '*' UNION SELECT target FROM millstream.loads ORDER BY 1;
SELECT model FROM millstream.models ORDER BY 1;
SELECT n.nspname, c.relname, DATEDIFF(second, c.relcreationtime, GETDATE()) FROM pg_class_info c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND pg_get_userbyid(c.relowner) = current_user AND (n.nspname = 'millstream_work' OR n.nspname IN ('millstream', 'app') AND CHARINDEX('__', c.relname) > 0) ORDER BY 1, 2;
SELECT DISTINCT work FROM millstream.polls WHERE work <> '';
SELECT "schema", "table", size, tbl_rows, estimated_visible_rows, unsorted, stats_off, vacuum_sort_benefit, skew_rows, diststyle, sortkey_num FROM svv_table_info WHERE "schema" IN ('millstream', 'app');
SELECT l.target, SUM(l.rows_inserted + l.rows_updated + l.rows_deleted)
FROM millstream.loads l LEFT JOIN (SELECT target, MAX(done_at) AS done_at FROM millstream.maintenance WHERE act = 'analyze' AND error = '' GROUP BY target) m ON m.target = l.target
WHERE m.done_at IS NULL OR l.committed_at > m.done_at GROUP BY l.target;
SELECT target, topic, part, first_offset, file_key, reason, error, attempts, DATEDIFF(second, since, GETDATE()) FROM millstream.held;
SELECT COUNT(DISTINCT node), COUNT(*) FROM stv_slices;
SET statement_timeout TO 60000;
BEGIN;
LOCK TABLE millstream.gate;
SET statement_timeout TO 60000;
DELETE FROM millstream.loads WHERE committed_at < DATEADD(second, -86400, GETDATE()) AND load_id NOT IN (SELECT MAX(load_id) FROM millstream.loads WHERE files > 0 GROUP BY target);
DELETE FROM millstream.duplicates WHERE received_at < DATEADD(second, -86400, GETDATE());
DELETE FROM millstream.maintenance WHERE done_at < DATEADD(second, -86400, GETDATE());
COMMIT;
SET statement_timeout TO 60000;
BEGIN;
LOCK TABLE millstream.gate;
SET statement_timeout TO 60000;
INSERT INTO millstream.maintenance (target, act, reason, before, after, seconds, error, done_at) VALUES ('millstream', 'trim_ledger', 'daily', '', '0 loads, 0 duplicates, 0 maintenance removed', 0.4, '', GETDATE());
COMMIT;
SELECT target FROM millstream.held WHERE file_key = '*' AND target = 'app.tracks';
SET statement_timeout TO 10800000;
ANALYZE "app"."tracks" PREDICATE COLUMNS;
SELECT "schema", "table", size, tbl_rows, estimated_visible_rows, unsorted, stats_off, vacuum_sort_benefit, skew_rows, diststyle, sortkey_num FROM svv_table_info WHERE "schema" IN ('app');
SET statement_timeout TO 60000;
BEGIN;
LOCK TABLE millstream.gate;
SET statement_timeout TO 60000;
INSERT INTO millstream.maintenance (target, act, reason, before, after, seconds, error, done_at) VALUES ('app.tracks', 'analyze', '3 of 3 rows came or changed since the last time', 'statistics 0 % off', 'statistics 0 % off', 0.4, '', GETDATE());
COMMIT;
