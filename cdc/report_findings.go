package cdc

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// unindexedMost is how many rows an incremental strategy may sort for each page.
const unindexedMost = 1_000_000

// surveyor's questions of a table, gathered as findings.
type inspection struct {
	ctx    context.Context //nolint:containedctx // of one call of tableFindings
	o      origin
	p      *plan
	source string
	table  string // in SQL
	out    []Finding
}

// tableFindings asks the origin what may be wrong with the way in which a table
// is read. What cannot be asked is found by the page at the end.
func tableFindings(ctx context.Context, o origin, source string, src SourceConfig, p *plan, rows int64, found func(string, error) Finding) []Finding {
	in := &inspection{ctx: ctx, o: o, p: p, source: source, table: qualified(src.Kind, p.rel.schema, p.rel.table)}
	for _, w := range p.rel.warnings {
		in.warn("origin", w, "")
	}
	in.keyIsUnique()
	for _, s := range p.cfg.Strategies {
		in.cursors(p.own[s.Name], s, rows)
	}
	if !seesDeletes(p.cfg.Strategies) {
		in.warn("deletes_unseen", "no strategy sees all deletes: rows that are deleted stay in the mirror", "add {kind: reconcile}, or {kind: full}")
	}
	if src.Kind == kindSQLite {
		in.sqlite()
	}
	// A page is the only proof that the lock and the columns may be had.
	if _, err := o.read(ctx, p, query{kind: queryLoad, limit: 1}); err != nil && !errors.Is(err, errBusy) {
		in.out = append(in.out, found(p.name, err))
	}
	return in.out
}

func (in *inspection) warn(code, text, mend string) {
	in.out = append(in.out, Finding{Source: in.source, Table: in.p.name, Code: code, Text: text, Mend: mend})
}

func (in *inspection) refuse(code, text, mend string) {
	in.out = append(in.out, Finding{Source: in.source, Table: in.p.name, Code: code, Refused: true, Text: text, Mend: mend})
}

// ask returns the first cell of the answer, "" without one; what cannot be
// asked is no finding.
func (in *inspection) ask(format string, args ...any) string {
	rows, err := in.o.survey(in.ctx, fmt.Sprintf(format, args...))
	if err != nil || len(rows) == 0 || len(rows[0]) == 0 {
		return ""
	}
	return rows[0][0]
}

// keyIsUnique checks a key that the configuration claims and no index proves.
func (in *inspection) keyIsUnique() {
	p := in.p
	proven := slices.ContainsFunc(p.rel.indexes, func(x index) bool { return x.unique && slices.Equal(x.columns, p.keyNames()) })
	if proven || len(p.key) == 0 {
		return
	}
	names := make([]string, len(p.key))
	nulls := make([]string, len(p.key))
	for i, n := range p.keyNames() {
		names[i] = dialectOf(p.kind).ident(n)
		nulls[i] = names[i] + " IS NULL"
	}
	cols := strings.Join(names, ", ")
	if in.ask("SELECT 1 FROM %s GROUP BY %s HAVING count(*) > 1 LIMIT 1", in.table, cols) != "" {
		in.refuse("key_not_unique", fmt.Sprintf("(%s) is not unique: two rows would become one", cols), "name other columns in key:")
	}
	if in.ask("SELECT 1 FROM %s WHERE %s LIMIT 1", in.table, strings.Join(nulls, " OR ")) != "" {
		in.refuse("key_null", fmt.Sprintf("(%s) is NULL in some rows", cols), "name other columns in key:, or leave those rows out by rows.where")
	}
}

func (in *inspection) cursors(p *plan, s StrategyConfig, rows int64) {
	if s.Kind != kindIncremental {
		return
	}
	for _, i := range []int{p.stamp, p.id} {
		if i < 0 || p.indexed(i) {
			continue
		}
		name := dialectOf(p.kind).ident(p.rel.columns[i].name)
		text := fmt.Sprintf("no index begins with %s: each poll reads the whole table", name)
		mend := fmt.Sprintf("CREATE INDEX ON %s (%s, key)", in.table, name)
		if rows > unindexedMost && !p.cfg.Force {
			in.refuse("unindexed_cursor", text, mend+", or set force: true")
		} else {
			in.warn("unindexed_cursor", text, mend)
		}
	}
	if p.stamp >= 0 {
		in.stamp(p)
	}
	if p.id >= 0 && p.kind == kindPostgres {
		in.sequence(p)
	}
}

// stamp looks at the stamps that there are.
func (in *inspection) stamp(p *plan) {
	c := &p.rel.columns[p.stamp]
	name := dialectOf(p.kind).ident(c.name)
	if !c.notNull && p.id < 0 && p.cfg.Clock.Nulls == nullsNever {
		found := "may be NULL"
		if in.ask("SELECT 1 FROM %s WHERE %s IS NULL LIMIT 1", in.table, name) != "" {
			found = "is NULL in some rows"
		}
		in.warn("null_cursor", fmt.Sprintf("%s %s, and rows without a stamp are seen by the first load only", name, found), "make it NOT NULL, name an id beside it, or set clock.nulls: always")
	}
	if doubt := zoneDoubt(p, func(sql string) string { return in.ask("%s", sql) }); doubt != "" {
		in.warn("zone_mismatch", doubt, zoneMend)
	}
}

