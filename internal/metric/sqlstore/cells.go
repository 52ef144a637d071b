package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/millstream-data/millstream/internal/metric"
)

// Load implements metric.Store.
func (s *Store) Load(ctx context.Context, keys []metric.Key) (map[metric.Key]metric.Row, error) {
	out := make(map[metric.Key]metric.Row, len(keys))
	byTable := map[string][]metric.Key{}
	for _, k := range keys {
		byTable[table(k.Zone)] = append(byTable[table(k.Zone)], k)
	}
	err := s.read(ctx, func(tx *sql.Tx) error {
		if err := s.refreshZones(ctx, tx); err != nil {
			return err
		}
		for name, keys := range byTable {
			nos := make([]int, len(keys))
			for i, k := range keys {
				if no, ok := s.knownZone(k.Zone); ok {
					nos[i] = no
				} else {
					nos[i] = -2 // no row can bear it
				}
			}
			if err := s.d.LoadCells(ctx, tx, name, keys, nos, func(i int, r metric.Row) {
				r.Key = keys[i]
				out[r.Key] = r
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load %d cells: %w", len(keys), err)
	}
	return out, nil
}

const rowColumns = `c.metric, c.ver, c.zone, c.bucket, c.dim, c.src, c.rev, c.n, c.bad, c.state, c.last_off, d.vals`

func from(table string) string {
	return ` FROM ` + table + ` c LEFT JOIN rollup_dim d ON d.metric = c.metric AND d.dim = c.dim `
}

func (s *Store) scanRow(rows *sql.Rows) (metric.Row, error) {
	var (
		r    metric.Row
		zone int
		dim  int64
		vals sql.NullString
	)
	if err := rows.Scan(&r.Metric, &r.Ver, &zone, &r.Bucket, &dim, &r.Src, &r.Rev, &r.N, &r.Bad, &r.State, &r.LastOff, &vals); err != nil {
		return r, err
	}
	r.Zone, r.Dim = s.zoneName(zone), uint64(dim) //nolint:gosec // a hash in a signed column
	if vals.Valid {
		if err := json.Unmarshal([]byte(vals.String), &r.Vals); err != nil {
			return r, fmt.Errorf("values of tuple %016x: %w", r.Dim, err)
		}
	}
	return r, nil
}

// Unpublished implements metric.Store.
func (s *Store) Unpublished(ctx context.Context, c metric.Claim, yield func(metric.Row) bool) error {
	err := s.read(ctx, func(tx *sql.Tx) error {
		if err := s.refreshZones(ctx, tx); err != nil {
			return err
		}
		for _, name := range []string{"rollup_cell", "rollup_fine"} {
			more := true
			if err := each(ctx, tx, func(rows *sql.Rows) (bool, error) {
				r, err := s.scanRow(rows)
				more = err == nil && yield(r)
				return more, err
			}, `SELECT `+rowColumns+from(name)+`WHERE c.src = $1 AND c.last_off >= $2`, c.Src, c.Published); err != nil || !more {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read unpublished cells of %s/%d: %w", c.Topic, c.Part, err)
	}
	return nil
}

// Scan implements metric.Store.
func (s *Store) Scan(ctx context.Context, ranges []metric.Range, yield func(metric.Row) bool) (metric.Snapshot, error) {
	var snap metric.Snapshot
	err := s.read(ctx, func(tx *sql.Tx) error {
		if err := s.snapshot(ctx, tx, &snap); err != nil {
			return err
		}
		for _, rg := range ranges {
			no, ok := s.knownZone(rg.Zone)
			if !ok {
				continue // no row can bear a zone that has no number
			}
			more := true
			if err := each(ctx, tx, func(rows *sql.Rows) (bool, error) {
				r, err := s.scanRow(rows)
				more = err == nil && yield(r)
				return more, err
			}, `SELECT `+rowColumns+from(table(rg.Zone))+`WHERE c.metric = $1 AND c.ver = $2 AND c.zone = $3 AND c.bucket >= $4 AND c.bucket < $5
				ORDER BY c.metric, c.ver, c.zone, c.bucket, c.dim, c.src, c.rev`, rg.Metric, rg.Ver, no, rg.From, rg.To); err != nil || !more {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return metric.Snapshot{}, fmt.Errorf("scan cells: %w", err)
	}
	return snap, nil
}

// snapshot reads all but the cells; its first statement fixes the instant.
func (s *Store) snapshot(ctx context.Context, tx *sql.Tx, snap *metric.Snapshot) error {
	if err := s.refreshZones(ctx, tx); err != nil {
		return err
	}
	var now int64
	if err := tx.QueryRowContext(ctx, `SELECT `+s.d.NowMS()).Scan(&now); err != nil {
		return err
	}
	*snap = metric.Snapshot{
		At: time.UnixMilli(now).UTC(), Starts: map[int]map[metric.VersionID]int64{},
		Days: map[metric.DayID]metric.Day{}, Bases: map[metric.DayVersion]int{},
	}
	err := each(ctx, tx, func(rows *sql.Rows) (bool, error) {
		var p metric.SrcPosition
		err := rows.Scan(append([]any{&p.Src, &p.Topic, &p.Part}, positionFields(&p.Position)...)...)
		snap.Positions = append(snap.Positions, p)
		return true, err
	}, `SELECT s.src, s.topic, s.part, `+positionColumns+` FROM rollup_src s JOIN rollup_pos p ON p.src = s.src ORDER BY s.src`)
	if err != nil {
		return err
	}
	if err := each(ctx, tx, func(rows *sql.Rows) (bool, error) {
		var (
			v   metric.VersionID
			src int
			off int64
		)
		err := rows.Scan(&v.Metric, &v.Ver, &src, &off)
		if snap.Starts[src] == nil {
			snap.Starts[src] = map[metric.VersionID]int64{}
		}
		snap.Starts[src][v] = off
		return true, err
	}, `SELECT metric, ver, src, off FROM rollup_start`); err != nil {
		return err
	}
	return s.days(ctx, tx, snap)
}

func (s *Store) days(ctx context.Context, tx *sql.Tx, snap *metric.Snapshot) error {
	err := each(ctx, tx, func(rows *sql.Rows) (bool, error) {
		var (
			zone       int
			id         metric.DayID
			state      string
			d          metric.Day
			sealedAtMS int64
		)
		err := rows.Scan(&zone, &id.Day, &state, &d.Revision, &d.FromS, &d.ToS, &sealedAtMS)
		if id.Zone, d.Sealed = s.zoneName(zone), state == "sealed"; d.Sealed {
			d.SealedAt = time.UnixMilli(sealedAtMS).UTC()
		}
		snap.Days[id] = d
		return true, err
	}, `SELECT zone, day, state, revision, from_s, to_s, sealed_ms FROM rollup_day`)
	if err != nil {
		return err
	}
	return each(ctx, tx, func(rows *sql.Rows) (bool, error) {
		var (
			zone, base int
			v          metric.DayVersion
		)
		err := rows.Scan(&v.Metric, &v.Ver, &zone, &v.Day, &base)
		v.Zone = s.zoneName(zone)
		snap.Bases[v] = base
		return true, err
	}, `SELECT metric, ver, zone, day, base FROM rollup_base WHERE base <> 0`)
}
