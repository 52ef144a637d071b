package models

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/millstream-data/millstream/internal/warehouse"
)

// Model is a table or view that a file declares by one SELECT.
type Model struct {
	Name    warehouse.Name
	File    string
	View    bool
	Refresh Refresh
	Tests   []Test
	DistKey string   // a column, or "all" or "even"; empty: left to Redshift
	SortKey []string // from the option, else from the outermost ORDER BY
	Hash    string   // of all that makes the table what it is, its tests included

	sql      string // the SELECT, from its first word on
	line     int    // of the file at which sql begins
	refs     []ref  // bytes count from the beginning of sql
	sortNote string // why the ORDER BY gives no longer sort key
}

// FileError is something wrong in a model's file.
type FileError struct {
	File string
	Line int
	Text string
}

func (e *FileError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Text) }

// in places an error in a file; lines begin at first.
func in(file string, first int, err error) error {
	if fault, ok := errors.AsType[*lineError](err); ok {
		return &FileError{file, first + fault.line - 1, fault.text}
	}
	return &FileError{file, first, err.Error()}
}

// newNames may not be a model's: builds use them.
const (
	suffixNew = "__new_"
	suffixOld = "__old_"
	ulidBytes = 26 // of a build's id, which follows
	// maxModelName leaves room for the suffixes in Redshift's 127 bytes.
	maxModelName = 127 - len(suffixNew) - ulidBytes
)

var goodName = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// Parse reads a model. name is its file's without ".sql", schema that of models
// whose header names none. Its errors are FileErrors, joined.
func Parse(file, name, schema, src string) (Model, error) {
	m := Model{Name: warehouse.Name{Schema: schema, Table: name}, File: file, Refresh: defaultRefresh()}
	switch {
	case !goodName.MatchString(name):
		return m, &FileError{file, 1, fmt.Sprintf("the file's name is the table's: %q must be of lower-case letters, digits and _, and not begin with a digit", name)}
	case len(name) > maxModelName:
		return m, &FileError{file, 1, fmt.Sprintf("the file's name is the table's and has %d bytes: %d are the most", len(name), maxModelName)}
	case strings.HasSuffix(name, "__new"), strings.HasSuffix(name, "__old"):
		return m, &FileError{file, 1, "names that end with __new or __old look like those of tables being built: rename the file"}
	}
	toks, err := lex(src)
	if err != nil {
		return m, in(file, 1, err)
	}
	for len(toks) > 0 && toks[len(toks)-1].sign(";") {
		toks = toks[:len(toks)-1]
	}
	if len(toks) == 0 {
		return m, &FileError{file, 1, "holds no SELECT"}
	}
	head := src[:toks[0].start]
	var errs []error
	if err := m.header(head); err != nil {
		errs = append(errs, err)
	}
	if err := m.body(src, toks); err != nil {
		errs = append(errs, err)
	}
	m.Hash = m.hash()
	return m, errors.Join(errs...)
}

// body reads the SELECT.
func (m *Model) body(src string, toks []token) error {
	first := toks[0]
	m.line = first.line
	if !first.is("select", "with") && !first.sign("(") {
		return &FileError{m.File, first.line, fmt.Sprintf("begins with %s: a model is one SELECT (perhaps with WITH before it); Millstream creates the table", strings.ToUpper(first.text))}
	}
	for i, t := range toks {
		if t.sign(";") {
			return &FileError{m.File, toks[i+1].line, "a second statement follows: a model is one SELECT; give each table a file"}
		}
	}
	m.sql = src[first.start:toks[len(toks)-1].end]
	for i := range toks {
		toks[i].start -= first.start
		toks[i].end -= first.start
	}
	var err error
	if m.refs, err = tables(toks); err != nil {
		return in(m.File, 1, err)
	}
	if m.SortKey == nil {
		o := readOuter(toks)
		m.SortKey, m.sortNote = o.sort, o.note
	}
	return nil
}

// hash changes with everything but when the model is refreshed.
func (m *Model) hash() string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%t\n%s\n%s\n%s\n", m.Name, m.View, m.DistKey, strings.Join(m.SortKey, ","), m.sql)
	for _, t := range m.Tests {
		fmt.Fprintf(h, "%s\n", t)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// qualified returns sql with the schemas of tables written where resolve knows
// them, so that it means the same in a late-binding view and under any
// search_path. Lines stay where they are.
func qualified(sql string, refs []ref, resolve func(ref) (warehouse.Name, bool)) string {
	var b strings.Builder
	pos := 0
	for _, r := range refs {
		n, ok := resolve(r)
		if r.schema != "" || !ok || r.start < pos {
			continue
		}
		b.WriteString(sql[pos:r.start])
		b.WriteString(n.SQL())
		pos = r.end
	}
	b.WriteString(sql[pos:])
	return b.String()
}
