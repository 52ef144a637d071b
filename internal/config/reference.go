package config

import (
	"bytes"
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// Reference writes the keys of v, a struct with its defaults, as Markdown: a section for each top-level key that has
// keys itself, and one table before them for the others.
func Reference(v any) string {
	var top, sections strings.Builder
	root := reflect.Indirect(reflect.ValueOf(v))
	for _, f := range fieldsOf(root.Type()) {
		rows := reference(root.FieldByIndex(f.index), f)
		if len(rows) == 1 && rows[0].path == f.name {
			top.WriteString(rows[0].String())
			continue
		}
		fmt.Fprintf(&sections, "\n## %s\n\n", f.name)
		if f.doc != "" {
			fmt.Fprintf(&sections, "%s.\n\n", strings.ToUpper(f.doc[:1])+f.doc[1:])
		}
		sections.WriteString(table(rows))
	}
	if top.Len() == 0 {
		return strings.TrimPrefix(sections.String(), "\n")
	}
	return tableHead + top.String() + sections.String()
}

// Table writes the keys of v, a struct with its defaults, as one Markdown table; prefix leads their paths.
func Table(prefix string, v any) string {
	return table(reference(reflect.Indirect(reflect.ValueOf(v)), field{name: prefix}))
}

// Undocumented lists the keys of v without a doc tag, for a test that wants none.
func Undocumented(v any) []string {
	var list []string
	for _, row := range reference(reflect.Indirect(reflect.ValueOf(v)), field{}) {
		if row.doc == "" {
			list = append(list, row.path)
		}
	}
	return list
}

// Dump writes v as YAML that Load would read, with secrets redacted.
func Dump(v any) ([]byte, error) {
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode configuration: %w", err)
	}
	return out.Bytes(), nil
}

const tableHead = "| key | default | meaning |\n|---|---|---|\n"

type row struct{ path, def, doc string }

func (r row) String() string {
	return fmt.Sprintf("| `%s` | %s | %s |\n", r.path, code(r.def), strings.ReplaceAll(r.doc, "|", `\|`))
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(s, "|", `\|`) + "`"
}

func table(rows []row) string {
	var b strings.Builder
	b.WriteString(tableHead)
	for _, r := range rows {
		b.WriteString(r.String())
	}
	return b.String()
}

// reference lists the keys at and below v. Of a map or list it shows what an element has, with an element's defaults.
func reference(v reflect.Value, f field) []row {
	if !composite(v.Type()) {
		return []row{{f.name, printed(v), f.doc}}
	}
	switch v.Kind() {
	case reflect.Struct:
		var rows []row
		for _, in := range fieldsOf(v.Type()) {
			elem := v.FieldByIndex(in.index)
			in.name = join(f.name, in.name)
			rows = append(rows, reference(elem, in)...)
		}
		return rows
	case reflect.Map, reflect.Slice:
		elem := v.Type().Elem()
		if !composite(elem) || elem.Kind() == reflect.Interface {
			return []row{{f.name, printed(v), f.doc}}
		}
		path := f.name + "[]"
		if v.Kind() == reflect.Map {
			path = join(f.name, "<name>")
		}
		def := "{}"
		if v.Kind() == reflect.Slice {
			def = "[]"
		}
		return append([]row{{f.name, def, f.doc}}, reference(newElement(elem), field{name: path})...)
	default:
		return []row{{f.name, "", f.doc}}
	}
}

// printed writes a default as one would in the file.
func printed(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return short(x)
	case encoding.TextMarshaler:
		text, err := x.MarshalText()
		if err == nil && len(text) > 0 {
			return string(text)
		}
		return `""`
	}
	switch v.Kind() {
	case reflect.String:
		if v.Len() == 0 {
			return `""`
		}
		return v.String()
	case reflect.Slice:
		words := make([]string, v.Len())
		for i := range words {
			words[i] = printed(v.Index(i))
		}
		return "[" + strings.Join(words, ", ") + "]"
	case reflect.Map:
		pairs := make([]string, 0, v.Len())
		for it := v.MapRange(); it.Next(); {
			pairs = append(pairs, it.Key().String()+": "+printed(it.Value()))
		}
		slices.Sort(pairs)
		return "{" + strings.Join(pairs, ", ") + "}"
	default:
		return fmt.Sprint(v.Interface())
	}
}

// short leaves out what time.Duration prints of zero minutes and seconds: 1h, not 1h0m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
