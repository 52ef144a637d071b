package models

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/warehouse"
)

// Outcome is what became of a build.
type Outcome string

// The outcomes of builds.
const (
	OutcomeBuilt   Outcome = "built"   // made, tested and shown
	OutcomeChecked Outcome = "checked" // a view that was there as it is; its tests passed
	OutcomeFailed  Outcome = "failed"  // by the model's own fault; what was shown before still is
	OutcomePutOff  Outcome = "put_off" // by nobody's fault: lost connection, busy cluster, readers that do not end
	OutcomeSkipped Outcome = "skipped" // an input failed
)

// Result is what became of a build.
type Result struct {
	Model   *Model
	Outcome Outcome
	Rows    int64 // of tables
	Seconds float64
	Tests   []TestResult
	Changed []string // columns that came, went or changed their type
	Left    string   // why the table that was replaced is still there; empty if it is not
	Err     error    // of OutcomeFailed a FileError, or several joined
}

// Time that the swap waits for readers of the old table, how often, and the
// pause between: the gate is not kept from loads meanwhile.
const (
	swapWait  = 10 * time.Second
	swapTries = 6
	swapPause = 20 * time.Second
)

// errRival says that another process builds the model.
var errRival = errors.New("another process is building this model")

// errReaders says that queries of the old table have not ended in time.
var errReaders = errors.New("queries of the table that is to be replaced do not end")

// relation is a table or view as it is.
type relation struct {
	oid  string
	view bool
}

// build is one model on its way.
type build struct {
	conn    *warehouse.Conn
	cfg     warehouse.Config
	gate    Gate
	m       *Model
	text    string // the SELECT with all names qualified
	names   func(ref) (warehouse.Name, bool)
	before  Built
	made    Built
	fresh   warehouse.Name // where it is made
	former  warehouse.Name // of the table that it replaces
	oid     string         // of fresh
	grants  []string
	changed []string
	left    string
	wait    time.Duration // of the swap for readers
	pause   func(context.Context, time.Duration) bool
}

// run builds the model. The old table stays until COMMIT.
func (b *build) run(ctx context.Context) error {
	start := time.Now()
	there, err := b.relations(ctx)
	if err != nil {
		return err
	}
	if err := b.guard(ctx, there); err != nil {
		return err
	}
	if err := b.clear(ctx, there); err != nil {
		return err
	}
	if b.made.ReadAt, err = b.now(ctx); err != nil {
		return err
	}
	old, exists := there[b.m.Name.Table]
	if b.m.View && exists && old.view && b.before.Hash == b.m.Hash {
		return b.check(ctx, start)
	}
	if err := b.beside(ctx); err != nil {
		return err
	}
	if err := b.show(ctx, start, old, exists); err != nil {
		b.discard(ctx)
		return err
	}
	b.tidy(ctx)
	return nil
}

// show tests what was made and puts it into the place of what was shown before.
func (b *build) show(ctx context.Context, start time.Time, old relation, exists bool) (err error) {
	if err := b.compare(ctx, old, exists); err != nil {
		return err
	}
	if err := b.test(ctx, b.fresh, exists); err != nil {
		return err
	}
	if exists {
		if b.grants, err = b.conn.Grants(ctx, b.m.Name); err != nil {
			return err
		}
	}
	b.made.Seconds = time.Since(start).Seconds()
	return b.swap(ctx)
}

// discard removes what was made and is not shown, lest somebody takes it for
// the model. What it misses, the next build removes.
func (b *build) discard(ctx context.Context) {
	if !b.conn.Closed() && !b.conn.InTransaction() {
		_, _ = b.conn.Exec(ctx, drop(b.fresh, relation{view: b.m.View}))
	}
}

// relations reads which of the model's names are taken, and by what.
func (b *build) relations(ctx context.Context) (map[string]relation, error) {
	out := map[string]relation{}
	n := b.m.Name
	err := each(ctx, b.conn, fmt.Sprintf("SELECT c.relname, c.relkind, c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'v') AND n.nspname = %s AND c.relname LIKE %s",
		warehouse.Literal(n.Schema), warehouse.Literal(n.Table+"%")), func(row []string) error {
		out[row[0]] = relation{oid: row[2], view: row[1] == "v"}
		return nil
	})
	return out, err
}

