package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/millstream-data/millstream/internal/bench"
	"github.com/millstream-data/millstream/internal/lake"
)

// loaderMany says how the loader kept up with many tables.
type loaderMany struct {
	Tables     int           `json:"tables"`
	RowsPerMin int           `json:"rows_per_minute_and_table"`
	Seconds    float64       `json:"seconds"`
	Loads      int           `json:"loads"`
	FirstHalf  bench.Summary `json:"visible_first_half"` // from a commit to its rows of a table in the warehouse
	LastHalf   bench.Summary `json:"visible_last_half"`
	Drained    float64       `json:"drained_seconds"` // from the last commit until all was loaded
	CPU        float64       `json:"loader_cpu_seconds"`
	PeakRSS    int64         `json:"loader_peak_rss_bytes"`
	Warehouse  float64       `json:"warehouse_cpu_seconds"`
}

const (
	manyRowsPerMin = 10
	manyEvery      = 20 * time.Second // as batchers cut at their default age
)

// manyShare is what one commit held of one table.
type manyShare struct {
	table string
	part  int32
	first int64 // of the commit
	put   time.Time
}

// keepUp lets many tables grow slowly and watches when their rows are loaded.
// What the first waves do (they create the tables) is in the first half.
func (b *loaderBench) keepUp(ctx context.Context) error {
	l, err := b.newLake(ctx)
	if err != nil {
		return err
	}
	w, err := b.startWarehouse(ctx)
	if err != nil {
		return err
	}
	defer w.end()
	role, err := b.startLoader(ctx, l, w)
	if err != nil {
		return err
	}
	defer role.kill()
	start := time.Now()
	shares, rows, err := b.grow(ctx, l)
	if err != nil {
		return err
	}
	m := loaderMany{Tables: b.many, RowsPerMin: manyRowsPerMin, Seconds: time.Since(start).Seconds()}
	last := time.Now()
	if err := b.loaded(ctx, role, w, rows); err != nil {
		return err
	}
	m.Drained, m.PeakRSS = time.Since(last).Seconds(), role.memory("VmHWM")
	if err := m.compare(ctx, w, shares, start.Add(b.manyFor/2)); err != nil {
		return err
	}
	cpu, err := role.stop()
	if err != nil {
		return err
	}
	m.CPU = cpu.Seconds()
	if cpu, err = w.stop(); err != nil {
		return err
	}
	m.Warehouse = cpu.Seconds()
	b.report.Many = &m
	fmt.Fprintf(b.p.stdout, "%d tables, %d rows a minute each, for %.0f s: %d loads\n  committed -> visible, first half  %s\n  committed -> visible, second half %s\n  drained %.1f s after the last commit; loader %.0f s CPU, %d MB resident at most; local Redshift %.0f s CPU\n",
		m.Tables, m.RowsPerMin, m.Seconds, m.Loads, m.FirstHalf, m.LastHalf, m.Drained, m.CPU, m.PeakRSS>>20, m.Warehouse)
	return nil
}

// grow commits rows of every table each manyEvery.
func (b *loaderBench) grow(ctx context.Context, l *lake.Lake) (shares []manyShare, rows int64, err error) {
	writer := newBenchLake(l, b.scratch)
	end := time.Now().Add(b.manyFor)
	tick := time.NewTicker(manyEvery)
	defer tick.Stop()
	for cut := 0; ; cut++ {
		for part := range benchParts {
			var parts []benchPart
			for i := range b.many {
				if (i+cut)%benchParts == part {
					parts = append(parts, benchPart{table: fmt.Sprintf("many.event_%04d", i), rows: int64((cut+1)*manyRowsPerMin/3 - cut*manyRowsPerMin/3)})
				}
			}
			c, _, err := writer.commit(ctx, int32(part), parts)
			if err != nil {
				return nil, 0, err
			}
			now := time.Now()
			for _, f := range c.Files {
				rows += f.Rows
				shares = append(shares, manyShare{f.Table, int32(part), c.First, now})
			}
		}
		if time.Now().Add(manyEvery).After(end) {
			return shares, rows, nil
		}
		select {
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		case <-tick.C:
		}
	}
}

// compare reads from the history when each share was loaded.
func (m *loaderMany) compare(ctx context.Context, w *benchWarehouse, shares []manyShare, half time.Time) error {
	res, err := w.ask(ctx, "SELECT target, ranges, committed_at FROM millstream.loads")
	if err != nil {
		return err
	}
	type span struct {
		first, next int64
		at          time.Time
	}
	loaded := map[string]map[int32][]span{}
	m.Loads = len(res)
	for _, row := range res {
		var ranges []struct {
			Part        int32
			First, Next int64
		}
		at, err := time.Parse("2006-01-02 15:04:05.999999", row[2])
		if err := errors.Join(err, json.Unmarshal([]byte(row[1]), &ranges)); err != nil {
			return fmt.Errorf("history of %s: %w", row[0], err)
		}
		if loaded[row[0]] == nil {
			loaded[row[0]] = map[int32][]span{}
		}
		for _, r := range ranges {
			loaded[row[0]][r.Part] = append(loaded[row[0]][r.Part], span{r.First, r.Next, at})
		}
	}
	var first, last bench.Latencies
	for _, s := range shares {
		found := false
		for _, r := range loaded[s.table][s.part] {
			if r.first <= s.first && s.first < r.next {
				found = true
				if d := r.at.Sub(s.put); s.put.Before(half) {
					first = append(first, d)
				} else {
					last = append(last, d)
				}
			}
		}
		if !found {
			return fmt.Errorf("the history does not say when %s was loaded from %d of partition %d", s.table, s.first, s.part)
		}
	}
	m.FirstHalf, m.LastHalf = first.Summarise(), last.Summarise()
	return nil
}
