package millstream

import (
	"reflect"
	"strings"
	"sync"
)

// field is a member of a struct, by encoding/json's rules.
type field struct {
	index     int
	name      string
	omitEmpty bool
}

// structFields keeps what is known of struct types: []field, nil for those that are encoding/json's.
var structFields sync.Map

// fieldsOf returns the members of t, or false for a struct with embedded fields, with options of tags besides omitempty,
// or with values that only a pointer can marshal: encoding/json knows what those come to.
func fieldsOf(t reflect.Type) ([]field, bool) {
	if known, ok := structFields.Load(t); ok {
		fields := known.([]field)
		return fields, fields != nil
	}
	fields := make([]field, 0, t.NumField())
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		name, options, _ := strings.Cut(tag, ",")
		if f.Anonymous || byPointer(f.Type) || options != "" && options != "omitempty" {
			fields = nil
			break
		}
		if !f.IsExported() || tag == "-" {
			continue
		}
		if name == "" || strings.ContainsAny(name, "\\\"',") {
			name = f.Name
		}
		fields = append(fields, field{i, name, options == "omitempty"})
	}
	structFields.Store(t, fields)
	return fields, fields != nil
}

// byPointer reports whether t has a JSON or text form that only its pointer knows.
func byPointer(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return (p.Implements(jsonMarshaler) || p.Implements(textMarshaler)) && !t.Implements(jsonMarshaler) && !t.Implements(textMarshaler)
}

func (n *encoder) structOf(r reflect.Value, depth int) error {
	fields, ok := fieldsOf(r.Type())
	if !ok {
		if r.CanAddr() { // then encoding/json asks the pointers of its members, too
			r = r.Addr()
		}
		return n.marshal(r.Interface(), depth)
	}
	if err := n.room(depth); err != nil {
		return err
	}
	n.buf = append(n.buf, '{')
	first := true
	for _, f := range fields {
		v := r.Field(f.index)
		if f.omitEmpty && isEmpty(v) {
			continue
		}
		if !first {
			n.buf = append(n.buf, ',')
		}
		first = false
		n.buf = append(appendString(n.buf, f.name), ':')
		if err := n.reflected(v, depth+1); err != nil {
			return under(err, f.name)
		}
	}
	n.buf = append(n.buf, '}')
	return nil
}

// reflected encodes what may lie in memory that a pointer has led to.
func (n *encoder) reflected(v reflect.Value, depth int) error {
	t := v.Type()
	if t.Kind() == reflect.Struct && v.CanAddr() && !t.Implements(jsonMarshaler) && !t.Implements(textMarshaler) && !byPointer(t) {
		return n.structOf(v, depth)
	}
	return n.value(v.Interface(), depth)
}

// isEmpty is omitempty's question.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	default:
		return v.IsZero()
	}
}
