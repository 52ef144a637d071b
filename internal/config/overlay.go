package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"gopkg.in/yaml.v3"
)

// envPrefix begins the variables that are ours.
const envPrefix = "MILLSTREAM_"

// serviceLink matches what Kubernetes sets in every container for a service that is named like us, such as
// MILLSTREAM_INGEST_PORT_8080_TCP_ADDR. Nobody wrote those, so they are passed over.
var serviceLink = regexp.MustCompile(`_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$|_PORT(_[0-9]+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)?$`)

// environ reads the variables that name a key, such as MILLSTREAM_INGEST_LISTEN. The keys of a map are those that the
// file or the defaults have: a variable cannot say where a name ends.
func (r *reader) environ(environ, ignore []string) {
	keys := map[string][][]string{}
	collect(r.root, nil, keys)
	known := make([]string, 0, len(keys))
	for name := range keys {
		known = append(known, name)
	}
	slices.Sort(known)
	vars := slices.Clone(environ)
	slices.Sort(vars)
	for _, kv := range vars {
		name, value, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, envPrefix) || ignored(name, ignore) {
			continue
		}
		switch paths := keys[name]; {
		case len(paths) == 1:
			r.assign(name, paths[0], value)
		case len(paths) > 1:
			r.problems = append(r.problems, fmt.Errorf("%s: means %s as well as %s; set it in the file or by --set",
				name, strings.Join(paths[0], "."), strings.Join(paths[1], ".")))
		case serviceLink.MatchString(name):
		default:
			r.problems = append(r.problems, fmt.Errorf("%s: names no key%s", name, suggestion(name, known)))
		}
	}
}

func ignored(name string, ignore []string) bool {
	return slices.ContainsFunc(ignore, func(pattern string) bool {
		prefix, wild := strings.CutSuffix(pattern, "*")
		return name == pattern || wild && strings.HasPrefix(name, prefix)
	})
}

// collect gathers the paths of all keys under the names of their variables.
func collect(v reflect.Value, path []string, keys map[string][][]string) {
	if len(path) > 0 {
		name := EnvName(strings.Join(path, "."))
		keys[name] = append(keys[name], path)
	}
	if readsText(v.Type()) {
		return
	}
	switch v.Kind() { //nolint:exhaustive // nothing else has keys
	case reflect.Struct:
		for _, f := range fieldsOf(v.Type()) {
			collect(v.FieldByIndex(f.index), append(slices.Clone(path), f.name), keys)
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			collect(it.Value(), append(slices.Clone(path), it.Key().String()), keys)
		}
	}
}

// EnvName is the variable that sets the key at path: ingest.listen is MILLSTREAM_INGEST_LISTEN.
func EnvName(path string) string {
	return envPrefix + strings.Map(func(c rune) rune {
		if unicode.IsLetter(c) || unicode.IsDigit(c) {
			return unicode.ToUpper(c)
		}
		return '_'
	}, path)
}

func (r *reader) flag(f Flag) {
	where := f.Name
	if where == "" {
		where = "--set"
	}
	r.assign(where, strings.Split(f.Key, "."), f.Value)
}

// assign sets the key at path to what text says. It builds the YAML that a file would have and reads that, so that a
// value means the same in every layer.
func (r *reader) assign(where string, path []string, text string) {
	r.where = func(*yaml.Node) string { return where }
	t, path, problem := r.resolve(path)
	if problem != "" {
		r.problem(nil, strings.Join(path, "."), "%s", problem)
		return
	}
	n, err := nodeFor(t, text)
	if err != nil {
		r.problem(nil, strings.Join(path, "."), "%s", err)
		return
	}
	if !r.plain(n, 0) {
		return
	}
	for _, name := range slices.Backward(path) {
		key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: name}
		n = &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{key, n}}
		r.overlaid[n] = true
	}
	r.value(n, r.root, "")
}

// resolve returns the type of the key at path, and the path with the names of a map's keys whole again: those of a map
// of words may contain dots.
func (r *reader) resolve(path []string) (reflect.Type, []string, string) {
	t := r.root.Type()
	for i := 0; i < len(path); i++ {
		switch {
		case t.Kind() == reflect.Struct && !readsText(t):
			f, known := fieldNamed(t, path[i])
			if !known {
				return nil, path, r.unknown(t, path[i])
			}
			t = f.typ
		case t.Kind() == reflect.Map:
			t = t.Elem()
			if !composite(t) {
				path = append(slices.Clone(path[:i]), strings.Join(path[i:], "."))
			}
		default:
			return nil, path, fmt.Sprintf("unknown key; %s is %s and has no keys", strings.Join(path[:i], "."), wanted(t))
		}
	}
	return t, path, ""
}

// nodeFor reads text as a value of t: words as they are, lists as a,b or in YAML, the rest in YAML.
func nodeFor(t reflect.Type, text string) (*yaml.Node, error) {
	if !composite(t) {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}, nil
	}
	trimmed := strings.TrimSpace(text)
	if t.Kind() == reflect.Slice && !composite(t.Elem()) && !strings.HasPrefix(trimmed, "[") {
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for word := range strings.SplitSeq(trimmed, ",") {
			if word = strings.TrimSpace(word); word != "" {
				n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: word})
			}
		}
		return n, nil
	}
	n, err := parse([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("must be YAML, such as {key: value} or [a, b]: %w", err)
	}
	if n == nil {
		n = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
	}
	return n, nil
}
