package models

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// Select returns the models that names mean, in order; one with a + behind it
// means what reads from it, too. Without names it returns all.
func (p *Project) Select(names []string) ([]*Model, error) {
	if len(names) == 0 {
		return p.Models, nil
	}
	var out []*Model
	for _, name := range names {
		base, on := strings.CutSuffix(name, "+")
		m := p.Model(base)
		if m == nil {
			if err := p.Broken[base]; err != nil {
				return nil, err
			}
			var known []string
			for _, m := range p.Models {
				known = append(known, m.Name.Table)
			}
			return nil, fmt.Errorf("no model is called %s in %s%s", base, p.Dir, didYouMean(config.Nearest(base, known)))
		}
		out = append(out, m)
		if on {
			out = append(out, p.Dependants(m)...)
		}
	}
	return p.sorted(out), nil
}

// Mistakes returns what is wrong with files, by name.
func (p *Project) Mistakes() []error {
	var out []error
	for _, name := range slices.Sorted(maps.Keys(p.Broken)) {
		out = append(out, p.Broken[name])
	}
	return out
}

// WriteList writes a line for each model, and below it what is wrong.
func (p *Project) WriteList(w io.Writer, s State) error {
	decided := p.Decide(s)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "MODEL\tAS\tREFRESH\tBUILT\tROWS\tSECONDS\tSTANDING")
	for _, m := range p.Models {
		b, d := s.Built[m.Name.String()], decided[m]
		built, rows, seconds := "never", "", ""
		if !b.BuiltAt.IsZero() {
			built, seconds = clock(b.BuiltAt), fmt.Sprintf("%.1f", b.Seconds)
			if !b.View {
				rows = fmt.Sprint(b.Rows)
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s: %s\n", m.Name, m.materialize(), m.Refresh, built, rows, seconds, d.Standing, d.Why)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, m := range p.Models {
		if err := decided[m].Err; err != nil {
			fmt.Fprintln(w, err)
		} else if b := s.Built[m.Name.String()]; b.Attempts > 0 && b.Failed == m.Hash {
			fmt.Fprintln(w, b.Error)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Built)) {
		table := name[strings.IndexByte(name, '.')+1:]
		if p.Model(name) == nil && p.Broken[table] == nil {
			fmt.Fprintln(w, orphaned(name, s.Built[name]))
		}
	}
	return nil
}

// orphaned says what remains of a model whose file is gone. One that was never
// built has made nothing: a table of its name is somebody else's.
func orphaned(name string, b Built) string {
	forget := fmt.Sprintf("DELETE FROM millstream.models WHERE model = %s;", warehouse.Literal(name))
	n, err := warehouse.ParseName(name)
	if err != nil || b.BuiltAt.IsZero() {
		return fmt.Sprintf("%s: its file is gone, and it was never built: %s", name, forget)
	}
	return fmt.Sprintf("%s: its file is gone, what it has made is not: %s; %s", name, drop(n, relation{view: b.View}), forget)
}

// edges returns what reads from each table or model, by name.
func (p *Project) edges() map[string][]*Model {
	out := map[string][]*Model{}
	for _, m := range p.Models {
		for _, name := range distinct(p.inputs[m].tables) {
			out[name] = append(out[name], m)
		}
		for _, in := range p.inputs[m].models {
			out[in.Name.Table] = append(out[in.Name.Table], m)
		}
	}
	return out
}

// roots are the tables that models read, then the models that read none.
func (p *Project) roots(edges map[string][]*Model) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(edges)) {
		if p.byName[name] == nil {
			out = append(out, name)
		}
	}
	for _, m := range p.Models {
		if in := p.inputs[m]; len(in.tables)+len(in.models) == 0 {
			out = append(out, m.Name.Table)
		}
	}
	return out
}

// WriteTree writes what reads from what as a tree; a model that stands in it
// twice has its branches at the first place.
func (p *Project) WriteTree(w io.Writer) {
	edges, seen := p.edges(), map[string]bool{}
	var branch func(name, indent string)
	branch = func(name, indent string) {
		below := edges[name]
		for i, m := range below {
			mark, next := "├─ ", "│  "
			if i == len(below)-1 {
				mark, next = "└─ ", "   "
			}
			note := ""
			if m.View {
				note = " (view)"
			}
			again := seen[m.Name.Table] && len(edges[m.Name.Table]) > 0
			if again {
				note += " (see above)"
			}
			fmt.Fprintf(w, "%s%s%s%s\n", indent, mark, m.Name.Table, note)
			seen[m.Name.Table] = true
			if !again {
				branch(m.Name.Table, indent+next)
			}
		}
	}
	for _, root := range p.roots(edges) {
		fmt.Fprintln(w, root)
		branch(root, "")
	}
}

// WriteDot writes the same for Graphviz.
func (p *Project) WriteDot(w io.Writer) {
	fmt.Fprintln(w, "digraph models {\n  rankdir=LR;\n  node [shape=box];")
	edges := p.edges()
	for _, name := range slices.Sorted(maps.Keys(edges)) {
		for _, m := range edges[name] {
			fmt.Fprintf(w, "  %q -> %q;\n", name, m.Name.Table)
		}
	}
	for _, m := range p.Models {
		style := ""
		if m.View {
			style = " [style=dashed]"
		}
		fmt.Fprintf(w, "  %q%s;\n", m.Name.Table, style)
	}
	fmt.Fprintln(w, "}")
}

