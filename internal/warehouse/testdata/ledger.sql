CREATE SCHEMA IF NOT EXISTS millstream;
CREATE TABLE IF NOT EXISTS millstream.gate (n INT) DISTSTYLE ALL;
CREATE TABLE IF NOT EXISTS millstream.lease (name VARCHAR(64), holder VARCHAR(256), fence BIGINT, expires_at TIMESTAMP) DISTSTYLE ALL;
CREATE TABLE IF NOT EXISTS millstream.fence (fence BIGINT) DISTSTYLE ALL;
CREATE TABLE IF NOT EXISTS millstream.positions (target VARCHAR(256), topic VARCHAR(256), part INT, next_offset BIGINT, load_id VARCHAR(26), updated_at TIMESTAMP) DISTSTYLE ALL SORTKEY (target);
CREATE TABLE IF NOT EXISTS millstream.loads (load_id VARCHAR(26), wave_id VARCHAR(26), target VARCHAR(256), kind VARCHAR(16), fence BIGINT, commits INT, files INT, bytes BIGINT, rows_staged BIGINT, rows_inserted BIGINT, rows_updated BIGINT, rows_deleted BIGINT, rows_duplicate BIGINT, ranges VARCHAR(65535), min_received_at TIMESTAMP, max_received_at TIMESTAMP, started_at TIMESTAMP, committed_at TIMESTAMP) SORTKEY (committed_at);
CREATE TABLE IF NOT EXISTS millstream.held (target VARCHAR(256), topic VARCHAR(256), part INT, first_offset BIGINT, file_key VARCHAR(1024), reason VARCHAR(64), error VARCHAR(4096), since TIMESTAMP, attempts INT);
CREATE TABLE IF NOT EXISTS millstream.models (model VARCHAR(256), file VARCHAR(1024), hash VARCHAR(64), materialize VARCHAR(16), read_at TIMESTAMP, built_at TIMESTAMP, rows BIGINT, seconds DOUBLE PRECISION, columns VARCHAR(65535), tests VARCHAR(65535), failed_at TIMESTAMP, failed_hash VARCHAR(64), attempts INT, error VARCHAR(4096)) DISTSTYLE ALL;
CREATE TABLE IF NOT EXISTS millstream.duplicates (target VARCHAR(256), id VARCHAR(256), part INT, offset_ BIGINT, received_at TIMESTAMP, load_id VARCHAR(26)) SORTKEY (received_at);
CREATE TABLE IF NOT EXISTS millstream.polls (target VARCHAR(256), poll VARCHAR(64), strategy VARCHAR(32), kind VARCHAR(16), publish VARCHAR(16), part INT, parts INT, started_offset BIGINT, completed_offset BIGINT, range_json VARCHAR(4096), rows BIGINT, complete_through TIMESTAMP, deletes_through TIMESTAMP, basis VARCHAR(16), state VARCHAR(16), counted BIGINT, work VARCHAR(256));
CREATE TABLE IF NOT EXISTS millstream.maintenance (target VARCHAR(256), act VARCHAR(32), reason VARCHAR(256), before VARCHAR(256), after VARCHAR(256), seconds DOUBLE PRECISION, error VARCHAR(4096), done_at TIMESTAMP) SORTKEY (done_at);
CREATE VIEW millstream.freshness AS
SELECT l.target, l.loaded_through, l.committed_at, l.loads, p.complete_through, p.deletes_through
FROM (SELECT target, MAX(max_received_at) AS loaded_through, MAX(committed_at) AS committed_at, COUNT(*) AS loads FROM millstream.loads GROUP BY target) l
LEFT JOIN (SELECT q.target, CASE WHEN COUNT(q.complete) >= MAX(q.parts) THEN MIN(q.complete) END AS complete_through,
    CASE WHEN COUNT(q.deletes) >= MAX(q.parts) THEN MIN(q.deletes) END AS deletes_through
  FROM (SELECT target, part, MAX(parts) AS parts, MAX(complete_through) AS complete, MAX(deletes_through) AS deletes
    FROM millstream.polls WHERE state = 'done' GROUP BY target, part) q GROUP BY q.target) p ON p.target = l.target;
