package ingest

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"regexp/syntax"
	"runtime"
	"slices"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schema judges the properties of one kind of event. It is safe for concurrent use.
type schema struct {
	url   string
	docs  *schemaDocs
	names map[string]bool // of members, as the schema knows them

	mu   sync.Mutex // guards free
	free []*judge   // as many as have been at work at a time, about
}

// newSchema compiles the schema at url, a file of docs.
func newSchema(docs *schemaDocs, url string) (*schema, error) {
	s := &schema{url: url, docs: docs, names: map[string]bool{}}
	j, err := s.newJudge()
	if err != nil {
		return nil, err
	}
	s.free = append(s.free, j)
	for sub := range j.watched {
		s.learn(sub)
	}
	return s, nil
}

// learn notes the names of members in one of the schema's parts.
func (s *schema) learn(part *jsonschema.Schema) {
	note := func(names []string) {
		for _, name := range names {
			s.names[name] = true
		}
	}
	note(slices.Collect(maps.Keys(part.Properties)))
	note(part.Required)
	for _, names := range part.DependentRequired {
		note(names)
	}
	for _, dep := range part.Dependencies {
		if names, ok := dep.([]string); ok {
			note(names)
		}
	}
}

// judge is a compiled schema that counts its steps. The library has no way to stop it, so the count is kept by hooks
// inside the compiled schema, which is why one judge works for one event at a time.
type judge struct {
	root    *jsonschema.Schema
	watched map[*jsonschema.Schema]bool
	steps   int // left
}

// tooMuch is what a judge panics with when its steps are used up, to leave the library's recursion.
type tooMuch struct{}

func (s *schema) newJudge() (*judge, error) {
	j := &judge{steps: math.MaxInt, watched: map[*jsonschema.Schema]bool{}}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.UseLoader(s.docs)
	c.UseRegexpEngine(j.regexp)
	root, err := c.Compile(s.url)
	if err != nil {
		return nil, err
	}
	j.root = root
	return j, j.watch(root)
}

func (s *schema) take() *judge {
	s.mu.Lock()
	if n := len(s.free); n > 0 {
		j := s.free[n-1]
		s.free = s.free[:n-1]
		s.mu.Unlock()
		return j
	}
	s.mu.Unlock()
	j, err := s.newJudge()
	if err != nil {
		panic("BUG: a schema compiled once and not again: " + err.Error())
	}
	return j
}

func (s *schema) give(j *judge) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.free) < runtime.GOMAXPROCS(0) {
		s.free = append(s.free, j)
	}
}

// check judges raw, a valid JSON value that stands at path in its event. What is absent or null is judged as {}, and
// what is no object is wrong. With hide, members that the schema does not name are told as *. It returns at most maxViolations, sorted, and takes its steps from left.
func (s *schema) check(raw []byte, path string, hide bool, left *int) []violation {
	if isNull(raw) {
		raw = []byte("{}")
	}
	if raw[0] != '{' {
		return []violation{{path, "type", "must be an object"}}
	}
	d := decoder{b: raw}
	v := d.value()
	if d.why != "" {
		if hide {
			d.at = ""
		}
		return []violation{{clip(path + d.at), "limit", d.why}}
	}
	j := s.take()
	most := min(planSteps+planStepsPerByte*len(raw), planStepsEvent, *left)
	err, ok := j.run(v, most-d.steps)
	*left -= most - max(j.steps, 0)
	s.give(j)
	if !ok {
		return []violation{{path, "limit", "too large or too intricate to be judged"}}
	}
	w := words{root: path}
	if hide {
		w.names = s.names
	}
	return w.of(err)
}

// run validates v in at most so many steps.
func (j *judge) run(v any, most int) (err error, ok bool) {
	j.steps = most
	defer func() {
		switch p := recover().(type) {
		case nil:
		case tooMuch:
			ok = false
		default:
			panic(p)
		}
	}()
	return j.root.Validate(v), true
}

