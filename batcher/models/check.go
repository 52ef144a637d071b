package models

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// testKind is what a test looks at.
type testKind string

const (
	testNotNull      testKind = "not_null"
	testUnique       testKind = "unique"
	testAccepted     testKind = "accepted_values"
	testRowChange    testKind = "row_change"
	testRelationship testKind = "relationship"
	testSQL          testKind = "sql"
)

var testKinds = []string{
	string(testNotNull), string(testUnique), string(testAccepted), string(testRowChange), string(testRelationship), string(testSQL),
}

// Test is what must hold of a model's rows before they are shown.
type Test struct {
	Line int
	Warn bool // a failure is told and the rows are shown

	kind    testKind
	columns []string
	values  []string // literals, as they stand in SQL
	percent float64
	to      ref // of relationship; its column is columns[1]
	sql     string
	refs    []ref // of sql
}

// String is how the test is written.
func (t Test) String() string {
	var s string
	switch t.kind {
	case testSQL:
		s = "sql " + t.sql
	case testRowChange:
		s = fmt.Sprintf("row_change(%s%%)", strconv.FormatFloat(t.percent, 'f', -1, 64))
	case testRelationship:
		s = fmt.Sprintf("relationship(%s, %s.%s)", t.columns[0], t.to, t.columns[1])
	case testNotNull, testUnique, testAccepted:
		s = fmt.Sprintf("%s(%s)", t.kind, strings.Join(slices.Concat(t.columns, t.values), ", "))
	}
	if t.Warn {
		return "warn " + s
	}
	return s
}

// this stands for the model's table in the SQL of a test.
const this = "{this}"

// parseTests reads what a header says behind test: several with commas between;
// sql takes the rest of the line.
func parseTests(text string, line int) ([]Test, error) {
	var out []Test
	for rest := strings.TrimSpace(text); rest != ""; {
		t := Test{Line: line}
		if after, ok := cutWord(rest, "warn"); ok {
			t.Warn, rest = true, after
		}
		if sql, ok := cutWord(rest, string(testSQL)); ok {
			t.kind, t.sql = testSQL, strings.TrimRight(sql, "; ")
			if err := t.readSQL(); err != nil {
				return nil, err
			}
			return append(out, t), nil
		}
		open := strings.IndexByte(rest, '(')
		if open < 0 {
			word, _, _ := strings.Cut(rest, " ")
			return nil, unknownTest(word)
		}
		end, err := closing(rest, open)
		if err != nil {
			return nil, err
		}
		t.kind = testKind(strings.TrimSpace(rest[:open]))
		if err := t.args(rest[open+1 : end]); err != nil {
			return nil, err
		}
		out = append(out, t)
		rest = strings.TrimSpace(rest[end+1:])
		if after, ok := strings.CutPrefix(rest, ","); ok {
			rest = strings.TrimSpace(after)
		} else if rest != "" {
			return nil, fmt.Errorf("%q follows a test: separate tests by commas", rest)
		}
	}
	return out, nil
}

// readSQL finds the tables of the test's own SQL.
func (t *Test) readSQL() error {
	const quoted = `"this"` // as long as this, so that refs are at their place
	toks, err := lex(strings.ReplaceAll(t.sql, this, quoted))
	if err != nil {
		return err
	}
	if !strings.Contains(t.sql, this) || !toks[0].is("select", "with") {
		return fmt.Errorf("sql takes a SELECT of the rows that should not be, such as SELECT * FROM %s WHERE revenue < 0", this)
	}
	if t.refs, err = tables(toks); err != nil {
		return err
	}
	t.refs = slices.DeleteFunc(t.refs, func(r ref) bool { return r.schema == "" && r.table == "this" })
	return nil
}

// tables are those that the test reads beside the model's.
func (t Test) tables() []ref {
	refs := slices.Clone(t.refs)
	if t.kind == testRelationship {
		refs = append(refs, t.to)
	}
	for i := range refs {
		refs[i].line = t.Line
	}
	return refs
}

