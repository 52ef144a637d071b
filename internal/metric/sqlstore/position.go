package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/millstream-data/millstream/internal/metric"
)

const positionColumns = `next_off, clock_ms, dedup_floor, floor_clock_ms, watermark_ms, published_off`

func positionFields(p *metric.Position) []any {
	return []any{&p.Next, &p.ClockMS, &p.DedupFloor, &p.FloorClockMS, &p.WatermarkMS, &p.Published}
}

// Claim implements metric.Store.
func (s *Store) Claim(ctx context.Context, p metric.Partition, owner string, first metric.Position) (metric.Claim, error) {
	c := metric.Claim{Partition: p, Owner: owner}
	err := s.write(ctx, func(tx *sql.Tx) error {
		if err := s.source(ctx, tx, &c, first); err != nil {
			return err
		}
		return s.raise(ctx, tx, &c, `UPDATE rollup_pos SET fence = fence + 1, owner = $2 WHERE src = $1 RETURNING fence, `+positionColumns, c.Src, owner)
	})
	if err != nil {
		return metric.Claim{}, fmt.Errorf("claim %s/%d: %w", p.Topic, p.Part, err)
	}
	return c, nil
}

// source finds the number of c's partition, or inserts its rows.
func (s *Store) source(ctx context.Context, tx *sql.Tx, c *metric.Claim, first metric.Position) error {
	find := func() (string, error) {
		var id string
		return id, tx.QueryRowContext(ctx, `SELECT src, topic_id FROM rollup_src WHERE topic = $1 AND part = $2`, c.Topic, c.Part).Scan(&c.Src, &id)
	}
	id, err := find()
	if errors.Is(err, sql.ErrNoRows) {
		if err := s.d.Lock(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO rollup_src SELECT COALESCE(MAX(src), 0) + 1, CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS INT) FROM rollup_src WHERE true ON CONFLICT (topic, part) DO NOTHING`,
			c.Topic, c.TopicID, c.Part); err != nil {
			return err
		}
		if id, err = find(); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO rollup_pos (src, fence, owner, updated_ms, `+positionColumns+`) VALUES ($1, 0, '', `+s.d.NowMS()+`, $2, $3, $4, $5, $6, $7) ON CONFLICT (src) DO NOTHING`,
			c.Src, first.Next, first.ClockMS, first.DedupFloor, first.FloorClockMS, first.WatermarkMS, first.Published); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	if id != c.TopicID {
		return fmt.Errorf("id %s, the store counted %s: %w", c.TopicID, id, metric.ErrRecreated)
	}
	return nil
}

// raise runs an update of the fence and reads the claim that it makes.
func (s *Store) raise(ctx context.Context, tx *sql.Tx, c *metric.Claim, query string, args ...any) error {
	err := tx.QueryRowContext(ctx, query, args...).Scan(append([]any{&c.Fence}, positionFields(&c.Position)...)...)
	if errors.Is(err, sql.ErrNoRows) {
		return metric.ErrFenced
	}
	if err != nil {
		return err
	}
	c.Starts = map[metric.VersionID]int64{}
	return each(ctx, tx, func(rows *sql.Rows) (bool, error) {
		var (
			v   metric.VersionID
			off int64
		)
		err := rows.Scan(&v.Metric, &v.Ver, &off)
		c.Starts[v] = off
		return true, err
	}, `SELECT metric, ver, off FROM rollup_start WHERE src = $1`, c.Src)
}

// Reclaim implements metric.Store. The update waits for the lock that a
// transaction in flight holds, which makes its answer final.
func (s *Store) Reclaim(ctx context.Context, c metric.Claim) (metric.Claim, error) {
	out := metric.Claim{Partition: c.Partition, Owner: c.Owner, Src: c.Src}
	err := s.write(ctx, func(tx *sql.Tx) error {
		return s.raise(ctx, tx, &out, `UPDATE rollup_pos SET fence = fence + 1 WHERE src = $1 AND fence = $2 RETURNING fence, `+positionColumns, c.Src, c.Fence)
	})
	if err != nil {
		return metric.Claim{}, fmt.Errorf("reclaim %s/%d: %w", c.Topic, c.Part, err)
	}
	return out, nil
}

