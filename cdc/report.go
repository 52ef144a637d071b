package cdc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// SourcePlan is what millstream cdc plan says of a source.
type SourcePlan struct {
	Source   string      `json:"source"`
	Kind     string      `json:"kind"`
	Database string      `json:"database"`
	Server   string      `json:"server"`
	Horizon  string      `json:"horizon"` // method
	Findings []Finding   `json:"findings"`
	Tables   []TablePlan `json:"tables"`
}

// TablePlan is what it says of a table.
type TablePlan struct {
	Table      string         `json:"table"`
	Kind       string         `json:"kind"`
	Rows       int64          `json:"rows"`  // estimate; -1 unknown
	Bytes      int64          `json:"bytes"` // estimate; -1 unknown
	Topic      string         `json:"topic"`
	Warehouse  string         `json:"warehouse"`
	Key        []string       `json:"key"`
	Planned    bool           `json:"planned"` // the configuration names no strategies
	LoadSecs   float64        `json:"load_seconds"`
	Strategies []StrategyPlan `json:"strategies"`
	Sees       []string       `json:"sees"`
	Under      []string       `json:"sees_under_conditions"`
	Misses     []string       `json:"misses"`
	Columns    []ColumnPlan   `json:"columns"`
	Excluded   []string       `json:"excluded_columns,omitempty"`
	Findings   []Finding      `json:"findings"`

	configured []StrategyConfig
}

// StrategyPlan is a strategy with the statements that it sends.
type StrategyPlan struct {
	Name    string   `json:"name"`
	Words   string   `json:"words"`
	SQL     []string `json:"sql"`
	Indexes []string `json:"indexes"`
	Rows    int64    `json:"rows"`    // that a poll reads at the origin, at most
	Seconds float64  `json:"seconds"` // that it takes there, about
}

// ColumnPlan is the mapping of a column.
type ColumnPlan struct {
	Name      string `json:"name"`
	Origin    string `json:"origin"`
	Form      string `json:"form"`
	Lake      string `json:"lake"`
	Warehouse string `json:"warehouse"`
	Nullable  bool   `json:"nullable"`
	Key       int    `json:"key,omitempty"`
}

// Refused says whether the source, or a table of it, will not be read.
func (p SourcePlan) Refused() bool {
	refused := func(f Finding) bool { return f.Refused }
	return slices.ContainsFunc(p.Findings, refused) || slices.ContainsFunc(p.Tables, func(t TablePlan) bool { return slices.ContainsFunc(t.Findings, refused) })
}

