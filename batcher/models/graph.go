package models

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/millstream-data/millstream/internal/warehouse"
)

// Project are the models of a folder.
type Project struct {
	Dir    string
	Models []*Model         // inputs before what reads them, ties by name
	Broken map[string]error // files that hold no model, by the model's name; FileErrors

	schema string            // of models that name none
	byName map[string]*Model // by the name of the table, without the schema
	inputs map[*Model]inputs
}

// inputs are what a model reads.
type inputs struct {
	models []*Model // by SELECT
	tests  []*Model // by tests alone: these come before it, and do not refresh it
	tables []ref    // that are no models, by SELECT
	tested []ref    // that are no models, by tests alone
	broken []ref    // models whose files hold none
}

// maxFile bounds a model's file: a statement of Redshift has at most 16 MB, the
// local one takes 4 MiB.
const maxFile = 1 << 20

// Read reads the models of the files *.sql in dir. Files with mistakes are in
// Broken; what reads them is a model and waits. The error is that of the folder
// and wraps fs.ErrNotExist if there is none.
func Read(dir, schema string) (*Project, error) {
	p := &Project{Dir: dir, schema: schema, Broken: map[string]error{}, byName: map[string]*Model{}, inputs: map[*Model]inputs{}}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the models: %w", err)
	}
	var all []*Model
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".sql")
		if !ok || e.IsDir() || strings.HasPrefix(name, ".") {
			continue
		}
		m, err := readModel(filepath.Join(dir, e.Name()), name, schema)
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed meanwhile
		case err != nil:
			p.Broken[name] = err
		default:
			all = append(all, &m)
			p.byName[name] = &m
		}
	}
	p.link(all)
	return p, nil
}

func readModel(file, name, schema string) (Model, error) {
	info, err := os.Stat(file)
	if err == nil && info.Size() > maxFile {
		return Model{}, &FileError{file, 1, fmt.Sprintf("has %d bytes: %d are the most", info.Size(), maxFile)}
	}
	if err != nil {
		return Model{}, err
	}
	src, err := os.ReadFile(file)
	if err != nil {
		return Model{}, err
	}
	return Parse(file, name, schema, string(src))
}

// Model returns the model called name, with or without its schema.
func (p *Project) Model(name string) *Model {
	if m := p.byName[name]; m != nil {
		return m
	}
	for _, m := range p.Models {
		if m.Name.String() == name {
			return m
		}
	}
	return nil
}

// modelOf returns the model whose table a name means: one without a schema is
// a model before it is anything else.
func (p *Project) modelOf(r ref) *Model {
	m := p.byName[r.table]
	if m == nil || r.schema != "" && r.schema != m.Name.Schema {
		return nil
	}
	return m
}

// link finds the inputs of each model, and orders them; what is in a cycle is
// broken.
func (p *Project) link(all []*Model) {
	for _, m := range all {
		p.inputs[m] = p.inputsOf(m)
	}
	p.Models = p.order(all)
	for _, m := range all {
		if !slices.Contains(p.Models, m) {
			p.Broken[m.Name.Table] = p.whyUnordered(m)
			delete(p.byName, m.Name.Table)
		}
	}
}

func (p *Project) inputsOf(m *Model) inputs {
	var in inputs
	for _, r := range m.refs {
		switch of := p.modelOf(r); {
		case of == nil && p.brokenModel(r):
			in.broken = append(in.broken, r)
		case of == nil:
			in.tables = append(in.tables, r)
		case !slices.Contains(in.models, of):
			in.models = append(in.models, of)
		}
	}
	for _, t := range m.Tests {
		for _, r := range t.tables() {
			switch of := p.modelOf(r); {
			case of == nil && !p.brokenModel(r):
				in.tested = append(in.tested, r)
			case of != nil && of != m && !slices.Contains(in.models, of) && !slices.Contains(in.tests, of):
				in.tests = append(in.tests, of)
			}
		}
	}
	byName(in.models)
	byName(in.tests)
	return in
}

// brokenModel says that a name means a model whose file holds none.
func (p *Project) brokenModel(r ref) bool {
	return p.Broken[r.table] != nil && (r.schema == "" || r.schema == p.schema)
}