// WriteExplained writes what is known of a model: what it reads and is read by,
// its keys, why it is or is not due, and what a build would send.
func (p *Project) WriteExplained(w io.Writer, m *Model, s State) {
	d := p.Decide(s)[m]
	fmt.Fprintf(w, "%s, a %s, from %s\n", m.Name, m.materialize(), m.File)
	line := func(head, text string) { fmt.Fprintf(w, "  %-9s %s\n", head, text) }
	line("standing", fmt.Sprintf("%s: %s", d.Standing, d.Why))
	if d.Err != nil {
		line("", d.Err.Error())
	}
	line("refresh", m.Refresh.String())
	for _, r := range p.inputs[m].tables {
		n, _ := s.resolve(r)
		loaded := "not loaded since " + clock(s.since) + " (what Millstream does not load is not seen: refresh by time)"
		if at := s.loaded(n); !at.IsZero() {
			loaded = "loaded at " + clock(at)
		}
		line("reads", fmt.Sprintf("%s, %s", r, loaded))
	}
	for _, in := range p.inputs[m].models {
		line("reads", fmt.Sprintf("%s, a model built at %s", in.Name, clock(s.Built[in.Name.String()].BuiltAt)))
	}
	for _, by := range p.edges()[m.Name.Table] {
		line("read by", by.Name.String())
	}
	if !m.View {
		line("distkey", cmp.Or(m.DistKey, "left to Redshift"))
		line("sortkey", cmp.Or(strings.Join(m.SortKey, ", "), "none"))
		if m.sortNote != "" {
			line("", m.sortNote)
		}
	}
	for _, t := range m.Tests {
		line("test", t.String())
	}
	b := s.Built[m.Name.String()]
	if !b.BuiltAt.IsZero() {
		line("built", fmt.Sprintf("at %s, %d rows, in %.1f s", clock(b.BuiltAt), b.Rows, b.Seconds))
	}
	if b.Attempts > 0 {
		line("failed", fmt.Sprintf("at %s, %d times in a row: %s", clock(b.FailedAt), b.Attempts, b.Error))
	}
	fmt.Fprintf(w, "\nA build sends:\n\n")
	for _, st := range p.statements(m, s) {
		fmt.Fprintf(w, "%s;\n", st)
	}
}

// statements are those of a build that finds a table in its place, in order,
// without the looks at the catalogue.
func (p *Project) statements(m *Model, s State) []string {
	const id = "<id>" // of the build
	as := m.beside(id)
	out := []string{m.create(as, p.text(m, s))}
	for _, t := range m.Tests {
		if count, _ := t.failures(as, p.namer(s)); count != "" {
			out = append(out, count)
		}
	}
	out = append(out, "BEGIN", "LOCK TABLE millstream.gate")
	switch {
	case m.View:
		out = append(out, drop(m.Name, relation{view: true}), m.create(m.Name, p.text(m, s)))
	default:
		out = append(out, rename(m.Name, m.old(id)), rename(as, m.Name))
	}
	out = append(out, m.built(Built{ReadAt: s.Now})...)
	out = append(out, "COMMIT")
	if m.View {
		return append(out, drop(as, relation{view: true}))
	}
	return append(out, drop(m.old(id), relation{}))
}

// Test runs the tests of a model on the table that is shown, and changes
// nothing.
func (b *Builder) Test(ctx context.Context, p *Project, s State, m *Model) Result {
	r := Result{Model: m, Outcome: OutcomeChecked}
	conn, err := b.client.Connect(ctx)
	if err != nil {
		r.Outcome, r.Err = OutcomePutOff, err
		return r
	}
	defer conn.Close()
	w := build{conn: conn, m: m, names: p.namer(s)}
	if !s.Tables[m.Name] {
		err = &FileError{m.File, 1, fmt.Sprintf("%s was never built: millstream models build %s", m.Name, m.Name.Table)}
	} else {
		err = w.test(ctx, m.Name, true)
	}
	r.Tests, r.Rows = w.made.Tests, w.made.Rows
	if err != nil {
		r.Outcome, r.Err = OutcomeFailed, m.locate(err)
	}
	return r
}

// Write writes a line for the result, and below it what is worth a look.
func (r Result) Write(w io.Writer) {
	said := []string{strings.ReplaceAll(string(r.Outcome), "_", " ")}
	if r.Outcome == OutcomeBuilt {
		said = append(said, fmt.Sprintf("in %.1f s", r.Seconds))
		if !r.Model.View {
			said = append(said, plural(r.Rows, "row"))
		}
	}
	if n := len(r.Tests); n > 0 && r.Err == nil {
		said = append(said, plural(int64(n), "test"))
	}
	fmt.Fprintf(w, "%-32s %s\n", r.Model.Name, strings.Join(said, ", "))
	if r.Err != nil {
		for l := range strings.SplitSeq(r.Err.Error(), "\n") {
			fmt.Fprintf(w, "  %s\n", l)
		}
	}
	for _, c := range r.Changed {
		fmt.Fprintf(w, "  %s\n", c)
	}
	for _, t := range r.Tests {
		if t.Failures > 0 && t.Warn {
			fmt.Fprintf(w, "  %s:%d: warning: test %s\n", r.Model.File, t.Line, t)
		}
	}
	if r.Left != "" {
		fmt.Fprintf(w, "  %s\n", r.Left)
	}
}

func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