// cutWord removes a word and the blanks behind it.
func cutWord(text, word string) (string, bool) {
	after, ok := strings.CutPrefix(text, word)
	trimmed := strings.TrimLeft(after, " \t")
	return trimmed, ok && (len(trimmed) < len(after))
}

// closing returns where the bracket that opens at open is closed.
func closing(text string, open int) (int, error) {
	toks, err := lex(text[open:])
	if err != nil {
		return 0, err
	}
	p, err := newParser(toks)
	if err == nil {
		return open + toks[p.mate[0]].start, nil
	}
	for i := range toks { // what follows the bracket may hold others that are not closed, such as sql
		if p, err := newParser(toks[:i+1]); err == nil && p.mate[0] == i {
			return open + toks[i].start, nil
		}
	}
	return 0, err
}

func unknownTest(word string) error {
	near := ""
	if best := config.Nearest(word, testKinds); best != "" {
		near = "; did you mean " + best + "?"
	}
	return fmt.Errorf("unknown test %q%s: write %s", word, near, examples["test"])
}

// args reads what stands between the brackets of a test.
func (t *Test) args(text string) error {
	toks, err := lex(text)
	if err != nil {
		return err
	}
	switch t.kind {
	case testNotNull, testUnique:
		t.columns, err = columnList(text)
		if err == nil && len(t.columns) == 0 {
			err = fmt.Errorf("%s() names no column", t.kind)
		}
		return err
	case testAccepted:
		return t.acceptedArgs(toks)
	case testRowChange:
		if len(toks) == 2 && toks[0].kind == kindNumber && toks[1].sign("%") {
			t.percent, err = strconv.ParseFloat(toks[0].text, 64)
			return err
		}
		return fmt.Errorf("row_change(%s): write a percentage, such as row_change(30%%)", text)
	case testRelationship:
		return t.relationshipArgs(text, toks)
	case testSQL:
	}
	return unknownTest(string(t.kind))
}

func (t *Test) acceptedArgs(toks []token) error {
	if len(toks) < 3 || toks[0].kind != kindWord && toks[0].kind != kindQuoted || !toks[1].sign(",") {
		return errors.New("accepted_values takes a column and values, as in accepted_values(currency, 'EUR', 'USD')")
	}
	t.columns = []string{toks[0].text}
	for i := 2; i < len(toks); i += 2 {
		sign := ""
		if toks[i].sign("-") && i+1 < len(toks) {
			sign = "-"
			i++
		}
		switch toks[i].kind {
		case kindString:
			t.values = append(t.values, warehouse.Literal(toks[i].text))
		case kindNumber:
			t.values = append(t.values, sign+toks[i].text)
		default:
			return fmt.Errorf("accepted_values: %s is no text in single quotes and no number: write '%s'", toks[i].text, toks[i].text)
		}
		if i+1 < len(toks) && !toks[i+1].sign(",") {
			return fmt.Errorf("accepted_values: want a comma before %s", toks[i+1].text)
		}
	}
	return nil
}

func (t *Test) relationshipArgs(text string, toks []token) error {
	var names []string
	for i, k := range toks {
		want := i != 1 && (i < 3 || i%2 == 0) // column , [schema .] table . column
		if i == 1 && !k.sign(",") || i >= 3 && i%2 == 1 && !k.sign(".") || want && k.kind != kindWord && k.kind != kindQuoted {
			names = nil
			break
		}
		if want {
			names = append(names, k.text)
		}
	}
	switch len(names) {
	case 3:
		t.columns, t.to = []string{names[0], names[2]}, ref{table: names[1]}
	case 4:
		t.columns, t.to = []string{names[0], names[3]}, ref{schema: names[1], table: names[2]}
	default:
		return fmt.Errorf("relationship(%s): write relationship(column, table.column)", text)
	}
	return nil
}
