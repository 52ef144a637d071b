package warehouse

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Schema is where the ledger lies.
const Schema = "millstream"

// LowWater is the target under which a chain's low water stands.
const LowWater = "*"

// LedgerDDL are the statements that create the ledger. No table declares a
// key: Redshift does not enforce one, and its planner believes it.
func LedgerDDL() []string {
	return []string{
		`CREATE SCHEMA IF NOT EXISTS millstream`,
		`CREATE TABLE IF NOT EXISTS millstream.gate (n INT) DISTSTYLE ALL`,
		`CREATE TABLE IF NOT EXISTS millstream.lease (name VARCHAR(64), holder VARCHAR(256), fence BIGINT, expires_at TIMESTAMP) DISTSTYLE ALL`,
		`CREATE TABLE IF NOT EXISTS millstream.fence (fence BIGINT) DISTSTYLE ALL`,
		`CREATE TABLE IF NOT EXISTS millstream.positions (target VARCHAR(256), topic VARCHAR(256), part INT, next_offset BIGINT, load_id VARCHAR(26), updated_at TIMESTAMP) DISTSTYLE ALL SORTKEY (target)`,
		`CREATE TABLE IF NOT EXISTS millstream.loads (load_id VARCHAR(26), wave_id VARCHAR(26), target VARCHAR(256), kind VARCHAR(16), fence BIGINT, commits INT, files INT, bytes BIGINT,` +
			` rows_staged BIGINT, rows_inserted BIGINT, rows_updated BIGINT, rows_deleted BIGINT, rows_duplicate BIGINT, ranges VARCHAR(65535),` +
			` min_received_at TIMESTAMP, max_received_at TIMESTAMP, started_at TIMESTAMP, committed_at TIMESTAMP) SORTKEY (committed_at)`,
		`CREATE TABLE IF NOT EXISTS millstream.held (target VARCHAR(256), topic VARCHAR(256), part INT, first_offset BIGINT, file_key VARCHAR(1024), reason VARCHAR(64), error VARCHAR(4096), since TIMESTAMP, attempts INT)`,
		`CREATE TABLE IF NOT EXISTS millstream.models (model VARCHAR(256), file VARCHAR(1024), hash VARCHAR(64), materialize VARCHAR(16), read_at TIMESTAMP, built_at TIMESTAMP, rows BIGINT, seconds DOUBLE PRECISION,` +
			` columns VARCHAR(65535), tests VARCHAR(65535), failed_at TIMESTAMP, failed_hash VARCHAR(64), attempts INT, error VARCHAR(4096)) DISTSTYLE ALL`,
		`CREATE TABLE IF NOT EXISTS millstream.duplicates (target VARCHAR(256), id VARCHAR(256), part INT, offset_ BIGINT, received_at TIMESTAMP, load_id VARCHAR(26)) SORTKEY (received_at)`,
		`CREATE TABLE IF NOT EXISTS millstream.polls (target VARCHAR(256), poll VARCHAR(64), strategy VARCHAR(32), kind VARCHAR(16), publish VARCHAR(16), part INT, parts INT,` +
			` started_offset BIGINT, completed_offset BIGINT, range_json VARCHAR(4096), rows BIGINT, complete_through TIMESTAMP, deletes_through TIMESTAMP, basis VARCHAR(16),` +
			` state VARCHAR(16), counted BIGINT, work VARCHAR(256))`,
		`CREATE TABLE IF NOT EXISTS millstream.maintenance (target VARCHAR(256), act VARCHAR(32), reason VARCHAR(256), before VARCHAR(256), after VARCHAR(256), seconds DOUBLE PRECISION, error VARCHAR(4096), done_at TIMESTAMP) SORTKEY (done_at)`,
	}
}

