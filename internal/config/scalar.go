package config

import (
	"fmt"
	"reflect"
	"strconv"
	"time"

	"gopkg.in/yaml.v3"
)

// setScalar parses s into v and says whether s was understood.
func setScalar(v reflect.Value, s string) bool {
	if v.Type() == durationType {
		d, err := time.ParseDuration(s)
		if err == nil {
			v.SetInt(int64(d))
		}
		return err == nil
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
		return true
	case reflect.Bool:
		if s != "true" && s != "false" {
			return false
		}
		v.SetBool(s == "true")
		return true
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(s, 10, v.Type().Bits())
		if err == nil {
			v.SetInt(n)
		}
		return err == nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(s, 10, v.Type().Bits())
		if err == nil {
			v.SetUint(n)
		}
		return err == nil
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(s, v.Type().Bits())
		if err != nil || f != f || f > maxFloat || f < -maxFloat {
			return false
		}
		v.SetFloat(f)
		return true
	default:
		panic(fmt.Sprintf("BUG: configuration has a field of type %s", v.Type()))
	}
}

// maxFloat keeps infinities out: no option means one.
const maxFloat = 1e300

// wanted names the values of t in a message.
func wanted(t reflect.Type) string {
	switch t {
	case durationType:
		return "a duration such as 250ms or 24h"
	case bytesType:
		return "a size such as 64MiB"
	case secretType:
		return "a secret in one line of text"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number" + bits(t)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number >= 0" + bits(t)
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Struct, reflect.Map:
		return "a mapping"
	case reflect.Slice:
		return "a list"
	default:
		return "text"
	}
}

func bits(t reflect.Type) string {
	if t.Bits() == 64 {
		return ""
	}
	return fmt.Sprintf(" of %d bits", t.Bits())
}

// got repeats a value that was not understood, unless it is a secret.
func got(t reflect.Type, s string) string {
	if t == secretType {
		return ""
	}
	if len(s) > 80 {
		s = s[:80] + "…"
	}
	return fmt.Sprintf(" (got %q)", s)
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	default:
		return "one word"
	}
}
