package status

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/millstream-data/millstream/batcher/loader/care"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// Deps are what a report is read from; they stay the caller's to close.
type Deps struct {
	Warehouse *warehouse.Client
	Lake      *lake.Lake
	User      string // of the loader in the warehouse, for commands that mend
	Keeper    *care.Keeper
	Enabled   bool // maintenance
}

// reader gathers a report.
type reader struct {
	Deps
	conn   *warehouse.Conn
	now    time.Time
	report *Report
	infos  map[warehouse.Name]warehouse.TableInfo
}

// Read reads how things stand at now. Its error is the connection's, the
// store's or the ledger's own; all else that cannot be read is named in the
// report.
func Read(ctx context.Context, d Deps, now time.Time) (Report, error) {
	conn, err := d.Warehouse.Connect(ctx)
	if err != nil {
		return Report{}, err
	}
	defer conn.Close()
	r := &reader{Deps: d, conn: conn, now: now, report: &Report{
		At: now.UTC().Truncate(time.Second), Targets: []Target{}, Held: []Held{}, Gaps: []Gap{}, Models: []Model{}, Retired: []Retired{}, Views: []View{}, Miscounted: []string{}, Unread: []string{},
		Maintenance: Maintenance{Done: []Done{}, Planned: []Planned{}},
	}}
	if err := r.ledger(ctx); err != nil {
		if warehouse.IsCode(err, "42P01", "3F000") {
			return *r.report, errors.New("the warehouse has no ledger yet: a loader makes it when it first starts")
		}
		return *r.report, err
	}
	for _, part := range []struct {
		name string
		read func(context.Context) error
	}{
		{"maintenance", r.maintenance}, {"models", r.models}, {"retired columns", r.retired}, {"views bound to mirrors", r.views}, {"counts of refreshes", r.miscounted},
	} {
		if err := part.read(ctx); err != nil {
			if warehouse.Classify(err) == warehouse.ClassUnknown {
				return *r.report, err
			}
			r.unread(part.name, err)
		}
	}
	r.report.sort()
	return *r.report, nil
}

// unread notes what the report goes without.
func (r *reader) unread(what string, err error) {
	_, words := warehouse.Reason(err)
	r.report.Unread = append(r.report.Unread, what+": "+words)
}

// ledger reads targets and what is held of them, and counts what is due.
func (r *reader) ledger(ctx context.Context) error {
	positions, err := r.conn.Positions(ctx)
	if err != nil {
		return err
	}
	held, err := r.conn.Held(ctx)
	if err != nil {
		return err
	}
	last, err := r.conn.LastLoads(ctx)
	if err != nil {
		return err
	}
	waiting, gaps, err := count(ctx, r.Lake, placesOf(positions, held))
	if err != nil {
		return fmt.Errorf("read the commits: %w", err)
	}
	r.report.Gaps = append(r.report.Gaps, gaps...)
	names := targetNames(positions, last, waiting)
	if r.infos, err = r.conn.TableInfos(ctx, schemas(names)); err != nil {
		if warehouse.Classify(err) == warehouse.ClassUnknown {
			return err
		}
		r.unread("sizes, skew and order of tables (GRANT SELECT ON svv_table_info TO "+r.User+")", err)
	}
	for _, n := range names {
		r.report.Targets = append(r.report.Targets, r.target(n, last, waiting))
	}
	r.held(held, waiting)
	return nil
}

// targetNames are all targets that ledger or lake know, in order.
func targetNames(positions []warehouse.Position, last map[string]warehouse.LastLoad, waiting map[string]*due) []string {
	seen := map[string]bool{}
	for _, p := range positions {
		seen[p.Target] = p.Target != warehouse.LowWater
	}
	for t := range last {
		seen[t] = true
	}
	for t := range waiting {
		seen[t] = true
	}
	var out []string
	for t, is := range seen {
		if is {
			out = append(out, t)
		}
	}
	slices.Sort(out)
	return out
}

func schemas(targets []string) []string {
	var out []string
	for _, t := range targets {
		if schema, _, ok := strings.Cut(t, "."); ok && !slices.Contains(out, schema) {
			out = append(out, schema)
		}
	}
	return out
}

// target is the line of one target.
func (r *reader) target(name string, last map[string]warehouse.LastLoad, waiting map[string]*due) Target {
	t := Target{Target: name, Rows: -1, MB: -1, Skew: -1, Unsorted: -1}
	if l, ok := last[name]; ok {
		t.Kind, t.LastLoadSeconds, t.LastLoadRows = l.Kind, l.Seconds, l.Rows
		t.LastLoadAt, t.LoadedThrough, t.CompleteThrough = moment(l.At), moment(l.Through), moment(l.Complete)
		if t.LoadedThrough != nil {
			t.AgeSeconds = int64(max(0, r.now.Sub(*t.LoadedThrough)).Seconds())
		}
	}
	if n, err := warehouse.ParseName(name); err == nil {
		if info, ok := r.infos[n]; ok {
			t.Rows, t.MB, t.Skew, t.Unsorted = info.Rows, info.MB, info.Skew, info.Unsorted
		} else if r.infos != nil {
			t.Rows, t.MB = 0, 0 // the view knows no empty tables
		}
	}
	if d := waiting[name]; d != nil {
		t.DueRows, t.DueFiles, t.DueAtLeast = d.rows, d.files, d.more
		t.DueSeconds = int64(max(0, r.now.Sub(d.oldest)).Seconds())
	}
	return t
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// held turns rows of millstream.held into lines for people: one of a target,
// however many chains it keeps its place in, and one of each file.
func (r *reader) held(held []warehouse.Held, waiting map[string]*due) {
	at := map[string]int{}
	for _, h := range held {
		line := Held{Target: h.Target, Reason: h.Reason, Said: h.Error, Since: r.now.Add(-h.Age).UTC().Truncate(time.Second), Attempts: h.Attempts, topic: h.Chain.Topic}
		switch {
		case h.FileKey == warehouse.NothingHeld:
			line.Kind = HeldBlocked
		case h.FileKey != warehouse.WholeTarget && h.Reason == warehouse.Skipped:
			line.Kind, line.File = HeldSkipped, h.FileKey
		case h.FileKey != warehouse.WholeTarget:
			line.Kind, line.File = HeldFile, h.FileKey
		default:
			line.Kind, line.Chains = HeldTarget, 1
			if d := waiting[h.Target]; d != nil {
				line.Rows = d.rows
			}
			if i, ok := at[h.Target]; ok {
				r.report.Held[i].join(line)
				continue
			}
			at[h.Target] = len(r.report.Held)
		}
		r.report.Held = append(r.report.Held, line)
	}
	for i := range r.report.Held {
		h := &r.report.Held[i]
		c := explain(h.Reason, h.Said)
		h.Words, h.Mend = c.words, c.fill(*h, r.User)
		for j := range r.report.Targets {
			if t := &r.report.Targets[j]; h.Kind == HeldTarget && t.Target == h.Target {
				t.Held = h.Reason
			}
		}
	}
}

// join takes another chain of the same target in. The row that tells most is
// the one with words of the server.
func (h *Held) join(o Held) {
	h.Chains++
	if o.Since.Before(h.Since) {
		h.Since = o.Since
	}
	h.Attempts = max(h.Attempts, o.Attempts)
	if h.Said == "" {
		h.Said, h.Reason = o.Said, o.Reason
	}
}
