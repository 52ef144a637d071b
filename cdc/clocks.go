package cdc

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/millstream-data/millstream/internal/wire"
)

// clocks measures how far stamps lie from where the clock's rules have them:
// ahead of the origin's clock, or below the newest stamp that was read before.
func (s *slot) clocks(k *task, poll *wire.CDCPoll, pg *page) {
	if poll.Phase != phaseStamp || len(pg.rows) == 0 {
		return
	}
	late := s.m.lateDepth.WithLabelValues(s.source, k.table.name, k.name())
	ahead := s.m.clockAhead.WithLabelValues(s.source, k.table.name, k.name())
	t0, newest := parseStamp(poll.T0).UnixMicro(), k.newest
	for i := range pg.rows {
		r := &pg.rows[i]
		if r.stamp == 0 {
			continue
		}
		newest = max(newest, r.stamp)
		if r.fresh && r.stamp < k.newest {
			late.Observe(time.Duration((k.newest - r.stamp) * 1000).Seconds())
		}
		if r.fresh && r.stamp > t0 {
			ahead.Observe(time.Duration((r.stamp - t0) * 1000).Seconds())
		}
	}
	if newest > k.newest {
		k.newest = newest
	}
}

// countEvery is how often rows are counted that no poll by stamp sees rightly,
// countFirst how long after a takeover they are counted first.
const (
	countEvery = 24 * time.Hour
	countFirst = 10 * time.Minute
)

// unseen are the rows without a stamp, and those with one ahead of the clock.
type unseen struct{ nulls, future int64 }

// count asks the origin, by the index on the stamp.
func (s *slot) count(ctx context.Context, p *plan) (unseen, error) {
	d, c := dialectOf(p.kind), &p.rel.columns[p.stamp]
	ask := func(where func(b *statement) string) (int64, error) {
		b := &statement{}
		sql := fmt.Sprintf("SELECT count(*) FROM %s.%s WHERE %s", d.ident(p.rel.schema), d.ident(p.rel.table), where(b))
		rows, err := s.origin.survey(ctx, sql, b.values...)
		if err != nil || len(rows) == 0 {
			return 0, err
		}
		return strconv.ParseInt(rows[0][0], 10, 64)
	}
	var out unseen
	var err error
	if out.nulls, err = ask(func(*statement) string { return d.ident(c.name) + " IS NULL" }); err != nil {
		return out, err
	}
	limit := time.Now().Add(untilMargin) // this process's clock; the margin is wider than clocks differ
	out.future, err = ask(func(b *statement) string { return d.from(b, c, limit) })
	return out, err
}
