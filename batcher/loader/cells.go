package loader

import (
	"context"

	"github.com/millstream-data/millstream/internal/warehouse"
)

// metricCells puts the cells of a file in the place of those of lower
// revisions.
func (s *session) metricCells(ctx context.Context, w *work) error {
	for _, st := range w.stages {
		c := warehouse.Cells{Target: w.name, Staging: st.table, Temp: "day_" + st.table.Name}
		if _, err := s.conn.Exec(ctx, c.Gather()); err != nil {
			return err
		}
		gone, err := s.conn.Exec(ctx, c.Delete())
		if err != nil {
			return err
		}
		came, err := s.conn.Exec(ctx, c.Insert())
		if err != nil {
			return err
		}
		w.result.Deleted += gone.Affected
		w.result.Inserted += came.Affected
	}
	return nil
}
