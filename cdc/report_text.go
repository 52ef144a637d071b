package cdc

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/millstream-data/millstream/internal/config"
)

// WriteText writes the plan for people.
func (p SourcePlan) WriteText(w io.Writer) error {
	t := &textWriter{w: w}
	t.line("%s: %s %s, database %s; horizon by %s", p.Source, p.Kind, p.Server, p.Database, p.Horizon)
	t.findings(p.Findings, "  ")
	for _, table := range p.Tables {
		t.table(table)
	}
	return t.err
}

// textWriter keeps the first error.
type textWriter struct {
	w   io.Writer
	err error
}

func (t *textWriter) line(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, format+"\n", args...)
	}
}

func (t *textWriter) findings(all []Finding, indent string) {
	for _, f := range all {
		word := "warning"
		if f.Refused {
			word = "REFUSED"
		}
		about := ""
		if indent == "  " && f.Table != "" {
			about = f.Table + ": "
		}
		t.line("%s%s %s: %s%s", indent, word, f.Code, about, f.Text)
		if f.Mend != "" {
			t.line("%s  mend: %s", indent, f.Mend)
		}
	}
}

func (t *textWriter) table(p TablePlan) {
	size := ""
	if p.Rows >= 0 {
		size = ", about " + thousands(p.Rows) + " rows"
	}
	if p.Bytes > 0 {
		size += ", " + mebibytes(p.Bytes)
	}
	t.line("\n%s (%s%s)", p.Table, p.Kind, size)
	t.findings(p.Findings, "    ")
	if len(p.Strategies) == 0 {
		return
	}
	key := "none: each poll reads the whole table"
	if len(p.Key) > 0 {
		key = strings.Join(p.Key, ", ")
	}
	t.line("    key        %s", key)
	t.line("    topic      %s", p.Topic)
	t.line("    warehouse  %s", p.Warehouse)
	t.line("    first load about %s", about(p.LoadSecs))
	for _, s := range p.Strategies {
		t.strategy(s, p.Planned)
	}
	t.list("sees", p.Sees)
	t.list("sees under a condition", p.Under)
	t.list("does not see", p.Misses)
	t.line("    columns")
	for _, c := range p.Columns {
		null := ""
		if !c.Nullable {
			null = " not null"
		}
		t.line("      %-24s %-28s %-16s %s%s", c.Name, c.Origin, c.Lake, c.Warehouse, null)
	}
	if len(p.Excluded) > 0 {
		t.line("    left out   %s", strings.Join(p.Excluded, ", "))
	}
}

func (t *textWriter) strategy(s StrategyPlan, planned bool) {
	by := ""
	if planned {
		by = "  (planned; write it into strategies to change it)"
	}
	t.line("    strategy   %s%s", s.Words, by)
	if s.Rows >= 0 && s.Seconds > 0 {
		t.line("      a poll reads %s rows in about %s", thousands(s.Rows), about(s.Seconds))
	}
	if len(s.Indexes) > 0 {
		t.line("      by %s", strings.Join(s.Indexes, ", "))
	}
	for _, sql := range s.SQL {
		t.line("      %s", sql)
	}
}

func (t *textWriter) list(what string, all []string) {
	for i, text := range all {
		if i == 0 {
			t.line("    %s", what)
		}
		t.line("      - %s", text)
	}
}

func about(seconds float64) string {
	switch {
	case seconds < 1:
		return "a second"
	case seconds < 120:
		return fmt.Sprintf("%.0f s", seconds)
	case seconds < 7200:
		return fmt.Sprintf("%.0f min", seconds/60)
	}
	return fmt.Sprintf("%.1f h", seconds/3600)
}

func mebibytes(n int64) string {
	if n >= 1<<30 {
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// thousands groups digits by commas.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// WriteConfig writes the configuration of a source that reads its tables as
// planned. The DSN is left to the variable named.
func (p SourcePlan) WriteConfig(w io.Writer, variable string) error {
	t := &textWriter{w: w}
	t.line("cdc:\n  sources:\n    %s:\n      kind: %s\n      dsn_env: %s\n      tables:", p.Source, p.Kind, variable)
	written := 0
	for _, table := range p.Tables {
		if len(table.configured) == 0 {
			for _, f := range table.Findings {
				t.line("        # %s: %s", table.Table, strings.ReplaceAll(f.String(), "\n", " "))
			}
			continue
		}
		written++
		t.line("        %s:", yamlWord(table.Table))
		t.line("          strategies:")
		for _, s := range table.configured {
			t.line("            - %s", s.yaml())
		}
	}
	if written == 0 {
		t.line("          {}")
	}
	return t.err
}

// yaml is the strategy in one line, without what is the default.
func (s StrategyConfig) yaml() string {
	parts := []string{"kind: " + s.Kind}
	put := func(key, value string) {
		if value != "" {
			parts = append(parts, key+": "+yamlWord(value))
		}
	}
	if s.Name != s.Kind {
		put("name", s.Name)
	}
	switch len(s.Timestamp) {
	case 0:
	case 1:
		put("timestamp", s.Timestamp[0])
	default:
		words := make([]string, len(s.Timestamp))
		for i, c := range s.Timestamp {
			words[i] = yamlWord(c)
		}
		parts = append(parts, "timestamp: ["+strings.Join(words, ", ")+"]")
	}
	put("id", s.ID)
	put("column", s.Column)
	put("window", s.Window.String())
	if s.Kind == kindFull || s.Kind == kindBounded {
		put("publish", s.Publish)
	}
	if s.At != "" {
		put("at", s.At)
		put("zone", s.Zone)
	} else {
		put("every", shortDuration(s.Every))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// yamlWord quotes what YAML would take for something else than a word.
func yamlWord(s string) string {
	plain := s != ""
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_'
		plain = plain && (letter || i > 0 && (r >= '0' && r <= '9' || r == '.' || r == '-'))
	}
	switch strings.ToLower(s) {
	case "true", "false", "yes", "no", "on", "off", "null", "y", "n":
		plain = false
	}
	if plain || len(s) > 1 && s[0] >= '1' && s[0] <= '9' && strings.Trim(s, "0123456789hms") == "" {
		return s
	}
	return strconv.Quote(s)
}

// SourceOf is a configuration that reads every table of the database at dsn by
// its plan. The kind is the DSN's scheme.
func SourceOf(dsn string) (SourceConfig, error) {
	var s SourceConfig
	s.SetDefaults()
	scheme, _, _ := strings.Cut(dsn, ":")
	switch scheme {
	case "postgres", "postgresql":
		s.Kind = kindPostgres
	case kindMySQL, kindMariaDB:
		s.Kind = scheme
	case "file", "sqlite":
		s.Kind, dsn = kindSQLite, strings.TrimPrefix(dsn, "sqlite:")
	default:
		return s, fmt.Errorf("the DSN must begin with postgres://, mysql://, mariadb:// or file: (got %q)", scheme)
	}
	s.DSN = config.Secret(dsn)
	var t TableConfig
	t.SetDefaults()
	s.Tables = map[string]TableConfig{"*.*": t}
	return s, nil
}
