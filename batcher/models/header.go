package models

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/millstream-data/millstream/internal/config"
)

// options are what a header may hold, in the order in which help names them.
var options = []string{"schema", "materialize", "refresh", "test", "distkey", "sortkey"}

// optionLine is a comment that looks like an option; a URL does not.
var optionLine = regexp.MustCompile(`^\s*--\s*([A-Za-z_]+)\s*:(?:[^/]|$)`)

// header reads the options in the comments before the SELECT. A comment whose
// first word ends with a colon is an option; one that begins with a capital
// and is near none is prose.
func (m *Model) header(head string) error {
	var errs []error
	seen := map[string]bool{}
	sortKey := false
	for i, line := range strings.Split(strings.TrimPrefix(head, "\ufeff"), "\n") {
		found := optionLine.FindStringSubmatch(line)
		if found == nil {
			continue
		}
		key := strings.ToLower(found[1])
		_, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		fault := func(format string, args ...any) {
			errs = append(errs, &FileError{m.File, i + 1, fmt.Sprintf(format, args...)})
		}
		if !slices.Contains(options, key) {
			near := config.Nearest(key, options)
			switch {
			case near != "":
				fault("unknown option %q: did you mean %s?", found[1], near)
			case found[1] == key:
				fault("unknown option %q: there are %s; a remark may begin with a capital", key, strings.Join(options, ", "))
			}
			continue
		}
		if seen[key] && key != "test" {
			fault("%s stands twice: keep one of them", key)
			continue
		}
		seen[key] = true
		if value == "" {
			fault("%s is empty: write %s", key, examples[key])
			continue
		}
		if err := m.option(key, value, i+1); err != nil {
			if where, ok := errors.AsType[*lineError](err); ok {
				err = errors.New(where.text) // its line is that of the option
			}
			fault("%s: %v", key, err)
		}
		sortKey = sortKey || key == "sortkey"
	}
	if sortKey && m.SortKey == nil {
		m.SortKey = []string{} // none, and none from ORDER BY
	}
	if m.View && (m.DistKey != "" || len(m.SortKey) > 0) {
		errs = append(errs, &FileError{m.File, 1, "a view has no distkey or sortkey: remove them, or write materialize: table"})
	}
	return errors.Join(errs...)
}

// examples say how an option is written.
var examples = map[string]string{
	"schema":      "a schema's name, such as finance",
	"materialize": "table or view",
	"refresh":     "on_change; on_change, at most every 10m; every 1h; at 03:00 UTC; or manual",
	"test":        "not_null(column), unique(column, …), accepted_values(column, 'a', 'b'), row_change(30%), relationship(column, table.column), or sql SELECT … FROM {this}; with warn before it, it only warns",
	"distkey":     "a column of the result, or all or even",
	"sortkey":     "up to 4 columns of the result, or none",
}

func (m *Model) option(key, value string, line int) (err error) {
	switch key {
	case "schema":
		if !goodName.MatchString(value) || value == "millstream" {
			return fmt.Errorf("%q is no schema for models: write %s", value, examples[key])
		}
		m.Name.Schema = value
	case "materialize":
		if value != "table" && value != "view" {
			return fmt.Errorf("%q is unknown: write %s", value, examples[key])
		}
		m.View = value == "view"
	case "refresh":
		m.Refresh, err = ParseRefresh(value)
	case "test":
		var tests []Test
		tests, err = parseTests(value, line)
		m.Tests = append(m.Tests, tests...)
	case "distkey":
		columns, fault := columnList(value)
		if fault != nil || len(columns) != 1 {
			return fmt.Errorf("%q is no column: write %s", value, examples[key])
		}
		m.DistKey = columns[0]
	case "sortkey":
		if value == "none" {
			return nil
		}
		m.SortKey, err = columnList(value)
		if err == nil && len(m.SortKey) > maxSortKey {
			err = fmt.Errorf("%d columns: %d are the most of use", len(m.SortKey), maxSortKey)
		}
	}
	return err
}

// columnList reads names with commas between, perhaps in brackets.
func columnList(text string) ([]string, error) {
	toks, err := lex(text)
	if err != nil {
		return nil, err
	}
	if n := len(toks); n > 1 && toks[0].sign("(") && toks[n-1].sign(")") {
		toks = toks[1 : n-1]
	}
	var out []string
	for i, t := range toks {
		if i%2 == 0 && t.kind != kindWord && t.kind != kindQuoted || i%2 == 1 && !t.sign(",") || i%2 == 1 && i == len(toks)-1 {
			return nil, fmt.Errorf("%q: want columns with commas between", text)
		}
		if i%2 == 0 {
			out = append(out, t.text)
		}
	}
	return out, nil
}