// guard keeps models from replacing what is not theirs.
func (b *build) guard(ctx context.Context, there map[string]relation) error {
	n := b.m.Name
	res, err := b.conn.Exec(ctx, "SELECT 1 FROM millstream.positions WHERE target = "+warehouse.Literal(n.String())+" LIMIT 1")
	if err != nil {
		return err
	}
	if len(res.Rows) > 0 {
		return &FileError{b.m.File, 1, fmt.Sprintf("%s is a table that the loader fills: give the model another name or schema", n)}
	}
	if _, exists := there[n.Table]; exists && b.before.BuiltAt.IsZero() {
		return &FileError{b.m.File, 1, fmt.Sprintf("%[1]s is there already, and no model has made it: give the model another name or schema, or DROP %[2]s %[3]s", n, kindOf(there[n.Table]), n.SQL())}
	}
	return nil
}

func kindOf(r relation) string {
	if r.view {
		return "VIEW"
	}
	return "TABLE"
}

// clear removes what an interrupted build has left, and sees to the schema.
func (b *build) clear(ctx context.Context, there map[string]relation) error {
	for table, r := range there {
		if b.m.leftover(table) {
			n := warehouse.Name{Schema: b.m.Name.Schema, Table: table}
			if _, err := b.conn.Exec(ctx, drop(n, r)); err != nil && !warehouse.IsCode(err, "42P01") {
				return err
			}
		}
	}
	res, err := b.conn.Exec(ctx, "SELECT 1 FROM pg_namespace WHERE nspname = "+warehouse.Literal(b.m.Name.Schema))
	if err != nil || len(res.Rows) > 0 {
		return err
	}
	for _, s := range b.cfg.CreateSchema(b.m.Name.Schema) {
		if _, err := b.conn.Exec(ctx, s); err != nil && warehouse.Classify(err) != warehouse.ClassRaced {
			return err
		}
	}
	return nil
}

// now asks behind the gate: what is not visible yet is then stamped with this
// second or a later one.
func (b *build) now(ctx context.Context) (at time.Time, err error) {
	err = b.gate.Gated(ctx, b.conn, func() error {
		return each(ctx, b.conn, "SELECT GETDATE()", func(row []string) (err error) { at, err = moment(row[0]); return err })
	})
	return at, err
}

// beside makes the table or view under the name of those being built.
func (b *build) beside(ctx context.Context) error {
	if _, err := b.conn.Exec(ctx, b.m.create(b.fresh, b.text)); err != nil {
		return err
	}
	there, err := b.relations(ctx)
	if err != nil {
		return err
	}
	made, ok := there[b.fresh.Table]
	if !ok {
		return errRival
	}
	b.oid = made.oid
	return nil
}

// compare reads the columns, tells what changed in them, and counts the rows.
func (b *build) compare(ctx context.Context, old relation, exists bool) (err error) {
	if b.made.Columns, err = b.columns(ctx, b.oid); err != nil {
		return err
	}
	if exists {
		before, err := b.columns(ctx, old.oid)
		if err != nil {
			return err
		}
		b.changed = changes(before, b.made.Columns)
	}
	if b.m.View {
		return nil
	}
	b.made.Rows, err = b.count(ctx, "SELECT COUNT(*) FROM "+b.fresh.SQL())
	return err
}

func (b *build) columns(ctx context.Context, oid string) (out []Column, err error) {
	err = each(ctx, b.conn, "SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a WHERE a.attrelid = "+oid+" AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
		func(row []string) error { out = append(out, Column{row[0], row[1]}); return nil })
	return out, err
}

// changes says what came, went or changed its type. Of views Redshift knows no
// columns: then nothing is said.
func changes(before, after []Column) (out []string) {
	if len(before) == 0 || len(after) == 0 {
		return nil
	}
	find := func(in []Column, name string) (Column, bool) {
		i := slices.IndexFunc(in, func(c Column) bool { return c.Name == name })
		if i < 0 {
			return Column{}, false
		}
		return in[i], true
	}
	for _, c := range after {
		switch old, ok := find(before, c.Name); {
		case !ok:
			out = append(out, fmt.Sprintf("column %s is new", c.Name))
		case old.Type != c.Type:
			out = append(out, fmt.Sprintf("column %s was %s and is %s", c.Name, old.Type, c.Type))
		}
	}
	for _, c := range before {
		if _, ok := find(after, c.Name); !ok {
			out = append(out, fmt.Sprintf("column %s is gone", c.Name))
		}
	}
	return out
}

