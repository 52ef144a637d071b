package loader

import (
	"context"
	"errors"
	"strconv"

	"github.com/millstream-data/millstream/internal/warehouse"
)

// originColumns are a mirror's own columns.
func originColumns(columns []warehouse.Column) ([]warehouse.Column, error) {
	own, ok := warehouse.OriginColumns(columns)
	if !ok {
		return nil, errors.New("the files lack the batcher's columns of changes")
	}
	return own, nil
}

// stageMirror keeps the last change of each key of what was copied.
func (s *session) stageMirror(ctx context.Context, w *work) error {
	w.mirror = &warehouse.Mirror{Target: w.name, Temp: "chg_" + w.id, Key: w.info.key, Staged: w.staged()}
	_, err := s.conn.Exec(ctx, w.mirror.Gather())
	return err
}

// mirror applies the last change of each key.
func (s *session) mirror(ctx context.Context, w *work) error {
	count, err := s.conn.Exec(ctx, w.mirror.Deleted())
	if err != nil {
		return err
	}
	if w.result.Deleted, err = strconv.ParseInt(count.Rows[0][0], 10, 64); err != nil {
		return err
	}
	gone, err := s.conn.Exec(ctx, w.mirror.Delete())
	if err != nil {
		return err
	}
	came, err := s.conn.Exec(ctx, w.mirror.Insert())
	if err != nil {
		return err
	}
	w.result.Updated = min(max(0, gone.Affected-w.result.Deleted), came.Affected)
	w.result.Inserted = came.Affected - w.result.Updated
	return nil
}
