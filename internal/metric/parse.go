package metric

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/millstream-data/millstream/internal/config"
)

//go:embed zones.txt
var zoneList string

// Load reads the definitions at name: a file, or every *.yaml below a folder.
func Load(name string) (*Set, error) {
	files, err := ReadFiles(name)
	if err != nil {
		return nil, err
	}
	return Parse(files)
}

// ReadFiles returns the definition files at name, sorted, without parsing them.
func ReadFiles(name string) ([]File, error) {
	var files []File
	add := func(p, shown string) error {
		b, err := os.ReadFile(p)
		if err == nil {
			files = append(files, File{Name: shown, Data: string(b)})
		}
		return err
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("read definitions: %w", err)
	}
	if !info.IsDir() {
		err = add(name, filepath.Base(name))
	} else {
		err = filepath.WalkDir(name, func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(p) != ".yaml" {
				return err
			}
			rel, err := filepath.Rel(filepath.Dir(filepath.Clean(name)), p)
			if err != nil {
				return err
			}
			return add(p, filepath.ToSlash(rel))
		})
	}
	if err != nil {
		return nil, fmt.Errorf("read definitions: %w", err)
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return files, nil
}

// DefinitionError is one thing that is wrong with a definition.
type DefinitionError struct {
	File      string
	Line, Col int
	Path      string // metrics.revenue.minuss
	Text      string
}

func (p *DefinitionError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s: %s", p.File, p.Line, p.Col, p.Path, p.Text)
}

// Parse reads files as one set. The error joins every *DefinitionError that there is,
// in the order of files and lines; then there is no set.
func Parse(files []File) (*Set, error) {
	set := &Set{Files: files, Hash: hashJSON(files)}
	p := &parser{set: set, places: map[string]place{}}
	for _, f := range files {
		p.file(f)
	}
	p.ratios()
	if len(p.problems) == 0 {
		return set, nil
	}
	order := map[string]int{}
	for i, f := range files {
		order[f.Name] = i
	}
	slices.SortStableFunc(p.problems, func(a, b *DefinitionError) int {
		if c := order[a.File] - order[b.File]; c != 0 {
			return c
		}
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Col - b.Col
	})
	errs := make([]error, len(p.problems))
	for i, pr := range p.problems {
		errs[i] = pr
	}
	return nil, errors.Join(errs...)
}

type parser struct {
	set      *Set
	name     string // of the file at hand
	defaults defaults
	dims     map[string]Dim
	places   map[string]place // of metrics, by name
	problems []*DefinitionError
}

type place struct {
	file string
	node *yaml.Node
	keys map[string]*yaml.Node
}

// defaults are what a file says for its own metrics.
type defaults struct {
	zones, sources []string
	time           string
	fine           bool
}

func (p *parser) fail(n *yaml.Node, path, format string, args ...any) {
	p.problems = append(p.problems, &DefinitionError{File: p.name, Line: n.Line, Col: n.Column, Path: path, Text: fmt.Sprintf(format, args...)})
}

func (p *parser) file(f File) {
	p.name = f.Name
	p.dims = map[string]Dim{}
	p.defaults = defaults{zones: []string{"UTC"}, time: "event", fine: true}
	for _, own := range []string{"source", "type", "event"} {
		p.dims[own] = headerDim(own)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(f.Data), &doc); err != nil {
		at := &yaml.Node{Line: 1, Column: 1}
		_, _ = fmt.Sscanf(err.Error(), "yaml: line %d:", &at.Line) // where it says none, the first will do
		hint := ""
		if strings.Contains(f.Data, "??") {
			hint = "; inside { } an expression with ?? needs single quotes"
		}
		p.fail(at, "yaml", "%s%s", strings.TrimPrefix(err.Error(), "yaml: "), hint)
		return
	}
	if len(doc.Content) == 0 {
		p.fail(&yaml.Node{Line: 1, Column: 1}, "version", "missing; write `version: 1`")
		return
	}
	top, ok := p.mapping(doc.Content[0], "", []string{"version", "defaults", "dims", "metrics"})
	if !ok {
		return
	}
	if v := top["version"]; v == nil {
		p.fail(doc.Content[0], "version", "missing; write `version: 1`")
	} else if v.Value != "1" {
		p.fail(v, "version", "must be 1 (got %s)", v.Value)
	}
	if n := top["defaults"]; n != nil {
		p.readDefaults(n)
	}
	if n := top["dims"]; n != nil {
		p.each(n, "dims", p.readDim)
	}
	if n := top["metrics"]; n != nil {
		p.each(n, "metrics", p.readMetric)
	}
}

// mapping returns the values of a mapping by key; it reports keys that are not
// in known and keys that come twice.
func (p *parser) mapping(n *yaml.Node, path string, known []string) (map[string]*yaml.Node, bool) {
	if n.Kind != yaml.MappingNode {
		p.fail(n, orTop(path), "must be a mapping of keys to values")
		return nil, false
	}
	out := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		at := join(path, k.Value)
		switch {
		case known != nil && !slices.Contains(known, k.Value):
			p.fail(k, at, "unknown key%s", suggest(k.Value, known))
		case out[k.Value] != nil:
			p.fail(k, at, "is given twice")
		default:
			out[k.Value] = resolve(v)
		}
	}
	return out, true
}

func (p *parser) each(n *yaml.Node, path string, read func(name string, key, n *yaml.Node)) {
	first, ok := p.mapping(n, path, nil)
	if !ok {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		switch k, v := n.Content[i], resolve(n.Content[i+1]); {
		case first[k.Value] != v: // comes twice, which is reported
		case !isName(k.Value):
			p.fail(k, join(path, k.Value), "is no name: names are lower-case letters, digits and _, begin with a letter and have at most 63 characters")
		default:
			read(k.Value, k, v)
		}
	}
}