// FreshnessView tells of each target through when it is loaded, and of
// mirrors through when they are complete: of every partition, by polls that are
// done.
const FreshnessView = `CREATE VIEW millstream.freshness AS
SELECT l.target, l.loaded_through, l.committed_at, l.loads, p.complete_through, p.deletes_through
FROM (SELECT target, MAX(max_received_at) AS loaded_through, MAX(committed_at) AS committed_at, COUNT(*) AS loads FROM millstream.loads GROUP BY target) l
LEFT JOIN (SELECT q.target, CASE WHEN COUNT(q.complete) >= MAX(q.parts) THEN MIN(q.complete) END AS complete_through,
    CASE WHEN COUNT(q.deletes) >= MAX(q.parts) THEN MIN(q.deletes) END AS deletes_through
  FROM (SELECT target, part, MAX(parts) AS parts, MAX(complete_through) AS complete, MAX(deletes_through) AS deletes
    FROM millstream.polls WHERE state = 'done' GROUP BY target, part) q GROUP BY q.target) p ON p.target = l.target`

// EnsureLedger creates what is missing of the ledger. Two loaders may do it at
// once: what the other made is as good.
func (c *Conn) EnsureLedger(ctx context.Context) error {
	for _, s := range LedgerDDL() {
		if _, err := c.Exec(ctx, s); err != nil && Classify(err) != ClassRaced {
			return fmt.Errorf("create the ledger: %w", err)
		}
	}
	res, err := c.Exec(ctx, `SELECT table_name, column_name FROM svv_columns WHERE table_schema = 'millstream' AND table_name IN ('polls', 'freshness')`)
	if err != nil {
		return fmt.Errorf("read the ledger's columns: %w", err)
	}
	has := map[string]bool{}
	for _, row := range res.Rows {
		has[row[0]], has[row[0]+"."+row[1]] = true, true
	}
	for _, s := range upgrade(has) {
		if _, err := c.Exec(ctx, s); err != nil && Classify(err) != ClassRaced {
			return fmt.Errorf("create the ledger: %w", err)
		}
	}
	return nil
}

// upgrade returns what a ledger with these tables and columns lacks.
func upgrade(has map[string]bool) []string {
	var out []string
	for _, c := range []string{"state VARCHAR(16)", "counted BIGINT", "work VARCHAR(256)"} { // of an earlier version's ledger
		name, _, _ := strings.Cut(c, " ")
		if !has["polls."+name] {
			out = append(out, "ALTER TABLE millstream.polls ADD COLUMN "+c)
		}
	}
	if has["freshness"] && !has["freshness.deletes_through"] {
		out = append(out, "DROP VIEW millstream.freshness")
	}
	if !has["freshness.deletes_through"] {
		out = append(out, FreshnessView)
	}
	return out
}

// Chain names a chain of commits.
type Chain struct {
	Topic string
	Part  int32
}

// Position says that a target holds all rows of a chain's commits below Next.
type Position struct {
	Target string
	Chain  Chain
	Next   int64
	LoadID string
}

const selectPositions = "SELECT target, topic, part, next_offset, load_id FROM millstream.positions"

// Positions reads the positions of targets, or all of them.
func (c *Conn) Positions(ctx context.Context, targets ...string) ([]Position, error) {
	s := selectPositions
	if len(targets) > 0 {
		s += " WHERE target IN (" + literals(targets) + ")"
	}
	res, err := c.Exec(ctx, s)
	if err != nil {
		return nil, err
	}
	out := make([]Position, len(res.Rows))
	for i, row := range res.Rows {
		n, err := numbers(row[2], row[3])
		if err != nil {
			return nil, fmt.Errorf("position of %s: %w", row[0], err)
		}
		out[i] = Position{Target: row[0], Chain: Chain{row[1], int32(n[0])}, Next: n[1], LoadID: row[4]} //nolint:gosec // a partition is an int32
	}
	return out, nil
}

