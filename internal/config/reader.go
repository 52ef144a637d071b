package config

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"
)

// maxDepth bounds how deep values nest; nothing that Millstream reads comes near it.
const maxDepth = 50

// reader lays one layer after the other over root and gathers what is wrong.
type reader struct {
	root     reflect.Value
	origins  map[string]string // key path → the place that set it last
	bad      map[string]bool   // key paths whose value was not understood
	problems []error
	unread   bool // a layer could not be read at all: what it would have set is not known

	where    func(*yaml.Node) string // of the layer being read
	overlaid map[*yaml.Node]bool     // mappings made up for one key: they change an entry of a map, not the map
}

func newReader(root reflect.Value) *reader {
	return &reader{root: root, origins: map[string]string{}, bad: map[string]bool{}, overlaid: map[*yaml.Node]bool{}}
}

func (r *reader) problem(n *yaml.Node, path, format string, args ...any) {
	r.bad[path] = true
	r.problems = append(r.problems, &KeyError{Where: r.where(n), Path: path, Problem: fmt.Sprintf(format, args...)})
}

// parent is the key that path is part of, or nothing.
func parent(path string) string { return path[:max(strings.LastIndexAny(path, ".["), 0)] }

// origin says where path was written, or else the key that it is part of.
func (r *reader) origin(path string) string {
	for ; path != ""; path = parent(path) {
		if where := r.origins[path]; where != "" {
			return where
		}
	}
	return ""
}

// misread says whether the value of path, or of a key that it is part of, was not understood.
func (r *reader) misread(path string) bool {
	for ; path != ""; path = parent(path) {
		if r.bad[path] {
			return true
		}
	}
	return false
}

// file reads the one document in data.
func (r *reader) file(name string, data []byte) {
	r.where = func(n *yaml.Node) string { return fmt.Sprintf("%s:%d:%d", name, n.Line, n.Column) }
	doc, err := parse(data)
	if err != nil {
		// the parser says "line 3: …"; the same form as for a key can be clicked
		text := name + ":" + strings.TrimPrefix(" "+err.Error(), " line ")
		if strings.Contains(text, "cannot start any token") && bytes.ContainsRune(data, '\t') {
			text += " (a tab? YAML is indented with blanks)"
		}
		r.unread = true
		r.problems = append(r.problems, errors.New(text))
		return
	}
	if doc != nil && r.plain(doc, 0) {
		r.value(doc, r.root, "")
	}
}

// parse returns the root of the only document, nil if there is none.
func parse(data []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil //nolint:nilnil // an empty file is no mistake and says nothing
	} else if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("holds more than one document; keep one, without a line ---")
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil, nil //nolint:nilnil // only comments
	}
	return doc.Content[0], nil
}

// plain refuses what makes a file larger than it looks.
func (r *reader) plain(n *yaml.Node, depth int) bool {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		r.problem(n, "", "anchors and aliases (&, *) are not read; write the value out")
		return false
	}
	if depth > maxDepth {
		r.problem(n, "", "nests deeper than %d levels", maxDepth)
		return false
	}
	ok := true
	for _, c := range n.Content {
		ok = r.plain(c, depth+1) && ok
	}
	return ok
}

// value reads n into v.
func (r *reader) value(n *yaml.Node, v reflect.Value, path string) {
	if path != "" {
		r.origins[path] = r.where(n)
	}
	t := v.Type()
	null := n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
	switch {
	case null && composite(t):
		// a heading whose keys are all commented out
	case null:
		r.problem(n, path, "has no value; leave the key out for its default")
	case n.Kind == yaml.ScalarNode && readsText(t):
		if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.Value)); err != nil {
			r.problem(n, path, "%s", err)
		}
	case t.Kind() == reflect.Interface:
		r.untyped(n, v, path)
	case t.Kind() == reflect.Struct:
		r.structure(n, v, path)
	case t.Kind() == reflect.Map:
		r.mapping(n, v, path)
	case t.Kind() == reflect.Slice:
		r.list(n, v, path)
	case n.Kind != yaml.ScalarNode:
		r.problem(n, path, "must be %s (got %s)", wanted(t), describe(n))
	default:
		if !setScalar(v, n.Value) {
			r.problem(n, path, "must be %s%s", wanted(t), got(t, n.Value))
		}
	}
}

func (r *reader) untyped(n *yaml.Node, v reflect.Value, path string) {
	var x any
	if err := n.Decode(&x); err != nil {
		r.problem(n, path, "%s", strings.TrimPrefix(err.Error(), "yaml: "))
		return
	}
	if x != nil {
		v.Set(reflect.ValueOf(x))
	}
}

// pairs calls each for the keys of a mapping, once for each key.
func (r *reader) pairs(n *yaml.Node, path string, each func(key, val *yaml.Node)) {
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode {
			r.problem(key, path, "has a key that is no word")
			continue
		}
		if line := first[key.Value]; line > 0 {
			r.problem(key, join(path, key.Value), "stands twice, first in line %d", line)
			continue
		}
		first[key.Value] = key.Line
		each(key, n.Content[i+1])
	}
}

func (r *reader) structure(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		r.problem(n, path, "must be a mapping with the keys %s (got %s)",
			strings.Join(names(fieldsOf(v.Type())), ", "), describe(n))
		return
	}
	r.pairs(n, path, func(key, val *yaml.Node) {
		f, known := fieldNamed(v.Type(), key.Value)
		if !known {
			r.problem(key, join(path, key.Value), "%s", r.unknown(v.Type(), key.Value))
			return
		}
		r.value(val, v.FieldByIndex(f.index), join(path, f.name))
	})
}

// unknown says of a key that t lacks what its author may have meant.
func (r *reader) unknown(t reflect.Type, key string) string {
	known := names(fieldsOf(t))
	if s := suggestion(key, known); s != "" {
		return "unknown key" + s
	}
	if path := elsewhere(r.root.Type(), key, "", 0); path != "" {
		return "unknown key here; did you mean " + path + "?"
	}
	return "unknown key; known here: " + strings.Join(known, ", ")
}

// mapping replaces the whole map, unless n was made up for one of its entries.
func (r *reader) mapping(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		r.problem(n, path, "must be a mapping (got %s)", describe(n))
		return
	}
	t := v.Type()
	if t.Key().Kind() != reflect.String {
		panic(fmt.Sprintf("BUG: %s: keys of %s are no strings", path, t))
	}
	fresh := reflect.MakeMapWithSize(t, len(n.Content)/2)
	if r.overlaid[n] {
		for it := v.MapRange(); it.Next(); {
			fresh.SetMapIndex(it.Key(), it.Value())
		}
	}
	r.pairs(n, path, func(key, val *yaml.Node) {
		name := reflect.ValueOf(key.Value).Convert(t.Key())
		elem := newElement(t.Elem())
		if old := fresh.MapIndex(name); old.IsValid() {
			elem.Set(old)
		}
		r.value(val, elem, join(path, key.Value))
		fresh.SetMapIndex(name, elem)
	})
	v.Set(fresh)
}

func (r *reader) list(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		r.problem(n, path, "must be a list, such as [a, b] (got %s)", describe(n))
		return
	}
	fresh := reflect.MakeSlice(v.Type(), 0, len(n.Content))
	for i, c := range n.Content {
		elem := newElement(v.Type().Elem())
		r.value(c, elem, fmt.Sprintf("%s[%d]", path, i))
		fresh = reflect.Append(fresh, elem)
	}
	v.Set(fresh)
}