func byName(models []*Model) {
	slices.SortFunc(models, func(a, b *Model) int { return strings.Compare(a.Name.Table, b.Name.Table) })
}

// before are the models that are built before m.
func (p *Project) before(m *Model) []*Model {
	return slices.Concat(p.inputs[m].models, p.inputs[m].tests)
}

// order returns what has no cycle before it.
func (p *Project) order(all []*Model) []*Model {
	var out []*Model
	left := slices.Clone(all)
	byName(left)
	for {
		i := slices.IndexFunc(left, func(m *Model) bool {
			return !slices.ContainsFunc(p.before(m), func(in *Model) bool { return !slices.Contains(out, in) })
		})
		if i < 0 {
			return out
		}
		out = append(out, left[i])
		left = slices.Delete(left, i, i+1)
	}
}

// whyUnordered names the cycle that m is in, or that it reads from.
func (p *Project) whyUnordered(m *Model) error {
	cycle := p.cycle(m, nil, map[*Model]bool{})
	names := make([]string, len(cycle))
	for i, c := range cycle {
		names[i] = c.Name.Table
	}
	text := strings.Join(names, " → ")
	switch {
	case len(cycle) == 2 && cycle[0] == m:
		return &FileError{m.File, m.lineOf(m), m.Name.Table + " reads itself: name the tables that its rows come from"}
	case slices.Contains(cycle, m):
		i := slices.Index(cycle, m)
		return &FileError{m.File, m.lineOf(cycle[i+1]), "reads itself in a circle: " + text + "; one of them must read something else"}
	}
	return &FileError{m.File, m.line, "reads from a circle: " + text}
}

// cycle walks back from m until it meets a model of path, and returns the
// circle, first and last the same.
func (p *Project) cycle(m *Model, path []*Model, seen map[*Model]bool) []*Model {
	if i := slices.Index(path, m); i >= 0 {
		return append(slices.Clone(path[i:]), m)
	}
	if seen[m] {
		return nil
	}
	seen[m] = true
	for _, in := range p.before(m) {
		if c := p.cycle(in, append(path, m), seen); c != nil {
			return c
		}
	}
	return nil
}

// lineOf returns the line of m's file that names other.
func (m *Model) lineOf(other *Model) int {
	for _, r := range m.refs {
		if r.table == other.Name.Table {
			return r.line
		}
	}
	for _, t := range m.Tests {
		if slices.ContainsFunc(t.tables(), func(r ref) bool { return r.table == other.Name.Table }) {
			return t.Line
		}
	}
	return m.line
}

// Dependants returns the models that read from any of some, directly or not,
// and those themselves, in order.
func (p *Project) Dependants(some ...*Model) []*Model {
	out := slices.Clone(some)
	for _, m := range p.Models { // in order, so once is enough
		if !slices.Contains(out, m) && slices.ContainsFunc(p.inputs[m].models, func(in *Model) bool { return slices.Contains(out, in) }) {
			out = append(out, m)
		}
	}
	return p.sorted(out)
}

// sorted returns some models in the project's order.
func (p *Project) sorted(some []*Model) []*Model {
	return slices.DeleteFunc(slices.Clone(p.Models), func(m *Model) bool { return !slices.Contains(some, m) })
}

// sources are the tables that are no models from which m's rows come, by way of
// views too: their loads are what changes m.
func (p *Project) sources(m *Model) []ref {
	out := slices.Clone(p.inputs[m].tables)
	for _, in := range p.inputs[m].models {
		if in.View {
			out = append(out, p.sources(in)...)
		}
	}
	return out
}

// text is the SELECT of m with all names qualified.
func (p *Project) text(m *Model, s State) string { return qualified(m.sql, m.refs, p.namer(s)) }

// namer returns what a name without a schema means.
func (p *Project) namer(s State) func(ref) (warehouse.Name, bool) {
	return func(r ref) (warehouse.Name, bool) {
		if m := p.modelOf(r); m != nil {
			return m.Name, true
		}
		return s.resolve(r)
	}
}