// Plan connects to the sources of a valid cfg, read only, and says how each
// table will be read. Without names all sources are planned.
func Plan(ctx context.Context, cfg Config, sources ...string) ([]SourcePlan, error) {
	if err := cfg.unlanded(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	if len(sources) == 0 {
		sources = sortedKeys(cfg.Sources)
	}
	var out []SourcePlan
	for _, name := range sources {
		src, ok := cfg.Sources[name]
		if !ok {
			return nil, fmt.Errorf("there is no source %q; the configuration has %s", name, strings.Join(sortedKeys(cfg.Sources), ", "))
		}
		out = append(out, planSource(ctx, name, src))
	}
	return out, nil
}

func planSource(ctx context.Context, name string, src SourceConfig) SourcePlan {
	out := SourcePlan{Source: name, Kind: src.Kind, Findings: []Finding{}, Tables: []TablePlan{}}
	o, err := openOrigin(name, src)
	if err != nil {
		out.Findings = append(out.Findings, Finding{Source: name, Code: "dsn", Refused: true, Text: err.Error()})
		return out
	}
	defer o.close()
	found := finder(name)
	r, err := o.look(ctx)
	if err != nil {
		out.Findings = append(out.Findings, found("", err))
		return out
	}
	out.Database, out.Server, out.Horizon = o.name(), r.server, string(r.basis)
	out.Findings = append(out.Findings, horizonFindings(name, src, r)...)
	infos, err := o.tables(ctx)
	if err != nil {
		out.Findings = append(out.Findings, found("", err))
		return out
	}
	tables := src.resolve(infos)
	if len(tables) == 0 {
		out.Findings = append(out.Findings, Finding{Source: name, Code: "no_tables", Refused: true, Text: "no table of the database matches the configuration", Mend: "grant SELECT on them, or mend the patterns"})
	}
	for _, table := range sortedKeys(tables) {
		i := slices.IndexFunc(infos, func(t tableInfo) bool { return t.String() == table })
		info := tableInfo{name: table, kind: relationTable, rows: -1, bytes: -1}
		if i >= 0 {
			info = infos[i]
		}
		out.Tables = append(out.Tables, planTable(ctx, o, name, src, table, tables[table], info, found))
	}
	out.Findings = append(out.Findings, skipped(name, src, infos, tables)...)
	return out
}

// skipped tells of what patterns match and this role may not read: a table is
// never left out in silence.
func skipped(source string, src SourceConfig, infos []tableInfo, tables map[string]TableConfig) []Finding {
	var out []Finding
	for _, t := range infos {
		_, taken := tables[t.String()]
		one := func(p string) bool { return matches(p, t.schema, t.name) }
		if taken || t.readable || slices.ContainsFunc(src.Exclude, one) || !slices.ContainsFunc(sortedKeys(src.Tables), one) {
			continue
		}
		out = append(out, Finding{
			Source: source, Table: t.String(), Code: "column_grants", Text: "the whole of " + t.String() + " may not be read, so the pattern leaves it out",
			Mend: "GRANT USAGE on its schema and SELECT on the table, not on columns; or name it in exclude",
		})
	}
	return out
}

// finder makes a finding of an error.
func finder(source string) func(table string, err error) Finding {
	return func(table string, err error) Finding {
		if r, ok := errors.AsType[*refusal](err); ok {
			return Finding{Source: source, Table: table, Code: r.code, Refused: true, Text: r.text, Mend: r.mend}
		}
		return Finding{Source: source, Table: table, Code: "unreachable", Refused: true, Text: err.Error(), Mend: "mend the dsn, or let the database accept the connection"}
	}
}

func horizonFindings(name string, src SourceConfig, r reading) []Finding {
	switch {
	case r.basis == basisLookback && src.Horizon.Method != string(basisLookback) && mysqlFamily(src.Kind):
		return []Finding{{Source: name, Code: "no_process_privilege", Text: fmt.Sprintf("open transactions cannot be seen: rows that commit more than %s after they were stamped are missed", shortDuration(src.Horizon.Lookback)), Mend: "GRANT PROCESS ON *.* to the user"}}
	case r.basis == basisLookback && src.Horizon.Method != string(basisLookback):
		return []Finding{{Source: name, Code: "lookback_only", Text: fmt.Sprintf("open transactions cannot be seen: rows that commit more than %s after they were stamped are missed", shortDuration(src.Horizon.Lookback)), Mend: "point dsn or horizon_dsn to the primary, with a file or role that may see them"}}
	case r.basis == basisLocks && src.Horizon.Method == wordAuto:
		return []Finding{{Source: name, Code: "no_stats_privilege", Text: "begins of transactions are estimated", Mend: "GRANT pg_read_all_stats TO the role for exact ones"}}
	}
	return nil
}

// The rates by which plans estimate, in rows a second of one connection.
const (
	rateLoad   = 100_000
	rateScan   = 250_000
	rateXmin   = 2_000_000
	rateDigest = 2_500_000
	rateMD5    = 200_000
)

func planTable(ctx context.Context, o origin, source string, src SourceConfig, name string, cfg TableConfig, info tableInfo, found func(string, error) Finding) TablePlan {
	ctx, cancel := context.WithTimeout(ctx, src.Timeouts.Snapshot+src.Timeouts.Statement)
	defer cancel()
	out := TablePlan{Table: name, Kind: string(info.kind), Rows: info.rows, Bytes: info.bytes, Planned: len(cfg.Strategies) == 0, Findings: []Finding{}, Strategies: []StrategyPlan{}}
	out.Topic, out.Warehouse = cfg.topicOf(source, src.Kind, name), source+"_"+strings.ToLower(name)
	schema, table, _ := splitTable(src.Kind, name)
	rel, err := o.describe(ctx, schema, table, cfg.stamps())
	if err == nil && len(cfg.Strategies) == 0 {
		if cfg.Strategies, err = proposeFor(ctx, o, source, src, name, cfg, rel); err == nil {
			rel, err = o.describe(ctx, schema, table, cfg.stamps())
		}
	}
	var p *plan
	if err == nil {
		p, err = newPlan(source, src.Kind, name, cfg, rel)
	}
	if err != nil {
		out.Findings = append(out.Findings, found(name, err))
		return out
	}
	if out.Rows < 0 {
		if out.Rows, err = countUpTo(ctx, o, src.Kind, tableInfo{schema: schema, name: table, rows: -1}, proposeKeyless+1); err != nil {
			out.Rows = -1
		}
	}
	out.configured = cfg.Strategies
	out.Key = append([]string{}, p.keyNames()...)
	out.LoadSecs = secondsFor(out.Rows, rateLoad)
	out.Sees, out.Under, out.Misses = promise(cfg.Strategies)
	for _, c := range p.tableColumns() {
		out.Columns = append(out.Columns, ColumnPlan{c.Name, c.Origin, string(c.Form), c.Lake, c.Warehouse, c.Nullable, c.Key})
	}
	out.Excluded = append(slices.Clone(cfg.Columns.Except), outside(cfg.Columns.Only)...)
	for _, s := range cfg.Strategies {
		out.Strategies = append(out.Strategies, planStrategy(ctx, o, p, s, out.Rows))
	}
	out.Findings = append(out.Findings, tableFindings(ctx, o, source, src, p, out.Rows, found)...)
	return out
}

// outside says in words what columns.only leaves out.
func outside(only []string) []string {
	if len(only) == 0 {
		return nil
	}
	return []string{"all but " + strings.Join(only, ", ")}
}

func secondsFor(rows int64, rate float64) float64 {
	return float64(max(rows, 0)) / rate
}

// planStrategy shows the statements of a strategy's pages, the first and the next.
func planStrategy(ctx context.Context, o origin, p *plan, s StrategyConfig, rows int64) StrategyPlan {
	out := StrategyPlan{Name: s.Name, Words: s.words(), SQL: []string{}, Indexes: []string{}, Rows: rows}
	switch s.Kind {
	case kindReconcile:
		rate := float64(rateDigest)
		if p.kind != kindPostgres {
			rate = rateMD5
		}
		out.Seconds = secondsFor(rows, rate)
	case kindXmin:
		out.Seconds = secondsFor(rows, rateXmin)
	case kindFull:
		out.Seconds = secondsFor(rows, rateScan)
	case kindIncremental, kindBounded:
		out.Rows = -1 // what changed
	}
	for _, st := range statementsOf(p.own[s.Name], time.Now()) {
		out.SQL = append(out.SQL, st.sql.String())
		if used, err := indexesUsed(ctx, o, p.kind, st); err == nil {
			for _, x := range used {
				if !slices.Contains(out.Indexes, x) {
					out.Indexes = append(out.Indexes, x)
				}
			}
		}
	}
	return out
}
