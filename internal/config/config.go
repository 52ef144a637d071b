// Package config is the one place that reads configuration: the defaults that a struct holds, then a YAML file, then
// the environment, then flags, each over the one before. Reading is strict. A key that no field has, a value of the
// wrong type and a key that stands twice are problems; all problems are reported at once, each with the place where it
// was written, the key's path and the way out.
//
// The struct decides what there is to configure. Each exported field has a `yaml:"name"` tag (or `yaml:"-"`, which
// keeps it out) and a `doc:"…"` tag, from which [Reference] writes the documentation. ${VAR} is not expanded: a value
// means what it says, and the environment has its own layer.
package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
)

// Options names the layers that Load reads over the defaults.
type Options struct {
	File    string   // a YAML file; empty: none
	Environ []string // NAME=value as from os.Environ; nil: none
	Ignore  []string // variables with our prefix that are read elsewhere: MILLSTREAM_CONFIG, or MILLSTREAM_TEST_* for all that begin so
	Flags   []Flag   // flags of the command line, in their order; the last one wins
}

// Flag is a value from the command line. The flag `--set key=value` is split by ParseSet; a command's own flags name
// the key that they stand for.
type Flag struct {
	Name  string // as the user typed it, for messages: --set, --listen
	Key   string // key path: ingest.listen
	Value string
}

// ParseSet splits the argument of `--set`.
func ParseSet(arg string) (Flag, error) {
	key, value, found := strings.Cut(arg, "=")
	if !found || key == "" {
		return Flag{}, fmt.Errorf("--set %q: must be key=value, such as ingest.listen=127.0.0.1:8080", arg)
	}
	return Flag{Name: "--set", Key: key, Value: value}, nil
}

// Defaulter is implemented, on the pointer, by the elements of maps and lists whose fields have defaults. SetDefaults
// is called on a new element before anything is read into it. Outside maps and lists the defaults are those of the
// struct that Load is given.
type Defaulter interface{ SetDefaults() }

// Validator is implemented by what checks its own values. Its errors should come from this package's validators or
// from Invalid, so that Load can say where the value was written.
type Validator interface{ Validate() error }

// Load reads the layers of o into dst, a pointer to a struct that holds the defaults, and then validates it if it is a
// Validator. A map or list in the file replaces the default one; a flag or variable for a key inside a map changes that
// entry only. The error joins all problems; its parts are *KeyError where a key is concerned.
func Load(dst any, o Options) error {
	v := reflect.ValueOf(dst)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("BUG: config.Load into %T, which is no pointer to a struct", dst))
	}
	r := newReader(v.Elem())
	if o.File != "" {
		data, err := os.ReadFile(o.File)
		if err != nil {
			return fmt.Errorf("read configuration: %w", err)
		}
		r.file(o.File, data)
	}
	r.environ(o.Environ, o.Ignore)
	for _, f := range o.Flags {
		r.flag(f)
	}
	return r.finish(dst)
}

// Decode reads one YAML document into dst as strictly as Load does, and validates it. It serves the files that a
// configuration names, such as metric definitions. name leads the messages.
func Decode(name string, data []byte, dst any) error {
	v := reflect.ValueOf(dst)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		panic(fmt.Sprintf("BUG: config.Decode into %T, which is no pointer", dst))
	}
	r := newReader(v.Elem())
	r.file(name, data)
	return r.finish(dst)
}

// KeyError is a problem with one key.
type KeyError struct {
	Where   string // file:line:column, or the variable or flag; empty: a default
	Path    string // ingest.limits.body
	Problem string // must be > 0 (got -1)
}

func (e *KeyError) Error() string {
	parts := make([]string, 0, 3)
	for _, s := range []string{e.Where, e.Path, e.Problem} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ": ")
}

// finish validates dst and joins all problems. A key whose value was not understood still holds its default, so
// what the validator says of it would mislead and is left out.
func (r *reader) finish(dst any) error {
	if val, ok := dst.(Validator); ok && !r.unread {
		for _, err := range flatten(val.Validate()) {
			var ke *KeyError
			if !errors.As(err, &ke) {
				r.problems = append(r.problems, err)
				continue
			}
			if r.misread(ke.Path) {
				continue
			}
			r.problems = append(r.problems, &KeyError{Where: r.origin(ke.Path), Path: ke.Path, Problem: ke.Problem})
		}
	}
	return errors.Join(r.problems...)
}

// flatten takes errors.Join apart.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, flatten(e)...)
	}
	return all
}