// Commit implements metric.Store.
func (s *Store) Commit(ctx context.Context, c metric.Claim, f metric.Flush) error {
	zones, err := s.zonesOf(ctx, f.Rows)
	if err != nil {
		return err
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		if err := s.move(ctx, tx, c, f.Position); err != nil {
			return err
		}
		dims, err := dimsOf(f.Rows)
		if err != nil {
			return err
		}
		if err := s.d.PutDims(ctx, tx, dims); err != nil {
			return err
		}
		if err := s.putRows(ctx, tx, f.Rows, zones); err != nil {
			return err
		}
		for v, off := range f.Starts {
			if _, err := tx.ExecContext(ctx, `INSERT INTO rollup_start VALUES ($1, $2, $3, $4) ON CONFLICT (metric, ver, src) DO NOTHING`, v.Metric, v.Ver, c.Src, off); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("commit %s/%d to %d: %w", c.Topic, c.Part, f.Position.Next, err)
	}
	return nil
}

// move is the compare and swap: exactly one row, or nothing is written.
func (s *Store) move(ctx context.Context, tx *sql.Tx, c metric.Claim, p metric.Position) error {
	res, err := tx.ExecContext(ctx, `UPDATE rollup_pos SET next_off = $1, clock_ms = $2, dedup_floor = $3, floor_clock_ms = $4, watermark_ms = $5, published_off = $6, updated_ms = `+s.d.NowMS()+`
		WHERE src = $7 AND next_off = $8 AND fence = $9`, p.Next, p.ClockMS, p.DedupFloor, p.FloorClockMS, p.WatermarkMS, p.Published, c.Src, c.Next, c.Fence)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil {
		return err
	} else if n != 1 {
		return metric.ErrFenced
	}
	return nil
}

func (s *Store) putRows(ctx context.Context, tx *sql.Tx, rows []metric.Row, zones map[string]int) error {
	byTable := map[string][]metric.Row{}
	for _, r := range rows {
		byTable[table(r.Zone)] = append(byTable[table(r.Zone)], r)
	}
	for _, name := range []string{"rollup_cell", "rollup_fine"} {
		if len(byTable[name]) == 0 {
			continue
		}
		nos := make([]int, len(byTable[name]))
		for i, r := range byTable[name] {
			nos[i] = zones[r.Zone]
		}
		if err := s.d.PutCells(ctx, tx, name, byTable[name], nos); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) zonesOf(ctx context.Context, rows []metric.Row) (map[string]int, error) {
	out := map[string]int{}
	for _, r := range rows {
		if _, ok := out[r.Zone]; ok {
			continue
		}
		no, err := s.zoneNo(ctx, r.Zone)
		if err != nil {
			return nil, err
		}
		out[r.Zone] = no
	}
	return out, nil
}

// dimsOf returns the values of rows, once each and in ascending order, so that
// two writers cannot deadlock.
func dimsOf(rows []metric.Row) ([]Dim, error) {
	type id struct {
		metric int
		dim    uint64
	}
	seen := map[id]bool{}
	var out []Dim
	for _, r := range rows {
		k := id{r.Metric, r.Dim}
		if r.Dim == 0 || seen[k] {
			continue
		}
		seen[k] = true
		vals, err := json.Marshal(r.Vals)
		if err != nil {
			return nil, err
		}
		out = append(out, Dim{Metric: r.Metric, Dim: r.Dim, Vals: string(vals)})
	}
	slices.SortFunc(out, func(a, b Dim) int {
		if a.Metric != b.Metric {
			return a.Metric - b.Metric
		}
		if int64(a.Dim) < int64(b.Dim) { //nolint:gosec // the order of the column
			return -1
		}
		return 1
	})
	return out, nil
}

func newID() string {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic("BUG: crypto/rand gave no bytes: " + err.Error()) // documented never to happen
	}
	return hex.EncodeToString(b[:])
}
