package millstream

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// encoded is JSON that this package has made and may copy unread.
type encoded []byte

// value encodes v, which lies at depth: what people send most by type, the rest by reflection and encoding/json.
func (n *encoder) value(v any, depth int) error {
	switch v := v.(type) {
	case nil:
		n.buf = append(n.buf, "null"...)
	case string:
		n.buf = appendString(n.buf, v)
	case bool:
		n.buf = strconv.AppendBool(n.buf, v)
	case int:
		n.buf = strconv.AppendInt(n.buf, int64(v), 10)
	case int64:
		n.buf = strconv.AppendInt(n.buf, v, 10)
	case int32:
		n.buf = strconv.AppendInt(n.buf, int64(v), 10)
	case uint64:
		n.buf = strconv.AppendUint(n.buf, v, 10)
	case float64:
		n.float(v, 64)
	case float32:
		n.float(float64(v), 32)
	case Map:
		return n.objectOrNull(v, depth)
	case map[string]any:
		return n.objectOrNull(v, depth)
	case []any:
		return list(n, v, depth, func(e any) error { return n.value(e, depth+1) })
	case []string:
		return list(n, v, depth, func(e string) error { n.buf = appendString(n.buf, e); return nil })
	case time.Time:
		return n.time(v)
	case *time.Time:
		if v != nil {
			return n.time(*v)
		}
		n.buf = append(n.buf, "null"...)
	case json.Number:
		return n.number(v)
	case *big.Int:
		if v == nil {
			n.buf = append(n.buf, "null"...)
			return nil
		}
		n.buf = v.Append(n.buf, 10)
	case big.Int:
		n.buf = v.Append(n.buf, 10)
	case encoded:
		n.buf = append(n.buf, v...)
	default:
		return n.other(v, depth)
	}
	return nil
}

func (n *encoder) objectOrNull(m map[string]any, depth int) error {
	if m == nil {
		n.buf = append(n.buf, "null"...)
		return nil
	}
	return n.object(m, depth)
}

func list[E any](n *encoder, l []E, depth int, each func(E) error) error {
	if l == nil {
		n.buf = append(n.buf, "null"...)
		return nil
	}
	if err := n.room(depth); err != nil {
		return err
	}
	n.buf = append(n.buf, '[')
	for i, e := range l {
		if i > 0 {
			n.buf = append(n.buf, ',')
		}
		if err := each(e); err != nil {
			return under(err, "["+strconv.Itoa(i)+"]")
		}
	}
	n.buf = append(n.buf, ']')
	return nil
}

// float writes what encoding/json writes: plain digits but for the very small and the very large.
func (n *encoder) float(f float64, bits int) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		n.coerced++
		n.buf = append(n.buf, "null"...)
		return
	}
	form, size := byte('f'), math.Abs(f)
	if size != 0 && (bits == 64 && (size < 1e-6 || size >= 1e21) || bits == 32 && (float32(size) < 1e-6 || float32(size) >= 1e21)) {
		form = 'e'
	}
	n.buf = strconv.AppendFloat(n.buf, f, form, -1, bits)
	if end := len(n.buf); form == 'e' && end >= 4 && n.buf[end-4] == 'e' && n.buf[end-2] == '0' { // e-09 is e-9
		n.buf[end-2] = n.buf[end-1]
		n.buf = n.buf[:end-1]
	}
}

func (n *encoder) time(t time.Time) error {
	if !writable(t) {
		return &InvalidError{Reason: "is a time outside the years 0 to 9999: set it to one within, or leave it out"}
	}
	n.buf = append(appendTime(append(n.buf, '"'), t, true), '"')
	return nil
}

func (n *encoder) number(v json.Number) error {
	if len(v) == 0 || v[0] != '-' && (v[0] < '0' || v[0] > '9') || !json.Valid([]byte(v)) {
		return &InvalidError{Reason: fmt.Sprintf("is json.Number(%q): send the digits of a JSON number", string(v))}
	}
	n.buf = append(n.buf, v...)
	return nil
}