func (b *build) count(ctx context.Context, sql string) (n int64, err error) {
	err = each(ctx, b.conn, sql, func(row []string) error { n, err = strconv.ParseInt(row[0], 10, 64); return err })
	return n, err
}

// check tests a view that is there as it is.
func (b *build) check(ctx context.Context, start time.Time) error {
	b.oid = ""
	if err := b.test(ctx, b.m.Name, true); err != nil {
		return err
	}
	b.made.Seconds = time.Since(start).Seconds()
	return noted(ctx, b.gate, b.conn, b.wait, func() error {
		_, err := b.conn.Exec(ctx, b.m.checked(b.made))
		return err
	})
}

// swap shows what was made, in one transaction. Readers of the old table are
// waited for a little, several times.
func (b *build) swap(ctx context.Context) error {
	for try := 1; ; try++ {
		err := b.gate.Gated(ctx, b.conn, func() error { return b.swapIn(ctx) })
		if err == nil {
			return nil
		}
		if rollErr := rollback(ctx, b.conn); rollErr != nil {
			return errors.Join(err, rollErr)
		}
		class := warehouse.Classify(err)
		if class != warehouse.ClassSlow && class != warehouse.ClassConflict {
			return err
		}
		if try == swapTries {
			who, _ := b.conn.Blocker(ctx, b.m.Name)
			return fmt.Errorf("%w: %s: %w", errReaders, cmp.Or(who, "the server does not tell whose"), err)
		}
		if class == warehouse.ClassSlow && !b.pause(ctx, swapPause) {
			return ctx.Err()
		}
	}
}

// rollback ends a failed transaction; a session that is gone has none.
func rollback(ctx context.Context, c *warehouse.Conn) error {
	if c.Closed() || !c.InTransaction() {
		return nil
	}
	_, err := c.Exec(ctx, "ROLLBACK")
	return err
}

func (b *build) swapIn(ctx context.Context) error {
	there, err := b.relations(ctx)
	if err != nil {
		return err
	}
	if there[b.fresh.Table].oid != b.oid {
		return errRival
	}
	if err := b.conn.SetTimeout(ctx, b.wait); err != nil {
		return err
	}
	var statements []string
	old, exists := there[b.m.Name.Table]
	switch {
	case exists && old.view:
		statements = append(statements, drop(b.m.Name, old))
	case exists:
		statements = append(statements, rename(b.m.Name, b.former))
	}
	if b.m.View {
		statements = append(statements, b.m.create(b.m.Name, b.text))
	} else {
		statements = append(statements, rename(b.fresh, b.m.Name))
	}
	grants := b.grants
	if !exists {
		grants = b.cfg.GrantTable(b.m.Name)
	}
	for _, s := range slices.Concat(statements, grants, b.m.built(b.made)) {
		if _, err := b.conn.Exec(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// tidy removes what was replaced. If it cannot be removed now, the next build
// tries again, and says why.
func (b *build) tidy(ctx context.Context) {
	there, err := b.relations(ctx)
	for _, n := range []warehouse.Name{b.fresh, b.former} {
		if r, left := there[n.Table]; left && err == nil {
			_, err = b.conn.Exec(ctx, drop(n, r))
		}
	}
	if err != nil {
		_, words := warehouse.Reason(err)
		b.left = fmt.Sprintf("%s is still there: %s", b.former, words)
		if warehouse.IsCode(err, "2BP01") {
			b.left += fmt.Sprintf("; a view over %s that was made without NO SCHEMA BINDING still shows its rows: make that view anew WITH NO SCHEMA BINDING, then DROP TABLE %s", b.m.Name, b.former.SQL())
		}
	}
}

// words of Redshift, or of whoever failed.
func words(err error) string {
	code, text := warehouse.Reason(err)
	if code != "" {
		text += " (Redshift, " + code + ")"
	}
	return strings.TrimSpace(text)
}
