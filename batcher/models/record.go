package models

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/warehouse"
)

// Column is a column of what a model made.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"` // as Redshift writes it
}

// TestResult is what a test found.
type TestResult struct {
	Test     string   `json:"test"`
	Failures int64    `json:"failures"` // rows
	Warn     bool     `json:"warn,omitempty"`
	Found    []string `json:"found,omitempty"` // some of them
	Line     int      `json:"-"`
}

// Bad says that the rows must not be shown.
func (r TestResult) Bad() bool { return r.Failures > 0 && !r.Warn }

func (r TestResult) String() string {
	if r.Failures == 0 {
		return r.Test + " passes"
	}
	s := r.Test + " fails: " + plural(r.Failures, "row")
	if len(r.Found) > 0 {
		s += ", such as (" + strings.Join(r.Found, "), (") + ")"
	}
	return s
}

const selectBuilt = "SELECT model, hash, materialize, read_at, built_at, rows, seconds, columns, tests, failed_at, failed_hash, attempts, error FROM millstream.models"

// ReadState reads what the warehouse knows.
func ReadState(ctx context.Context, c *warehouse.Conn, p *Project) (State, error) {
	s := State{Built: map[string]Built{}, Loaded: map[string]time.Time{}, Tables: map[warehouse.Name]bool{}, Views: map[warehouse.Name]bool{}, Schemas: map[string]bool{}}
	steps := []struct {
		sql string
		row func([]string) error
	}{
		{"SELECT GETDATE(), CURRENT_USER", func(row []string) (err error) { s.user = row[1]; s.Now, err = moment(row[0]); return err }},
		{"SHOW search_path", func(row []string) error { s.Path = searchPath(row[0], s.user); return nil }},
		{selectBuilt, s.addBuilt},
		{"SELECT n.nspname, c.relname, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'v')", func(row []string) error {
			n := warehouse.Name{Schema: row[0], Table: row[1]}
			s.Tables[n], s.Views[n] = true, row[2] == "v"
			return nil
		}},
		{"SELECT schemaname FROM svv_external_schemas", func(row []string) error { s.Schemas[row[0]] = true; return nil }},
	}
	for _, step := range steps {
		if err := each(ctx, c, step.sql, step.row); err != nil {
			return s, err
		}
	}
	s.since = p.oldest(s)
	loads := fmt.Sprintf("SELECT target, MAX(committed_at) FROM millstream.loads WHERE committed_at >= %s GROUP BY target", warehouse.Time(s.since))
	return s, each(ctx, c, loads, func(row []string) (err error) {
		s.Loaded[row[0]], err = moment(row[1])
		return err
	})
}

// oldest is since when loads matter: the oldest build that follows changes. The
// history is long, and sorted by time.
func (p *Project) oldest(s State) time.Time {
	since := s.Now
	for _, m := range p.Models {
		if at := s.Built[m.Name.String()].ReadAt; m.Refresh.Kind == OnChange && !at.IsZero() && at.Before(since) {
			since = at
		}
	}
	return since
}

func each(ctx context.Context, c *warehouse.Conn, sql string, row func([]string) error) error {
	res, err := c.Exec(ctx, sql)
	if err != nil {
		return err
	}
	for _, r := range res.Rows {
		if err := row(r); err != nil {
			return fmt.Errorf("%.60s: %w", sql, err)
		}
	}
	return nil
}

// searchPath reads what SHOW search_path answers.
func searchPath(text, user string) []string {
	var out []string
	for part := range strings.SplitSeq(text, ",") {
		switch part = strings.Trim(strings.TrimSpace(part), `"'`); part {
		case "":
		case "$user":
			out = append(out, user)
		default:
			out = append(out, part)
		}
	}
	return out
}

func (s State) addBuilt(row []string) error {
	b := Built{Hash: row[1], View: row[2] == "view", Failed: row[10], Error: row[12]}
	var err error
	for i, into := range map[int]*time.Time{3: &b.ReadAt, 4: &b.BuiltAt, 9: &b.FailedAt} {
		if row[i] != "" && err == nil {
			*into, err = moment(row[i])
		}
	}
	if err != nil {
		return err
	}
	b.Rows, _ = strconv.ParseInt(row[5], 10, 64) // NULL in the row of a first failure
	b.Seconds, _ = strconv.ParseFloat(row[6], 64)
	b.Attempts, _ = strconv.Atoi(row[11])
	_ = json.Unmarshal([]byte(row[7]), &b.Columns) // the same; ours, and only shown
	_ = json.Unmarshal([]byte(row[8]), &b.Tests)
	s.Built[row[0]] = b
	return nil
}

// moment reads a TIMESTAMP.
func moment(text string) (time.Time, error) {
	text, _, _ = strings.Cut(text, "+")
	return time.Parse("2006-01-02 15:04:05", text) // takes a fraction, too
}

// literal writes v as JSON into a VARCHAR; what does not fit is left out.
func literal[T any](v []T) string {
	if v == nil {
		return "'[]'"
	}
	var text strings.Builder
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false) // people read it
	if err := enc.Encode(v); err != nil || text.Len() > warehouse.MaxVarchar {
		return "'[]'"
	}
	return warehouse.Literal(strings.TrimSpace(text.String()))
}

// built returns the statements that note a build, which go into the swap's
// transaction.
func (m *Model) built(b Built) []string {
	name := warehouse.Literal(m.Name.String())
	return []string{
		"DELETE FROM millstream.models WHERE model = " + name,
		fmt.Sprintf("INSERT INTO millstream.models (model, file, hash, materialize, read_at, built_at, rows, seconds, columns, tests, attempts) VALUES (%s, %s, %s, %s, %s, GETDATE(), %d, %.3f, %s, %s, 0)",
			name, warehouse.Literal(m.File), warehouse.Literal(m.Hash), warehouse.Literal(m.materialize()), warehouse.Time(b.ReadAt), b.Rows, b.Seconds, literal(b.Columns), literal(b.Tests)),
	}
}

// checked returns the statement that notes that the tests of a view passed,
// which was not made anew.
func (m *Model) checked(b Built) string {
	return fmt.Sprintf("UPDATE millstream.models SET read_at = %s, seconds = %.3f, tests = %s, failed_at = NULL, failed_hash = NULL, attempts = 0, error = NULL WHERE model = %s",
		warehouse.Time(b.ReadAt), b.Seconds, literal(b.Tests), warehouse.Literal(m.Name.String()))
}

// failed returns the statements that note a failure: the second is for when the
// first has found no row.
func (m *Model) failed(text string) (update, insert string) {
	name, hash := warehouse.Literal(m.Name.String()), warehouse.Literal(m.Hash)
	words := warehouse.Literal(shorten(text, 4096))
	update = fmt.Sprintf("UPDATE millstream.models SET attempts = CASE WHEN failed_hash = %[1]s THEN attempts + 1 ELSE 1 END, failed_at = GETDATE(), failed_hash = %[1]s, error = %[2]s WHERE model = %[3]s", hash, words, name)
	insert = fmt.Sprintf("INSERT INTO millstream.models (model, file, materialize, failed_at, failed_hash, attempts, error) VALUES (%s, %s, %s, GETDATE(), %s, 1, %s)",
		name, warehouse.Literal(m.File), warehouse.Literal(m.materialize()), hash, words)
	return update, insert
}

func (m *Model) materialize() string {
	if m.View {
		return "view"
	}
	return "table"
}

// shorten returns text of at most n bytes, on a border of letters.
func shorten(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "")
}
