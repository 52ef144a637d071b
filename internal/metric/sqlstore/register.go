package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/millstream-data/millstream/internal/metric"
)

// Register implements metric.Store.
func (s *Store) Register(ctx context.Context, set *metric.Set) (metric.Registered, error) {
	var (
		out metric.Registered
		old bool
	)
	err := s.write(ctx, func(tx *sql.Tx) error {
		if err := s.d.Lock(ctx, tx); err != nil {
			return err
		}
		var no int
		err := tx.QueryRowContext(ctx, `SELECT set_no FROM rollup_set WHERE hash = $1 ORDER BY set_no DESC LIMIT 1`, set.Hash).Scan(&no)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("read rollup_set: %w", err)
		}
		if err != nil {
			if err := s.replace(ctx, tx, set); err != nil {
				return err
			}
		}
		out, err = current(ctx, tx)
		old = no != 0 && no != out.No
		return err
	})
	switch {
	case err != nil:
		return metric.Registered{}, fmt.Errorf("register definitions: %w", err)
	case old:
		return out, fmt.Errorf("register definitions: %w", metric.ErrOldSet)
	}
	return out, nil
}

// replace makes set the one in force.
func (s *Store) replace(ctx context.Context, tx *sql.Tx, set *metric.Set) error {
	files, err := json.Marshal(set.Files)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO rollup_set SELECT COALESCE(MAX(set_no), 0) + 1, CAST($1 AS TEXT), CAST($2 AS TEXT), CAST(`+s.d.NowMS()+` AS BIGINT) FROM rollup_set`, set.Hash, string(files)); err != nil {
		return fmt.Errorf("insert rollup_set: %w", err)
	}
	last, nextID, err := versions(ctx, tx)
	if err != nil {
		return err
	}
	for _, m := range set.Metrics {
		v, known := last[m.Name]
		delete(last, m.Name)
		switch {
		case known && v.state == string(metric.VersionCurrent) && v.hash == m.Hash():
			continue
		case known:
			v.id.Ver++
		default:
			v.id = metric.VersionID{Metric: nextID, Ver: 1}
			nextID++
		}
		if err := insertVersion(ctx, tx, v.id, m); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(last)) {
		if _, err := tx.ExecContext(ctx, `UPDATE rollup_metric SET state = 'retired' WHERE metric = $1`, last[name].id.Metric); err != nil {
			return fmt.Errorf("retire %s: %w", name, err)
		}
	}
	return nil
}

func insertVersion(ctx context.Context, tx *sql.Tx, id metric.VersionID, m *metric.Metric) error {
	def, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE rollup_metric SET state = 'retired' WHERE metric = $1`, id.Metric); err != nil {
		return fmt.Errorf("retire %s: %w", m.Name, err)
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO rollup_metric VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		id.Metric, id.Ver, m.Name, string(m.Kind), string(def), m.Hash(), string(metric.VersionCurrent)); err != nil {
		return fmt.Errorf("insert version %d of %s: %w", id.Ver, m.Name, err)
	}
	return nil
}

type lastVersion struct {
	id          metric.VersionID
	hash, state string
}

// versions returns the newest version of each name, and the next free number of a metric.
func versions(ctx context.Context, tx *sql.Tx) (last map[string]lastVersion, next int, err error) {
	last, next = map[string]lastVersion{}, 1
	err = each(ctx, tx, func(rows *sql.Rows) (bool, error) {
		var (
			name string
			v    lastVersion
		)
		err := rows.Scan(&name, &v.id.Metric, &v.id.Ver, &v.hash, &v.state)
		last[name] = v
		next = max(next, v.id.Metric+1)
		return true, err
	}, `SELECT name, metric, ver, hash, state FROM rollup_metric ORDER BY metric, ver`)
	if err != nil {
		err = fmt.Errorf("read rollup_metric: %w", err)
	}
	return last, next, err
}

// Current implements metric.Store.
func (s *Store) Current(ctx context.Context) (metric.Registered, error) {
	var out metric.Registered
	err := s.read(ctx, func(tx *sql.Tx) (err error) {
		out, err = current(ctx, tx)
		return err
	})
	if err != nil {
		return metric.Registered{}, fmt.Errorf("read definitions: %w", err)
	}
	return out, nil
}

func current(ctx context.Context, tx *sql.Tx) (metric.Registered, error) {
	var (
		out   metric.Registered
		text  string
		files []metric.File
	)
	err := tx.QueryRowContext(ctx, `SELECT set_no, files FROM rollup_set ORDER BY set_no DESC LIMIT 1`).Scan(&out.No, &text)
	if errors.Is(err, sql.ErrNoRows) {
		return out, nil
	}
	if err != nil {
		return out, fmt.Errorf("read rollup_set: %w", err)
	}
	if err := json.Unmarshal([]byte(text), &files); err != nil {
		return out, fmt.Errorf("decode set %d: %w", out.No, err)
	}
	if out.Set, err = metric.Parse(files); err != nil {
		return out, fmt.Errorf("parse set %d, which another Millstream put in force: %w", out.No, err)
	}
	states := map[string]metric.Version{}
	err = each(ctx, tx, func(rows *sql.Rows) (bool, error) {
		var v metric.Version
		err := rows.Scan(&v.Name, &v.Metric, &v.Ver, &v.State)
		states[v.Name] = v
		return true, err
	}, `SELECT name, metric, ver, state FROM rollup_metric WHERE state <> 'retired' ORDER BY metric, ver`)
	if err != nil {
		return out, fmt.Errorf("read rollup_metric: %w", err)
	}
	for _, m := range out.Set.Metrics {
		if v, ok := states[m.Name]; ok {
			v.Def = m
			out.Versions = append(out.Versions, v)
		}
	}
	return out, nil
}