// ReplacePositions returns the statements that make positions all that there
// are of targets.
func ReplacePositions(targets []string, positions []Position) []string {
	out := []string{"DELETE FROM millstream.positions WHERE target IN (" + literals(targets) + ")"}
	if len(positions) == 0 {
		return out
	}
	return append(out, "INSERT INTO millstream.positions (target, topic, part, next_offset, load_id, updated_at) VALUES "+join(positions, ", ", func(p Position) string {
		return fmt.Sprintf("(%s, %s, %d, %d, %s, GETDATE())", Literal(p.Target), Literal(p.Chain.Topic), p.Chain.Part, p.Next, Literal(p.LoadID))
	}))
}

// Load is a line of the history.
type Load struct {
	ID, Wave, Target, Kind                         string
	Fence                                          int64
	Commits, Files                                 int
	Bytes                                          int64
	Staged, Inserted, Updated, Deleted, Duplicates int64
	Ranges                                         []Range
	MinReceivedAt, MaxReceivedAt, StartedAt        time.Time
}

// LoadedFiles returns how many files the history has of a target.
func (c *Conn) LoadedFiles(ctx context.Context, target string) (int64, error) {
	res, err := c.Exec(ctx, "SELECT COUNT(*), COALESCE(SUM(files), 0) FROM millstream.loads WHERE target = "+Literal(target))
	if err != nil {
		return 0, err
	}
	n, err := numbers(res.Rows[0]...)
	if err != nil {
		return 0, fmt.Errorf("files of %s in the history: %w", target, err)
	}
	return n[1], nil
}

// Range is the part of a chain that a load covers.
type Range struct {
	Topic string `json:"topic"`
	Part  int32  `json:"part"`
	First int64  `json:"first"`
	Next  int64  `json:"next"`
}

// InsertLoads returns the statement that writes the history.
func InsertLoads(loads []Load) string {
	return "INSERT INTO millstream.loads (load_id, wave_id, target, kind, fence, commits, files, bytes, rows_staged, rows_inserted, rows_updated, rows_deleted, rows_duplicate, ranges, min_received_at, max_received_at, started_at, committed_at) VALUES " +
		join(loads, ", ", func(l Load) string {
			return fmt.Sprintf("(%s, %s, %s, %s, %d, %d, %d, %d, %d, %d, %d, %d, %d, %s, %s, %s, %s, GETDATE())", Literal(l.ID), Literal(l.Wave), Literal(l.Target), Literal(l.Kind),
				l.Fence, l.Commits, l.Files, l.Bytes, l.Staged, l.Inserted, l.Updated, l.Deleted, l.Duplicates, Literal(rangesJSON(l.Ranges)),
				TimeOrNull(l.MinReceivedAt), TimeOrNull(l.MaxReceivedAt), TimeOrNull(l.StartedAt))
		})
}

// rangesJSON is bounded by its column: a load over thousands of chains names
// those that fit, and its positions name all.
func rangesJSON(ranges []Range) string {
	var b strings.Builder
	b.WriteByte('[')
	for i, r := range ranges {
		one := fmt.Sprintf(`{"topic":%s,"part":%d,"first":%d,"next":%d}`, strconv.Quote(r.Topic), r.Part, r.First, r.Next)
		if b.Len()+len(one)+2 > MaxVarchar {
			break
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(one)
	}
	b.WriteByte(']')
	return b.String()
}

func numbers(texts ...string) ([]int64, error) {
	out := make([]int64, len(texts))
	for i, s := range texts {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return nil, err
		}
		out[i] = n
	}
	return out, nil
}

// SetLowWater returns the statements that move a chain's low water.
func SetLowWater(id Chain, next int64) []string {
	return []string{
		fmt.Sprintf("DELETE FROM millstream.positions WHERE target = '*' AND topic = %s AND part = %d", Literal(id.Topic), id.Part),
		fmt.Sprintf("INSERT INTO millstream.positions (target, topic, part, next_offset, load_id, updated_at) VALUES ('*', %s, %d, %d, '', GETDATE())", Literal(id.Topic), id.Part, next),
	}
}
