package cdc

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// refusal stops a table: reading on would be silently wrong. It is tried again
// from time to time, since most are mended at the origin.
type refusal struct {
	code string // stable; see docs/cdc.md
	text string
	mend string
}

func (r *refusal) Error() string {
	if r.mend == "" {
		return r.text
	}
	return r.text + "; " + r.mend
}

func refuse(code, mend, format string, args ...any) error {
	return &refusal{code: code, text: fmt.Sprintf(format, args...), mend: mend}
}

// cursorKind says which comparisons a column allows.
type cursorKind int

const (
	cursorNone cursorKind = iota
	cursorInteger
	cursorStamp // a moment, or a wall clock that is taken for UTC
)

// column is a column as the origin declares it and as it is mirrored.
type column struct {
	name             string
	origin           string // declared type
	number           int    // identity across renames where the origin has one, else 0
	notNull          bool
	filled           bool // rows older than the column may hold a value
	form             event.Form
	lake             wire.LakeType
	target           string // Redshift's type
	kind             valueKind
	expr             string // what to select; "" for the column itself
	binary           bool   // postgres: it comes in binary; mysql: bytes
	byBytes          bool   // texts compare by the bytes of their UTF-8
	oid              uint32 // postgres: type of parameters that are compared with it
	cursor           cursorKind
	quantum          time.Duration // the step of a stamp
	dateOnly         bool          // stamps are dates
	integer          bool          // sqlite: stamps are unix seconds
	numeric          bool          // mysql: compared as a number
	bits             int           // mysql: the width of a bit(n), 0 where it is a bool
	position         string        // mysql: the expression whose text compares as the column sorts; "" for the column itself
	precision, scale int           // of a decimal
	exact            bool          // postgres: numbers as text, for want of a precision
	element          elementKind   // of an array
	delim            byte          // between elements of an array
	unknown          bool          // carried as text for want of a rule
}

// index is what the plan needs to know of one.
type index struct {
	columns []string
	unique  bool
	primary bool
}

// relation is a table as the origin describes it.
type relation struct {
	schema, table string
	identity      string   // another one is another table
	rewrite       string   // another one: rewritten or truncated
	server        string   // its version, as far as digests depend on it
	print         string   // hash of the columns; compared by each page
	leaves        []string // of a partitioned table, with what names their rewrites; in order
	columns       []column
	indexes       []index
	warnings      []string
	rows, blocks  int64 // postgres: as the last ANALYZE or VACUUM counted them
}

// density is how many rows a block has, about.
func (r *relation) density() int64 {
	if r.rows <= 0 || r.blocks <= 0 {
		return 60
	}
	return max(1, r.rows/r.blocks)
}

func (r *relation) index(name string) int {
	return slices.IndexFunc(r.columns, func(c column) bool { return c.name == name })
}

// plan is how a table is read: everything that pages need, fixed until the
// schema or the configuration changes. Each strategy has a copy with its own
// cursors.
type plan struct {
	source string
	kind   string // of the source
	name   string // schema.table
	cfg    TableConfig
	rel    relation
	key    []int

	fingerprint string // of the schema mark

	strategy StrategyConfig   // its name alone in the table's own plan, by which loads go
	stamp    int              // column, or -1; in the table's own plan the first strategy's
	id       int              // column, or -1
	meaning  string           // of the cursors
	own      map[string]*plan // of the strategies, by name; in the table's own plan
}

// newPlan decides how rel is read, or refuses with what is missing.
func newPlan(source, kind, name string, cfg TableConfig, rel relation) (*plan, error) {
	p := &plan{source: source, kind: kind, name: rel.schema + "." + rel.table, cfg: cfg, rel: rel, strategy: StrategyConfig{Name: "load"}, stamp: -1, id: -1, own: map[string]*plan{}}
	if len(rel.columns) == 0 {
		return nil, refuse("no_columns", "grant SELECT on the table", "%s has no readable column", name)
	}
	if err := p.pickColumns(); err != nil {
		return nil, err
	}
	if err := p.retype(); err != nil {
		return nil, err
	}
	if err := p.findKey(); err != nil {
		return nil, err
	}
	if err := p.checkNames(); err != nil {
		return nil, err
	}
	p.fingerprint = wire.TableFingerprint(p.tableColumns())
	stamp := -1
	for _, c := range cfg.Strategies {
		own, err := p.of(c)
		if err != nil {
			return nil, err
		}
		p.own[c.Name] = own
		if stamp < 0 && c.Kind == kindIncremental {
			stamp = own.stamp
		}
	}
	p.stamp = stamp
	return p, nil
}

