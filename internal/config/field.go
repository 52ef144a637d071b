package config

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// field is what the tags of a struct field say.
type field struct {
	name, doc string
	index     []int // for reflect.Value.FieldByIndex; longer than one for inlined structs
	typ       reflect.Type
}

// fieldsOf lists the keys of a struct in their order. A field without a tag is a mistake of ours, not of the
// configuration's author.
func fieldsOf(t reflect.Type) []field {
	var fields []field
	for f := range t.Fields() {
		tag, tagged := f.Tag.Lookup("yaml")
		if tag == "-" || !f.IsExported() {
			continue
		}
		name, flags, _ := strings.Cut(tag, ",")
		if flags == "inline" {
			for _, in := range fieldsOf(f.Type) {
				in.index = append([]int{f.Index[0]}, in.index...)
				fields = append(fields, in)
			}
			continue
		}
		if !tagged || name == "" {
			panic(fmt.Sprintf("BUG: %s.%s has no yaml tag", t, f.Name))
		}
		fields = append(fields, field{name: name, doc: f.Tag.Get("doc"), index: f.Index, typ: f.Type})
	}
	return fields
}

func fieldNamed(t reflect.Type, name string) (field, bool) {
	for _, f := range fieldsOf(t) {
		if f.name == name {
			return f, true
		}
	}
	return field{}, false
}

func names(fields []field) []string {
	list := make([]string, len(fields))
	for i, f := range fields {
		list[i] = f.name
	}
	return list
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	secretType   = reflect.TypeFor[Secret]()
	bytesType    = reflect.TypeFor[Bytes]()
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// readsText says whether values of t are written as one word, by their own UnmarshalText.
func readsText(t reflect.Type) bool { return reflect.PointerTo(t).Implements(textType) }

// composite says whether t has keys or elements of its own.
func composite(t reflect.Type) bool {
	if readsText(t) {
		return false
	}
	switch t.Kind() {
	case reflect.Struct, reflect.Map, reflect.Slice, reflect.Interface:
		return true
	default:
		return false
	}
}

// newElement is a new element of a map or list, with its defaults.
func newElement(t reflect.Type) reflect.Value {
	v := reflect.New(t)
	if d, ok := reflect.TypeAssert[Defaulter](v); ok {
		d.SetDefaults()
	}
	return v.Elem()
}

// elsewhere finds a key of this name anywhere below t, for a key that was written at the wrong level.
func elsewhere(t reflect.Type, name, prefix string, depth int) string {
	if depth > 8 {
		return ""
	}
	switch t.Kind() { //nolint:exhaustive // nothing else has keys
	case reflect.Struct:
		if readsText(t) {
			return ""
		}
		for _, f := range fieldsOf(t) {
			path := join(prefix, f.name)
			if f.name == name {
				return path
			}
			if found := elsewhere(f.typ, name, path, depth+1); found != "" {
				return found
			}
		}
	case reflect.Map:
		return elsewhere(t.Elem(), name, join(prefix, "<name>"), depth+1)
	case reflect.Slice:
		return elsewhere(t.Elem(), name, prefix+"[]", depth+1)
	}
	return ""
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}
