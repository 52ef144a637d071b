package batcher

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/segmentio/encoding/json"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/parquetout"
	"github.com/millstream-data/millstream/internal/wire"
)

// mirrorRow gathers the values of one row of a mirrored table, so that a bad one
// rejects the row before anything of it is written. Its buffers are reused.
type mirrorRow struct {
	values  []mirrorValue // by column of the schema
	buf     []byte
	cleaned int // values that lost NULs or what is no UTF-8
}

// size is what the row's values take.
func (r *mirrorRow) size() (n int) {
	for _, v := range r.values {
		n += max(len(v.bytes), 8)
	}
	return n
}

type mirrorValue struct {
	set     bool
	integer int64
	float   float64
	bytes   []byte
	flag    bool
	cleaned bool
}

// read takes the members of object, a row in the forms of s. Names that s does
// not have are an error, for a row has exactly its origin's columns; and so is a
// key with a null.
func (r *mirrorRow) read(s lake.Schema, object []byte) error {
	r.values, r.cleaned = append(r.values[:0], make([]mirrorValue, len(s.Columns))...), 0
	object = trim(object)
	if len(object) == 0 || object[0] != '{' || !json.Valid(object) {
		return errNoObject
	}
	for m := membersOf(object); ; {
		rawKey, raw, ok := m.next()
		if !ok {
			return r.keyed(s)
		}
		key, _ := text(r.buf, rawKey)
		i := originIndex(s, string(key))
		if i < 0 {
			return fmt.Errorf("column %s is not in the schema", key)
		}
		if raw[0] == 'n' {
			continue
		}
		if err := r.values[i].read(s.Columns[i], raw); err != nil {
			return fmt.Errorf("column %s: %w", key, err)
		}
		if r.values[i].cleaned {
			r.cleaned++
		}
	}
}

func (r *mirrorRow) keyed(s lake.Schema) error {
	for i, c := range s.Columns {
		if !r.values[i].set && slices.Contains(s.Key, c.Name) {
			return fmt.Errorf("column %s of the key is null or missing", c.From)
		}
	}
	return nil
}

func originIndex(s lake.Schema, name string) int {
	for i, c := range s.Columns {
		if c.From == name && c.From != "" {
			return i
		}
	}
	return -1
}

var errForm = errors.New("value does not have the announced form")

func (v *mirrorValue) read(c lake.SchemaColumn, raw []byte) (err error) {
	v.set = true
	s := raw
	if raw[0] == '"' {
		var clean bool
		s, clean = text(nil, raw)
		v.cleaned = !clean
	}
	switch c.Form {
	case event.FormBool:
		v.flag = raw[0] == 't'
		if raw[0] != 't' && raw[0] != 'f' {
			return errForm
		}
	case event.FormNumber:
		return v.number(c.Type, s)
	case event.FormDays, event.FormMicros:
		if v.integer, err = strconv.ParseInt(string(s), 10, 64); err != nil || !parquetout.FitsInt(c.Type, v.integer) {
			return errForm
		}
	case event.FormISO:
		return v.iso(c.Type, s)
	case event.FormBase64:
		if v.bytes, err = base64.StdEncoding.DecodeString(string(s)); err == nil && len(v.bytes) > maxBytes {
			err = fmt.Errorf("%d bytes are more than %d", len(v.bytes), maxBytes)
		}
		return err
	case event.FormText, event.FormJSONText:
		if raw[0] != '"' {
			return errForm
		}
		return v.text(c.Type, s)
	case event.FormJSON:
		s, clean := jsonText(nil, raw)
		v.cleaned = !clean
		return v.text(c.Type, s)
	default:
		return fmt.Errorf("unknown form %q", c.Form)
	}
	return nil
}

func (v *mirrorValue) number(t wire.LakeType, s []byte) (err error) {
	switch t {
	case wire.Float32, wire.Float64:
		// ParseFloat reads NaN and Infinity as they come in quotes.
		v.float, err = strconv.ParseFloat(string(s), 64)
		return err
	case wire.Int16, wire.Int32, wire.Int64:
		v.integer, err = strconv.ParseInt(string(s), 10, 64)
		if err == nil && !parquetout.FitsInt(t, v.integer) {
			err = errForm
		}
		return err
	default:
		return v.text(t, s)
	}
}

func (v *mirrorValue) iso(t wire.LakeType, s []byte) error {
	if t != wire.Timestamp {
		return v.text(t, s)
	}
	at, err := event.ParseISO(string(s))
	if err != nil {
		return fmt.Errorf("%s %w", s, err)
	}
	v.integer = at
	return nil
}

func (v *mirrorValue) text(t wire.LakeType, s []byte) error {
	if _, _, decimal := t.Decimal(); decimal {
		v.bytes = s
		return checkDecimal(t, s)
	}
	switch t {
	case wire.String, wire.JSON:
		if len(s) > maxText {
			return fmt.Errorf("%d bytes are more than %d", len(s), maxText)
		}
		v.bytes = s
		return nil
	case wire.Bytes:
		v.bytes = s
		return nil
	case wire.Int16, wire.Int32, wire.Int64:
		return v.number(t, s)
	default:
		return errForm
	}
}

func checkDecimal(t wire.LakeType, s []byte) error {
	if !parquetout.NewColumn(t).AppendDecimal(string(s)) {
		return fmt.Errorf("%q does not fit %s", s, t)
	}
	return nil
}

// put appends the value to its column.
func (v *mirrorValue) put(col *parquetout.Column) {
	if !v.set {
		col.AppendNulls(1)
		return
	}
	switch col.Type() {
	case wire.Bool:
		col.AppendBool(v.flag)
	case wire.Int16, wire.Int32, wire.Int64, wire.Date, wire.Timestamp:
		col.AppendInt(v.integer)
	case wire.Float32, wire.Float64:
		if col.Type() == wire.Float32 && math.Abs(v.float) > math.MaxFloat32 && !math.IsInf(v.float, 0) {
			v.float = math.Inf(int(math.Copysign(1, v.float)))
		}
		col.AppendFloat(v.float)
	case wire.String, wire.JSON, wire.Bytes:
		col.AppendBytes(v.bytes)
	default:
		if !col.AppendDecimal(string(v.bytes)) {
			panic("BUG: a checked decimal does not fit")
		}
	}
}
