package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/event"
)

// planFile is a tracking plan as its author writes it.
type planFile struct {
	Mode      PlanMode                 `yaml:"mode" doc:"events that violate their schema: allow, flag or reject"`
	Unplanned PlanMode                 `yaml:"unplanned" doc:"track events without a schema: allow, flag or reject"`
	DryRun    bool                     `yaml:"dry_run" doc:"accept everything and count what would have become of it"`
	Events    map[string]planEntry     `yaml:"events" doc:"track events by their name"`
	Types     map[event.Type]planEntry `yaml:"types" doc:"identify and group, whose traits are judged; page and screen, whose properties are"`

	docs *schemaDocs
	out  *plan
}

type planEntry struct {
	Schema string   `yaml:"schema" doc:"file of its JSON Schema, in the plan's folder"`
	Mode   PlanMode `yaml:"mode" doc:"instead of the plan's"`
}

// newPlan reads the plan in the file name, and its schemas, all through read.
func newPlan(name string, read *files) (*plan, error) {
	text, err := read.read(name)
	if err != nil {
		return nil, fmt.Errorf("read tracking plan: %w", err)
	}
	f := planFile{
		Mode: PlanFlag, Unplanned: PlanAllow,
		docs: &schemaDocs{files: read, dir: filepath.Dir(name), parsed: map[string]any{}},
	}
	if err := config.Decode(name, text, &f); err != nil {
		return nil, err
	}
	f.docs.sealed = true
	return f.out, nil
}

// planProblems gives each problem of a plan the key that names it.
func planProblems(key string, err error) error {
	var all []error
	for line := range strings.Lines(err.Error()) {
		all = append(all, config.Invalid(key, "%s", strings.TrimSuffix(line, "\n")))
	}
	return errors.Join(all...)
}

// Validate compiles the plan, so that what is wrong with a schema is told with the line that names it.
func (f *planFile) Validate() error {
	errs := []error{planMode("mode", f.Mode), planMode("unplanned", f.Unplanned)}
	f.out = &plan{dryRun: f.DryRun, unplanned: f.Unplanned, events: map[string]*planned{}, heavy: make(chan struct{}, heavyAtATime)}
	for _, name := range slices.Sorted(maps.Keys(f.Events)) {
		pl, err := f.entry("events."+name, f.Events[name])
		errs = append(errs, err)
		f.out.events[name] = pl
	}
	for _, typ := range slices.Sorted(maps.Keys(f.Types)) {
		key := "types." + string(typ)
		if err := config.OneOf(key, typ, event.Identify, event.Group, event.Page, event.Screen); err != nil {
			errs = append(errs, err)
			continue
		}
		pl, err := f.entry(key, f.Types[typ])
		errs = append(errs, err)
		f.out.types[typeAt(typ)] = pl
	}
	return errors.Join(errs...)
}

func planMode(key string, m PlanMode) error {
	return config.OneOf(key, m, PlanAllow, PlanFlag, PlanReject)
}

func (f *planFile) entry(key string, e planEntry) (*planned, error) {
	if e.Mode == "" {
		e.Mode = f.Mode
	} else if err := planMode(key+".mode", e.Mode); err != nil {
		return nil, err
	}
	if !filepath.IsLocal(e.Schema) {
		return nil, config.Invalid(key+".schema", "must be a file in the plan's folder, such as schemas/order.json (got %q)", e.Schema)
	}
	u := url.URL{Scheme: schemaScheme, Path: "/" + path.Clean(filepath.ToSlash(e.Schema))}
	s, err := newSchema(f.docs, u.String())
	if err != nil {
		return nil, config.Invalid(key+".schema", "%s", f.docs.explain(e.Schema, err))
	}
	return &planned{schema: s, mode: e.Mode}, nil
}

// schemaScheme leads the addresses of a plan's schemas; the root of their paths is the plan's folder, and no reference
// climbs out of it.
const schemaScheme = "plan"

// schemaDocs reads the schemas of a plan for the compiler. When the plan is compiled it is sealed: compiling once more
// needs nothing new, and must not, for by then many requests read parsed at the same time.
type schemaDocs struct {
	files  *files
	dir    string
	parsed map[string]any // by address
	sealed bool
}

// Load is the compiler's question for what a schema refers to.
func (d *schemaDocs) Load(address string) (any, error) {
	if doc, ok := d.parsed[address]; ok {
		return doc, nil
	}
	if d.sealed {
		panic("BUG: a schema of a compiled plan was not read with it")
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != schemaScheme {
		return nil, errors.New("nothing is fetched over the network; put the file into the plan's folder and refer to it by its path")
	}
	name := strings.TrimPrefix(u.Path, "/")
	text, err := d.files.read(filepath.Join(d.dir, filepath.FromSlash(name)))
	if err != nil {
		return nil, err
	}
	doc, err := parseSchema(name, text)
	if err != nil {
		return nil, err
	}
	d.parsed[address] = doc
	return doc, nil
}

func parseSchema(name string, text []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var doc any
	err := dec.Decode(&doc)
	at := dec.InputOffset()
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		at = syntax.Offset
	} else if err == nil {
		if _, err = dec.Token(); errors.Is(err, io.EOF) {
			return doc, nil
		}
		err = errors.New("something follows the schema")
	}
	before := text[:min(int(at), len(text))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := len(before) - bytes.LastIndexByte(before, '\n') - 1
	return nil, fmt.Errorf("%s:%d:%d: %w", name, line, max(column, 1), err)
}

// explain says what is wrong with the schema in file, and where, in one line.
func (d *schemaDocs) explain(file string, err error) string {
	var invalid *jsonschema.SchemaValidationError
	var found *jsonschema.ValidationError
	if errors.As(err, &invalid) && errors.As(invalid.Err, &found) {
		e := found
		for len(e.Causes) > 0 {
			e = e.Causes[0]
		}
		return fileOf(invalid.URL) + "#" + pointer(e.InstanceLocation...) + ": " + e.ErrorKind.LocalizedString(message.NewPrinter(language.English))
	}
	if load, ok := errors.AsType[*jsonschema.LoadURLError](err); ok {
		name, text := fileOf(load.URL), load.Err.Error()
		if strings.HasPrefix(text, name+":") { // with line and column
			return text
		}
		return name + ": " + text
	}
	return file + ": " + strings.ReplaceAll(err.Error(), schemaScheme+":///", "")
}

// fileOf is the file at an address of ours; other addresses stay what they are.
func fileOf(address string) string {
	return strings.TrimSuffix(strings.TrimPrefix(address, schemaScheme+":///"), "#")
}