// sequence warns where ids are given out to sessions in blocks: they are drawn
// long before they are used.
func (in *inspection) sequence(p *plan) {
	name := p.rel.columns[p.id].name
	cache := in.ask("SELECT s.seqcache FROM pg_sequence s WHERE s.seqrelid = pg_get_serial_sequence(%s, %s)::regclass AND s.seqcache > 1", quoteLiteral(in.table), quoteLiteral(name))
	if cache != "" {
		in.warn("sequence_cache", fmt.Sprintf("the sequence of %s hands out %s ids at a time (CACHE): a session may use one long after it drew it, and its row is missed", quoteIdent(name), cache),
			"ALTER SEQUENCE … CACHE 1, or find changes by timestamp too")
	}
}

func (in *inspection) sqlite() {
	if mode := in.ask("PRAGMA journal_mode"); mode != "" && mode != "wal" {
		in.warn("journal_mode", "the database is in journal mode "+mode+": readers and the application's writer wait for each other", "PRAGMA journal_mode = WAL, once")
	}
	byID := slices.ContainsFunc(in.p.cfg.Strategies, func(s StrategyConfig) bool { return s.ID != "" })
	if byID && !strings.Contains(strings.ToUpper(in.ask("SELECT sql FROM sqlite_schema WHERE name = '%s'", strings.ReplaceAll(in.p.rel.table, "'", "''"))), "AUTOINCREMENT") {
		in.warn("reused_id", "without AUTOINCREMENT the largest id can be given out again after its row was deleted, and the new row is missed", "declare the key INTEGER PRIMARY KEY AUTOINCREMENT, or find changes by timestamp too")
	}
}

// statementsOf are what a strategy sends first: the first page of a poll and the
// one behind it, or the digest of a range.
func statementsOf(p *plan, now time.Time) []*statement {
	d := dialectOf(p.kind)
	if p.strategy.Kind == kindReconcile {
		expr := mysqlDigest
		if p.kind == kindPostgres {
			expr = pgDigest
		}
		return []*statement{selectDigest(d, p, query{kind: queryLoad}, expr(p))}
	}
	k := newStrategy(p.strategy)
	o := opening{sample: sample{h: now, raw: now, t0: now, xid: "1000"}, largest: "1", now: now}
	st := k.start(p, o)
	poll := k.begin(p, st, o)
	st.Poll = &poll
	first := k.next(p, st, 1000)
	if first.kind == queryXmin {
		return []*statement{selectPage(d, p, first)} // the next one differs in blocks alone
	}
	next := first
	for _, c := range p.order(first.kind) {
		next.after = append(next.after, exampleOf(p.kind, c, now))
	}
	return []*statement{selectPage(d, p, first), selectPage(d, p, next)}
}

// exampleOf is a position in c, in the form that the dialect keeps, for showing
// a statement.
func exampleOf(kind string, c *column, now time.Time) string {
	text := "x"
	switch {
	case c.cursor == cursorInteger, c.integer:
		return "1"
	case c.cursor == cursorStamp:
		text = now.UTC().Format("2006-01-02 15:04:05.000000")
	}
	if kind == kindSQLite {
		return quoteLiteral(text)
	}
	return text
}

var indexNames = map[string]*regexp.Regexp{
	kindPostgres: regexp.MustCompile(`Index (?:Only )?Scan(?: Backward)? (?:using|on) (\S+)`),
	kindSQLite:   regexp.MustCompile(`USING (?:COVERING )?(?:INDEX (\S+)|INTEGER PRIMARY KEY)`),
	kindMySQL:    regexp.MustCompile(`"key": ?"([^"]+)"`),
	kindMariaDB:  regexp.MustCompile(`"key": ?"([^"]+)"`),
}

// explainOf is the statement that asks the server how it would run sql.
func explainOf(kind, sql string, analyze bool) string {
	switch {
	case kind == kindSQLite:
		return "EXPLAIN QUERY PLAN " + sql
	case kind == kindPostgres && analyze:
		return "EXPLAIN (ANALYZE, BUFFERS) " + sql
	case kind == kindPostgres:
		return "EXPLAIN " + sql
	case kind == kindMariaDB && analyze:
		return "ANALYZE FORMAT=JSON " + sql
	case analyze:
		return "EXPLAIN ANALYZE " + sql
	}
	return "EXPLAIN FORMAT=JSON " + sql
}

func indexesUsed(ctx context.Context, o surveyor, kind string, st *statement) ([]string, error) {
	rows, err := o.survey(ctx, explainOf(kind, st.sql.String(), false), st.values...)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, r := range rows {
		for _, m := range indexNames[kind].FindAllStringSubmatch(strings.Join(r, " "), -1) {
			if m[1] == "" {
				m[1] = "INTEGER PRIMARY KEY"
			}
			out = append(out, m[1])
		}
	}
	return out, nil
}