// of is the plan of a strategy of the table.
func (p *plan) of(c StrategyConfig) (*plan, error) {
	own := *p
	own.strategy, own.own = c, nil
	if err := own.findCursors(); err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{c.Kind, c.Timestamp.String(), c.ID, c.Column, strings.Join(p.keyNames(), ","), p.cfg.Rows.Where}, "\x00")))
	own.meaning = hex.EncodeToString(sum[:4])
	return &own, nil
}

func (p *plan) findCursors() error {
	find := func(name string, want cursorKind, code, what string) (int, error) {
		i := p.rel.index(name)
		if i < 0 {
			return -1, refuse("cursor_missing", "mend strategies: in the configuration", "%s has no column %s", p.name, name)
		}
		if p.rel.columns[i].cursor != want {
			return -1, refuse(code, "name another column", "%s.%s is of type %s, and %s", p.name, name, p.rel.columns[i].origin, what)
		}
		return i, nil
	}
	var err error
	if c := p.strategy; c.Kind == kindBounded && c.Window.By > 0 {
		p.stamp, err = find(c.Column, cursorStamp, "cursor_type", "a window of time needs a date or time with a date")
		return err
	} else if c.Kind == kindBounded {
		p.id, err = find(c.Column, cursorInteger, "cursor_type", "a window of numbers needs integers")
		return err
	}
	if n := p.strategy.Timestamp.String(); n != "" {
		if p.stamp, err = find(n, cursorStamp, "cursor_type", "timestamp needs a date or time with a date"); err != nil {
			return err
		}
	}
	if n := p.strategy.ID; n != "" {
		if p.id, err = find(n, cursorInteger, "random_id", "id needs integers that grow"); err != nil {
			return err
		}
		single := len(p.key) == 1 && p.key[0] == p.id
		if !single && !slices.ContainsFunc(p.rel.indexes, func(x index) bool { return x.unique && len(x.columns) == 1 && x.columns[0] == n }) {
			return refuse("id_not_unique", "add a unique index on it", "%s.%s is not unique, so a page could end between two equal ids", p.name, n)
		}
	}
	return nil
}

// checkNames refuses columns that would be one in the warehouse.
func (p *plan) checkNames() error {
	seen := map[string]string{}
	for _, c := range p.rel.columns {
		low := strings.ToLower(c.name)
		if other, taken := seen[low]; taken {
			return refuse("name_collision", "rename one of them", "%s has the columns %s and %s, which are one in the warehouse", p.name, other, c.name)
		}
		seen[low] = c.name
	}
	return nil
}

// indexed says whether an index begins with the column at i.
func (p *plan) indexed(i int) bool {
	name := p.rel.columns[i].name
	return slices.ContainsFunc(p.rel.indexes, func(x index) bool { return len(x.columns) > 0 && x.columns[0] == name })
}

func (p *plan) keyNames() []string {
	names := make([]string, len(p.key))
	for n, i := range p.key {
		names[n] = p.rel.columns[i].name
	}
	return names
}

// cursorName is the column by which the table's first incremental strategy
// finds changes, "" without one.
func (p *plan) cursorName() string {
	for _, c := range p.cfg.Strategies {
		switch {
		case c.Kind != kindIncremental:
		case len(c.Timestamp) > 0:
			return c.Timestamp.String()
		default:
			return c.ID
		}
	}
	return ""
}

// idName is the column of plan.id, "" without one.
func (p *plan) idName() string {
	if p.id < 0 {
		return ""
	}
	return p.rel.columns[p.id].name
}

