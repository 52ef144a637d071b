package warehouse

import (
	"context"
	"fmt"
	"time"
)

// Maintained is a line of millstream.maintenance: an act of maintenance that
// was done, or tried.
type Maintained struct {
	Target, Act, Reason string
	Before, After       string
	Seconds             float64
	Error               string        // empty: done
	Age                 time.Duration // by the server's clock
}

// InsertMaintained returns the statement that notes an act.
func InsertMaintained(m Maintained) string {
	return fmt.Sprintf("INSERT INTO millstream.maintenance (target, act, reason, before, after, seconds, error, done_at) VALUES (%s, %s, %s, %s, %s, %.1f, %s, GETDATE())",
		Literal(cut(m.Target, 256)), Literal(cut(m.Act, 32)), Literal(cut(m.Reason, 256)), Literal(cut(m.Before, 256)), Literal(cut(m.After, 256)), m.Seconds, Literal(cut(m.Error, 4096)))
}

// LastMaintained reads the newest line of each act on each target, and the
// newest of those that were done.
func (c *Conn) LastMaintained(ctx context.Context) ([]Maintained, error) {
	return c.maintained(ctx, `SELECT target, act, reason, before, after, seconds, error, DATEDIFF(second, done_at, GETDATE())
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY target, act, CASE WHEN error = '' THEN 1 ELSE 0 END ORDER BY done_at DESC) AS rn FROM millstream.maintenance) m
WHERE rn = 1 ORDER BY done_at DESC, target, act`)
}

func (c *Conn) maintained(ctx context.Context, query string) ([]Maintained, error) {
	res, err := c.Exec(ctx, query)
	if err != nil {
		return nil, err
	}
	out := make([]Maintained, len(res.Rows))
	for i, row := range res.Rows {
		age, err := numbers(row[7])
		if err != nil {
			return nil, fmt.Errorf("maintenance of %s: %w", row[0], err)
		}
		m := Maintained{Target: row[0], Act: row[1], Reason: row[2], Before: row[3], After: row[4], Error: row[6], Age: time.Duration(age[0]) * time.Second}
		if _, err := fmt.Sscan(row[5], &m.Seconds); err != nil {
			return nil, fmt.Errorf("maintenance of %s took %q seconds: %w", row[0], row[5], err)
		}
		out[i] = m
	}
	return out, nil
}

// Targets reads all targets that the ledger knows.
func (c *Conn) Targets(ctx context.Context) ([]string, error) {
	return c.column(ctx, "SELECT target FROM millstream.positions WHERE target <> '*' UNION SELECT target FROM millstream.loads ORDER BY 1")
}

// Models reads the names of all SQL models.
func (c *Conn) Models(ctx context.Context) ([]string, error) {
	return c.column(ctx, "SELECT model FROM millstream.models ORDER BY 1")
}

// column reads a query of one column.
func (c *Conn) column(ctx context.Context, query string) ([]string, error) {
	res, err := c.Exec(ctx, query)
	if err != nil {
		return nil, err
	}
	out := make([]string, len(res.Rows))
	for i, row := range res.Rows {
		out[i] = row[0]
	}
	return out, nil
}

// ChangedSinceAnalyze counts the rows that loads brought into each target since
// the last ANALYZE of maintenance.
func (c *Conn) ChangedSinceAnalyze(ctx context.Context, act string) (map[string]int64, error) {
	res, err := c.Exec(ctx, fmt.Sprintf(`SELECT l.target, SUM(l.rows_inserted + l.rows_updated + l.rows_deleted)
FROM millstream.loads l LEFT JOIN (SELECT target, MAX(done_at) AS done_at FROM millstream.maintenance WHERE act = %s AND error = '' GROUP BY target) m ON m.target = l.target
WHERE m.done_at IS NULL OR l.committed_at > m.done_at GROUP BY l.target`, Literal(act)))
	if err != nil {
		return nil, err
	}
	out := map[string]int64{}
	for _, row := range res.Rows {
		n, err := numbers(row[1])
		if err != nil {
			return nil, fmt.Errorf("rows of %s since its last ANALYZE: %w", row[0], err)
		}
		out[row[0]] = n[0]
	}
	return out, nil
}

// TrimLedger returns the statements that remove the ledger's history beyond
// keep. The newest load with files of each target stays: it tells that a table
// once had rows, so that a dropped one is not made anew without them.
func TrimLedger(keep time.Duration) []string {
	before := fmt.Sprintf("DATEADD(second, -%d, GETDATE())", int64(keep/time.Second))
	return []string{
		"DELETE FROM millstream.loads WHERE committed_at < " + before + " AND load_id NOT IN (SELECT MAX(load_id) FROM millstream.loads WHERE files > 0 GROUP BY target)",
		"DELETE FROM millstream.duplicates WHERE received_at < " + before,
		"DELETE FROM millstream.maintenance WHERE done_at < " + before,
	}
}

// Leftover is a table that a build or a refresh made on its way.
type Leftover struct {
	Name Name
	Age  time.Duration
}

// Leftovers reads the tables in schemas whose names end as side tables' do, and
// all of the work schema, of which the session's user is the owner.
func (c *Conn) Leftovers(ctx context.Context, schemas []string) ([]Leftover, error) {
	res, err := c.Exec(ctx, "SELECT n.nspname, c.relname, DATEDIFF(second, c.relcreationtime, GETDATE()) FROM pg_class_info c JOIN pg_namespace n ON n.oid = c.relnamespace"+
		" WHERE c.relkind = 'r' AND pg_get_userbyid(c.relowner) = current_user AND (n.nspname = "+Literal(WorkSchema)+" OR n.nspname IN ("+literals(unique(schemas))+") AND CHARINDEX('__', c.relname) > 0) ORDER BY 1, 2")
	if err != nil {
		return nil, err
	}
	var out []Leftover
	for _, row := range res.Rows {
		if row[2] == "" {
			continue // older than the catalogue's memory: not one of ours
		}
		age, err := numbers(row[2])
		if err != nil {
			return nil, fmt.Errorf("age of %s.%s: %w", row[0], row[1], err)
		}
		out = append(out, Leftover{Name{row[0], row[1]}, time.Duration(age[0]) * time.Second})
	}
	return out, nil
}

// PollWork reads the tables that polls of cdc work with still.
func (c *Conn) PollWork(ctx context.Context) ([]string, error) {
	return c.column(ctx, "SELECT DISTINCT work FROM millstream.polls WHERE work <> ''")
}

// HeldTarget says whether a target is held as a whole.
func (c *Conn) HeldTarget(ctx context.Context, target string) (bool, error) {
	rows, err := c.column(ctx, "SELECT target FROM millstream.held WHERE file_key = '*' AND target = "+Literal(target))
	return len(rows) > 0, err
}