var (
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
)

// other encodes named types, pointers, lists, maps and structs so that what lies in them follows the rules of value too.
// Types with a JSON or text form of their own are encoding/json's.
func (n *encoder) other(v any, depth int) error {
	r := reflect.ValueOf(v)
	t := r.Type()
	if t.Implements(jsonMarshaler) || t.Implements(textMarshaler) {
		return n.marshal(v, depth)
	}
	switch t.Kind() {
	case reflect.Bool:
		n.buf = strconv.AppendBool(n.buf, r.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n.buf = strconv.AppendInt(n.buf, r.Int(), 10)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		n.buf = strconv.AppendUint(n.buf, r.Uint(), 10)
	case reflect.Float32, reflect.Float64:
		n.float(r.Float(), t.Bits())
	case reflect.String:
		n.buf = appendString(n.buf, r.String())
	case reflect.Pointer:
		if r.IsNil() {
			n.buf = append(n.buf, "null"...)
			return nil
		}
		if err := n.room(depth); err != nil { // pointers can form a ring as well
			return err
		}
		if k := t.Elem().Kind(); k == reflect.Pointer || k == reflect.Interface {
			depth++ // no deeper in the JSON, but what points to itself must end
		}
		return n.reflected(r.Elem(), depth)
	case reflect.Map:
		return n.mapOf(r, depth)
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 && t.Kind() == reflect.Slice || byPointer(t.Elem()) {
			return n.marshal(v, depth) // base64 for one
		}
		return n.listOf(r, depth)
	case reflect.Struct:
		return n.structOf(r, depth)
	default:
		return &InvalidError{Reason: "is a " + t.String() + ", which has no JSON form: send text, a number, a list or a map"}
	}
	return nil
}

func (n *encoder) mapOf(r reflect.Value, depth int) error {
	if r.Type().Key().Kind() != reflect.String || r.Type().Key().Implements(textMarshaler) {
		return n.marshal(r.Interface(), depth) // encoding/json knows the text of other keys
	}
	if r.IsNil() {
		n.buf = append(n.buf, "null"...)
		return nil
	}
	pairs := make([]pair, 0, r.Len())
	for it := r.MapRange(); it.Next(); {
		pairs = append(pairs, pair{it.Key().String(), it.Value().Interface()})
	}
	sortPairs(pairs)
	return n.members(pairs, depth)
}

func (n *encoder) listOf(r reflect.Value, depth int) error {
	if r.Kind() == reflect.Slice && r.IsNil() {
		n.buf = append(n.buf, "null"...)
		return nil
	}
	elems := make([]any, r.Len())
	for i := range elems {
		elems[i] = r.Index(i).Interface()
	}
	return list(n, elems, depth, func(e any) error { return n.value(e, depth+1) })
}

// marshal leaves v to encoding/json, whose panics and refusals are the event's fault and not the application's.
func (n *encoder) marshal(v any, depth int) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &InvalidError{Reason: fmt.Sprintf("is a %T, and its JSON form panics: %v", v, p)}
		}
	}()
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return &InvalidError{Reason: fmt.Sprintf("is a %T without JSON form: %s", v, strings.TrimPrefix(err.Error(), "json: "))}
	}
	text := bytes.ToValidUTF8(bytes.TrimSuffix(out.Bytes(), []byte("\n")), []byte("\ufffd")) // a MarshalJSON may write anything
	if depth+nesting(text)-1 > maxDepth {
		return n.room(maxDepth + 1)
	}
	n.buf = append(n.buf, text...)
	return nil
}

// nesting is how deep objects and lists lie in one another in text, which is JSON.
func nesting(text []byte) int {
	depth, deepest, inString := 0, 0, false
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++ // only strings have them
		case '"':
			inString = !inString
		case '{', '[':
			if !inString {
				depth++
				deepest = max(deepest, depth)
			}
		case '}', ']':
			if !inString {
				depth--
			}
		}
	}
	return deepest
}
