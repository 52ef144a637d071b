package cdc

import (
	"context"
	"errors"
	"fmt"
)

// Finding is something about a source that somebody should know.
type Finding struct {
	Source  string `json:"source"`
	Table   string `json:"table,omitempty"` // empty: of the source as a whole
	Code    string `json:"code"`            // stable; see docs/cdc.md
	Refused bool   `json:"refused"`         // the source or table will not be read; else a warning
	Text    string `json:"text"`
	Mend    string `json:"mend,omitempty"`
}

func (f Finding) String() string {
	where := f.Source
	if f.Table != "" {
		where += " " + f.Table
	}
	if f.Mend == "" {
		return fmt.Sprintf("%s: %s", where, f.Text)
	}
	return fmt.Sprintf("%s: %s; %s", where, f.Text, f.Mend)
}

// Check connects to each source of a valid cfg, read only, and returns what is
// wrong with it and how to mend it: connection, horizon, then each table.
func Check(ctx context.Context, cfg Config) []Finding {
	if err := cfg.unlanded(); err != nil {
		return []Finding{{Code: "unsupported", Refused: true, Text: err.Error()}}
	}
	cfg = cfg.withDefaults()
	var out []Finding
	for _, name := range sortedKeys(cfg.Sources) {
		out = append(out, checkSource(ctx, name, cfg.Sources[name])...)
	}
	return out
}

func checkSource(ctx context.Context, name string, src SourceConfig) []Finding {
	o, err := openOrigin(name, src)
	if err != nil {
		return []Finding{{Source: name, Code: "dsn", Refused: true, Text: err.Error()}}
	}
	defer o.close()
	found := func(table string, err error) Finding {
		if r, ok := errors.AsType[*refusal](err); ok {
			return Finding{Source: name, Table: table, Code: r.code, Refused: true, Text: r.text, Mend: r.mend}
		}
		return Finding{Source: name, Table: table, Code: "unreachable", Refused: true, Text: err.Error(), Mend: "mend the dsn, or let the database accept the connection"}
	}
	r, err := o.look(ctx)
	if err != nil {
		return []Finding{found("", err)}
	}
	var out []Finding
	switch {
	case r.basis == basisLookback && src.Horizon.Method != string(basisLookback):
		out = append(out, Finding{Source: name, Code: "lookback_only", Text: fmt.Sprintf("open transactions cannot be seen: rows that commit more than %s after they were stamped are missed", src.Horizon.Lookback), Mend: "point dsn to the primary, with a file or role that may see them"})
	case r.basis == basisLocks && src.Horizon.Method == "auto":
		out = append(out, Finding{Source: name, Code: "no_stats_privilege", Text: "begins of transactions are estimated", Mend: "GRANT pg_read_all_stats TO the role for exact ones"})
	}
	for _, table := range sortedKeys(src.Tables) {
		out = append(out, checkTable(ctx, o, name, table, src, found)...)
	}
	return out
}

func checkTable(ctx context.Context, o origin, source, name string, src SourceConfig, found func(string, error) Finding) []Finding {
	ctx, cancel := context.WithTimeout(ctx, src.Timeouts.Snapshot)
	defer cancel()
	cfg := src.Tables[name]
	schema, table, _ := splitTable(src.Kind, name)
	rel, err := o.describe(ctx, schema, table, cfg.stamps())
	if err != nil {
		return []Finding{found(name, err)}
	}
	p, err := newPlan(source, src.Kind, name, cfg, rel)
	if err != nil {
		return []Finding{found(name, err)}
	}
	var out []Finding
	warn := func(code, text, mend string) {
		out = append(out, Finding{Source: source, Table: name, Code: code, Text: text, Mend: mend})
	}
	for _, w := range rel.warnings {
		warn("origin", w, "")
	}
	for _, strategy := range sortedKeys(p.own) {
		checkCursors(p.own[strategy], warn)
	}
	// A page is the only proof that the lock and the columns may be had.
	if _, err := o.read(ctx, p, query{kind: queryLoad, limit: 1}); err != nil && !errors.Is(err, errBusy) {
		out = append(out, found(name, err))
	}
	return out
}

func checkCursors(p *plan, warn func(code, text, mend string)) {
	rel := &p.rel
	for _, i := range []int{p.stamp, p.id} {
		if i >= 0 && !p.indexed(i) {
			c := quoteIdent(rel.columns[i].name)
			warn("unindexed_cursor", fmt.Sprintf("no index begins with %s: each poll reads the whole table", c), fmt.Sprintf("CREATE INDEX ON %s.%s (%s, key)", quoteIdent(rel.schema), quoteIdent(rel.table), c))
		}
	}
	if p.stamp >= 0 && !rel.columns[p.stamp].notNull && p.id < 0 {
		warn("null_cursor", fmt.Sprintf("%s may be NULL, and rows without a stamp are seen by the first load only", quoteIdent(rel.columns[p.stamp].name)), "make it NOT NULL, or name an id beside it")
	}
}