func (p *plan) tableColumns() []event.TableColumn {
	cols := make([]event.TableColumn, len(p.rel.columns))
	for i, c := range p.rel.columns {
		cols[i] = event.TableColumn{
			Name: c.name, Origin: c.origin, Form: c.form, Lake: string(c.lake), Warehouse: c.target,
			Nullable: !c.notNull, Key: slices.Index(p.key, i) + 1,
		}
	}
	return cols
}

// margin is how far below a horizon the stamps of late rows may lie.
func (p *plan) margin() time.Duration {
	if p.stamp < 0 {
		return 0
	}
	return p.cfg.skew() + p.rel.columns[p.stamp].quantum
}

// schemaChange is what a new version of a table's columns does.
type schemaChange struct {
	mark     event.TableSchema
	changed  bool // a new version has to be announced
	backfill bool // old rows hold values that were never published
}

// compare builds the schema mark that follows was, nil for the first one. It
// refuses another key, unless the table is read anew.
func (p *plan) compare(was *event.TableSchema, numbers map[string]int, anew bool) (schemaChange, error) {
	out := schemaChange{mark: event.TableSchema{
		V: 1, Source: p.source, Schema: p.rel.schema, Table: p.rel.table, Version: 1, Fingerprint: p.fingerprint,
		Key: p.keyNames(), Cursor: p.cursorName(), Renamed: map[string]string{}, Retyped: []string{}, Dropped: []string{}, Columns: p.tableColumns(),
	}}
	if was == nil {
		out.changed = true
		return out, nil
	}
	if !anew && !slices.Equal(was.Key, out.mark.Key) && len(renames(p, was, numbers)) == 0 {
		return out, refuse("key_changed", "restore the key, or millstream cdc reload to read the table under the new one",
			"the key of %s was (%s) and is (%s)", p.name, strings.Join(was.Key, ", "), strings.Join(out.mark.Key, ", "))
	}
	out.mark.Version = was.Version
	if was.Fingerprint == p.fingerprint {
		return out, nil
	}
	out.changed, out.mark.Version = true, was.Version+1
	p.compareColumns(was, numbers, &out)
	return out, nil
}

func (p *plan) compareColumns(was *event.TableSchema, numbers map[string]int, out *schemaChange) {
	out.mark.Renamed = renames(p, was, numbers)
	before := map[string]event.TableColumn{}
	for _, c := range was.Columns {
		name := c.Name
		if to, renamed := out.mark.Renamed[name]; renamed {
			name = to
		}
		before[name] = c
	}
	added := false
	for i, c := range out.mark.Columns {
		old, known := before[c.Name]
		switch {
		case !known:
			added = true
			out.backfill = out.backfill || p.rel.columns[i].filled
		case old.Lake != c.Lake || old.Form != c.Form:
			out.mark.Retyped = append(out.mark.Retyped, c.Name)
		}
		delete(before, c.Name)
	}
	for name := range before {
		out.mark.Dropped = append(out.mark.Dropped, name)
	}
	slices.Sort(out.mark.Dropped)
	// Without column numbers a rename looks like a drop and an add, whose old
	// rows hold the old column's values.
	if added && len(out.mark.Dropped) > 0 && len(numbers) == 0 {
		out.backfill = true
	}
}

// renames pairs old and new names of columns that kept their number, and of
// those of which columns.rename tells where the origin has no numbers.
func renames(p *plan, was *event.TableSchema, numbers map[string]int) map[string]string {
	out := map[string]string{}
	byNumber := map[int]string{}
	for _, c := range p.rel.columns {
		if c.number != 0 {
			byNumber[c.number] = c.name
		}
	}
	for _, c := range was.Columns {
		if now, ok := byNumber[numbers[c.Name]]; ok && now != c.Name && numbers[c.Name] != 0 {
			out[c.Name] = now
		}
	}
	announced := func(name string) bool {
		return slices.ContainsFunc(was.Columns, func(c event.TableColumn) bool { return c.Name == name })
	}
	for from, to := range p.cfg.Columns.Rename {
		if announced(from) && !announced(to) && p.rel.index(from) < 0 && p.rel.index(to) >= 0 {
			out[from] = to
		}
	}
	return out
}
