package status

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// doneFor is how far back acts of maintenance are shown.
const doneFor = 7 * 24 * time.Hour

// maintenance reads what was done, and what would be if the window were open.
func (r *reader) maintenance(ctx context.Context) error {
	m := &r.report.Maintenance
	window := r.Keeper.Window()
	m.Enabled, m.Window, m.Open, m.Next = r.Enabled, window.String(), window.Open(r.now), window.Next(r.now).UTC()
	notes, err := r.conn.LastMaintained(ctx)
	if err != nil {
		return err
	}
	for _, n := range notes {
		if n.Age > doneFor {
			continue
		}
		m.Done = append(m.Done, Done{
			At: r.now.Add(-n.Age).UTC().Truncate(time.Second), Target: n.Target, Act: n.Act, Reason: n.Reason, Before: n.Before, After: n.After, Seconds: n.Seconds, Error: n.Error,
		})
	}
	if !r.Enabled {
		return nil
	}
	todo, err := r.Keeper.Planned(ctx, r.conn, r.now)
	if err != nil {
		return err
	}
	for _, td := range todo {
		m.Planned = append(m.Planned, Planned{Target: td.Target, Act: string(td.Act), Reason: td.Reason})
	}
	return nil
}

// models reads millstream.models.
func (r *reader) models(ctx context.Context) error {
	res, err := r.conn.Exec(ctx, "SELECT model, DATEDIFF(second, built_at, GETDATE()), rows, seconds, tests, error, DATEDIFF(second, failed_at, GETDATE()) FROM millstream.models ORDER BY 1")
	if warehouse.IsCode(err, "42P01") {
		return nil // a ledger of before models
	}
	if err != nil {
		return err
	}
	for _, row := range res.Rows {
		m := Model{Model: row[0], BuiltAt: r.ago(row[1]), Rows: number(row[2]), Seconds: float(row[3]), Error: row[5], FailedAt: r.ago(row[6])}
		var tests []struct {
			Failures int64 `json:"failures"`
		}
		if row[4] != "" && json.Unmarshal([]byte(row[4]), &tests) == nil {
			for _, t := range tests {
				if t.Failures > 0 {
					m.Warnings++
				}
			}
		}
		r.report.Models = append(r.report.Models, m)
	}
	return nil
}

// ago is the moment that the server says was so many seconds ago, or nil.
func (r *reader) ago(seconds string) *time.Time {
	if seconds == "" {
		return nil
	}
	t := r.now.Add(-time.Duration(number(seconds)) * time.Second).UTC().Truncate(time.Second)
	return &t
}

// mirrors are the targets that are mirrors.
func (r *reader) mirrors() []string {
	var out []string
	for _, t := range r.report.Targets {
		if t.Kind == "mirror" || t.Kind == "swap" {
			out = append(out, t.Target)
		}
	}
	return out
}

// retired compares mirrors with the newest schemas that cdc announced.
func (r *reader) retired(ctx context.Context) error {
	mirrors := r.mirrors()
	have, err := r.conn.ColumnNames(ctx, schemas(mirrors))
	if err != nil {
		return err
	}
	found := make([]Retired, len(mirrors))
	var g errgroup.Group
	g.SetLimit(chainsAtATime)
	for i, target := range mirrors {
		g.Go(func() error {
			s, err := r.Lake.LatestSchema(ctx, target)
			if errors.Is(err, objstore.ErrNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			found[i] = Retired{target, gone(have[target], s)}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, f := range found {
		if len(f.Columns) > 0 {
			r.report.Retired = append(r.report.Retired, f)
		}
	}
	return nil
}

// gone are the columns of a table that its schema lacks.
func gone(columns []string, s lake.Schema) []string {
	var out []string
	for _, c := range columns {
		if !slices.ContainsFunc(s.Columns, func(sc lake.SchemaColumn) bool { return sc.Name == c }) {
			out = append(out, c)
		}
	}
	return out
}

// views finds views that are bound to a mirror: it cannot be swapped under them.
func (r *reader) views(ctx context.Context) error {
	bound, err := r.conn.Bindings(ctx, r.mirrors())
	for _, b := range bound {
		r.report.Views = append(r.report.Views, View{b.View, b.Table})
	}
	return err
}

// miscounted finds refreshes that did not add up.
func (r *reader) miscounted(ctx context.Context) error {
	found, err := r.conn.Miscounted(ctx)
	r.report.Miscounted = append(r.report.Miscounted, found...)
	return err
}

// number reads what the server answered; NULL is 0.
func number(text string) int64 {
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}

func float(text string) float64 {
	f, _ := strconv.ParseFloat(text, 64)
	return f
}