func (j *judge) spend(n int) {
	if j.steps -= n; j.steps < 0 {
		panic(tooMuch{})
	}
}

// watch makes each schema below s count what it looks at. A schema looks at a value's format before it goes deeper, so
// that is where the hook is.
func (j *judge) watch(s *jsonschema.Schema) error {
	if s == nil || j.watched[s] {
		return nil
	}
	j.watched[s] = true
	if s.DynamicRef != nil || s.RecursiveRef != nil {
		return fmt.Errorf("%s: $dynamicRef and $recursiveRef are not read here; use $ref", s.Location)
	}
	name, validate := "", func(any) error { return nil }
	if s.Format != nil && isAsserted(s.Format.Name) {
		name, validate = s.Format.Name, s.Format.Validate
	}
	each := 2 + len(s.PatternProperties) // a value of the wrong type is not seen here, and costs more than another
	for _, sub := range children(s) {
		if sub != nil && sub.Enum != nil {
			each = max(each, 2+len(sub.Enum.Values)/8)
		}
		if err := j.watch(sub); err != nil {
			return err
		}
	}
	unique := s.UniqueItems
	s.Format = &jsonschema.Format{Name: name, Validate: func(v any) error {
		switch v := v.(type) {
		case map[string]any:
			j.spend(1 + len(v)*each)
		case []any:
			j.spend(1 + len(v)*each)
			if unique && !scalars(v) {
				j.spend(len(v) * len(v) / 8) // values can be made whose hashes, as the library takes them, are all the same
			}
		case string:
			j.spend(1 + len(v)/256)
		default:
			j.spend(1)
		}
		return validate(v)
	}}
	return nil
}

func scalars(list []any) bool {
	for _, v := range list {
		switch v.(type) {
		case map[string]any, []any:
			return false
		}
	}
	return true
}

// children lists the schemas that s applies to its value or to parts of it; some may be nil.
func children(s *jsonschema.Schema) []*jsonschema.Schema {
	out := []*jsonschema.Schema{
		s.Ref, s.Not, s.If, s.Then, s.Else, s.PropertyNames, s.UnevaluatedProperties, s.Contains, s.Items2020, s.UnevaluatedItems, s.ContentSchema,
	}
	for _, list := range [][]*jsonschema.Schema{s.AllOf, s.AnyOf, s.OneOf, s.PrefixItems} {
		out = append(out, list...)
	}
	for _, m := range []map[string]*jsonschema.Schema{s.Properties, s.DependentSchemas} {
		for _, sub := range m {
			out = append(out, sub)
		}
	}
	for _, sub := range s.PatternProperties {
		out = append(out, sub)
	}
	loose := []any{s.AdditionalProperties, s.Items, s.AdditionalItems}
	for _, dep := range s.Dependencies {
		loose = append(loose, dep)
	}
	for _, v := range loose {
		switch v := v.(type) {
		case *jsonschema.Schema:
			out = append(out, v)
		case []*jsonschema.Schema:
			out = append(out, v...)
		}
	}
	return out
}

// isAsserted says whether a format is checked; others say what a value means and no more. All of these are quick.
func isAsserted(format string) bool {
	switch format {
	case "date-time", "date", "time", "email", "hostname", "ipv4", "ipv6", "uri", "uuid":
		return true
	}
	return false
}

// pattern is a regular expression in RE2's syntax, whose time is bounded by its size and that of the text.
type pattern struct {
	*regexp.Regexp
	j    *judge
	size int // instructions
}

func (j *judge) regexp(expr string) (jsonschema.Regexp, error) {
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, err
	}
	parsed, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, err
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, err
	}
	return &pattern{re, j, len(prog.Inst)}, nil
}

// MatchString is the library's question.
func (p *pattern) MatchString(s string) bool {
	p.j.spend(1 + len(s)*p.size/32)
	return p.Regexp.MatchString(s)
}