func (p *parser) readDefaults(n *yaml.Node) {
	keys, ok := p.mapping(n, "defaults", []string{"zones", "source", "time", "grains"})
	if !ok {
		return
	}
	d := &p.defaults
	d.zones = p.zones(keys["zones"], "defaults.zones", d.zones)
	d.sources = p.list(keys["source"], "defaults.source")
	d.time = p.word(keys["time"], "defaults.time", d.time, "event", "received")
	d.fine = p.grains(keys["grains"], "defaults.grains", d.fine)
}

func (p *parser) readDim(name string, key, n *yaml.Node) {
	at := "dims." + name
	if _, own := p.dims[name]; own {
		p.fail(key, at, "exists without being declared; choose another name")
		return
	}
	d := Dim{Name: name, Else: "other", Top: DefaultTop, MaxLen: DefaultLen}
	expr := n
	if n.Kind == yaml.MappingNode {
		keys, _ := p.mapping(n, at, []string{"path", "lower", "allow", "else", "top", "max_len"})
		if expr = keys["path"]; expr == nil {
			p.fail(n, at+".path", "missing; a dimension needs the path of its value, for example `path: properties.plan`")
			return
		}
		d.Lower = p.boolean(keys["lower"], at+".lower")
		d.Allow = p.list(keys["allow"], at+".allow")
		d.Else = p.text(keys["else"], at+".else", d.Else)
		d.Top = p.integer(keys["top"], at+".top", d.Top, 1, 100000)
		d.MaxLen = p.integer(keys["max_len"], at+".max_len", d.MaxLen, 1, 1024)
	}
	var err error
	if d.paths, d.Absent, err = parseExpr(p.text(expr, at, "")); err != nil {
		p.fail(expr, at, "%s", err)
		return
	}
	for _, q := range d.paths {
		d.Paths = append(d.Paths, q.text)
	}
	p.dims[name] = d
}

// headerDim is a dimension that exists without being declared.
func headerDim(name string) Dim {
	return Dim{
		Name: name, Paths: []string{"@" + name}, Top: DefaultTop, MaxLen: DefaultLen, Absent: "unknown",
		paths: []path{{text: "@" + name, members: []string{"@" + name}}},
	}
}

// Values of nodes. A nil node is an absent key and gives the default.

func (p *parser) text(n *yaml.Node, path, or string) string {
	switch {
	case n == nil:
		return or
	case n.Kind != yaml.ScalarNode || n.Tag == "!!null":
		p.fail(n, path, "must be a text")
		return or
	}
	return n.Value
}

func (p *parser) word(n *yaml.Node, path, or string, allowed ...string) string {
	s := p.text(n, path, or)
	if !slices.Contains(allowed, s) {
		p.fail(n, path, "must be %s (got %q)", strings.Join(allowed, " or "), s)
		return or
	}
	return s
}

func (p *parser) boolean(n *yaml.Node, path string) (v bool) {
	if n != nil && (n.Tag != "!!bool" || n.Decode(&v) != nil) {
		p.fail(n, path, "must be true or false (got %q)", n.Value)
	}
	return v
}

func (p *parser) integer(n *yaml.Node, path string, or, lo, hi int) int {
	if n == nil {
		return or
	}
	v := 0
	if n.Tag != "!!int" || n.Decode(&v) != nil {
		p.fail(n, path, "must be a whole number (got %q)", n.Value)
		return or
	}
	if v < lo || v > hi {
		p.fail(n, path, "must be between %d and %d (got %d)", lo, hi, v)
		return or
	}
	return v
}

// list reads a text or a list of texts.
func (p *parser) list(n *yaml.Node, path string) (out []string) {
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		return []string{p.text(n, path, "")}
	}
	for i, e := range n.Content {
		out = append(out, p.text(resolve(e), fmt.Sprintf("%s[%d]", path, i), ""))
	}
	if len(out) == 0 {
		p.fail(n, path, "must not be empty")
	}
	return out
}

func (p *parser) zones(n *yaml.Node, path string, or []string) []string {
	if n == nil {
		return or
	}
	names := p.list(n, path)
	for i, name := range names {
		if _, err := LoadZone(name); err != nil {
			at, where := n, path
			if n.Kind == yaml.SequenceNode {
				at, where = n.Content[i], fmt.Sprintf("%s[%d]", path, i)
			}
			p.fail(at, where, "unknown zone %q%s", name, suggest(name, strings.Fields(zoneList)))
		}
	}
	var once []string // in their order: the first one is what a question without a zone is answered in
	for _, name := range names {
		if !slices.Contains(once, name) {
			once = append(once, name)
		}
	}
	return once
}

func (p *parser) grains(n *yaml.Node, path string, or bool) bool {
	if n == nil {
		return or
	}
	list := p.list(n, path)
	for _, g := range list {
		if g != "fine" && g != "day" {
			p.fail(n, path, "must be [fine, day] or [day] (got %q)", g)
		}
	}
	if !slices.Contains(list, "day") {
		p.fail(n, path, "must hold day")
	}
	return slices.Contains(list, "fine")
}

// resolve follows a YAML alias.
func resolve(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func orTop(path string) string {
	if path == "" {
		return "file"
	}
	return path
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func hashJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic("BUG: a definition is not JSON: " + err.Error())
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func nearestWord(word string, known []string) string { return config.Nearest(word, known) }
