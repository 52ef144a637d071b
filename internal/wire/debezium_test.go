package wire_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// flinkRows applies the rules of Flink's debezium-json format
// (DebeziumJsonDeserializationSchema): which row kinds a value becomes, or why
// the job fails. A value of null, a tombstone or a mark, is passed over.
func flinkRows(value []byte) ([]string, error) {
	if len(value) == 0 {
		return nil, nil
	}
	var v struct {
		Before, After map[string]any
		Op            string
	}
	if err := json.Unmarshal(value, &v); err != nil {
		return nil, err
	}
	switch v.Op {
	case "c", "r":
		if v.After == nil {
			return nil, fmt.Errorf("op %s without after", v.Op)
		}
		return []string{"+I"}, nil
	case "u":
		if v.Before == nil {
			return nil, fmt.Errorf(`the "before" field of an UPDATE is null`)
		}
		return []string{"-U", "+U"}, nil
	case "d":
		if v.Before == nil {
			return nil, fmt.Errorf(`the "before" field of a DELETE is null`)
		}
		return []string{"-D"}, nil
	}
	return nil, fmt.Errorf("unknown op %q", v.Op)
}

// connectRow applies the rules of Debezium's ExtractNewRecordState for Kafka
// Connect: the row that a sink gets, nil for a delete; ok is false where the
// record is passed over.
func connectRow(value []byte) (row map[string]any, ok bool, err error) {
	if len(value) == 0 {
		return nil, false, nil
	}
	var v map[string]json.RawMessage
	if err := json.Unmarshal(value, &v); err != nil {
		return nil, false, err
	}
	for _, member := range []string{"before", "after", "source", "op", "ts_ms"} {
		if _, there := v[member]; !there {
			return nil, false, fmt.Errorf("no envelope: %s is missing", member)
		}
	}
	err = json.Unmarshal(v["after"], &row)
	return row, true, err
}

// Every value that is published is read by those who know Debezium only, and
// an update without the row before never is.
func TestDebeziumConsumers(t *testing.T) {
	t.Parallel()
	row, key := json.RawMessage(`{"id":42,"total":"12.30"}`), json.RawMessage(`{"id":42}`)
	xmin := int64(7321)
	for name, c := range map[string]struct {
		change event.Change
		flink  string
		row    bool
	}{
		"r":                    {event.Change{Op: event.OpRead, After: row}, "[+I]", true},
		"c":                    {event.Change{Op: event.OpCreate, After: row}, "[+I]", true},
		"u with the old row":   {event.Change{Op: event.OpUpdate, Before: row, After: row}, "[-U +U]", true},
		"d with the key":       {event.Change{Op: event.OpDelete, Before: key}, "[-D]", false},
		"d with the whole row": {event.Change{Op: event.OpDelete, Before: row}, "[-D]", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.change.Source = event.ChangeSource{Version: "0.1.0", Connector: "postgresql", Name: "shop", DB: `a "db"`, Schema: "public", Table: "orders", Xmin: &xmin, TxID: &xmin, Sequence: wire.Sequence(7, 4512)}
			value := must[[]byte](t)(wire.AppendChange(nil, c.change))
			kinds, err := flinkRows(value)
			if got := fmt.Sprint(kinds); err != nil || got != c.flink {
				t.Errorf("Flink: got %s, %v, want %s", got, err, c.flink)
			}
			got, ok, err := connectRow(value)
			if err != nil || !ok || (got != nil) != c.row {
				t.Errorf("Connect: got %v, %v, %v, want a row: %v", got, ok, err, c.row)
			}
		})
	}
	for _, nothing := range [][]byte{nil, {}} { // tombstones and marks
		if kinds, err := flinkRows(nothing); kinds != nil || err != nil {
			t.Errorf("Flink takes a record without value for %v, %v", kinds, err)
		}
		if _, ok, err := connectRow(nothing); ok || err != nil {
			t.Errorf("Connect takes a record without value for a row, %v", err)
		}
	}
	if _, err := flinkRows(must[[]byte](t)(wire.AppendChange(nil, event.Change{Op: event.OpUpdate, After: row}))); err == nil {
		t.Error("the rule that an update needs its old row is not tested")
	}
}

// The envelope is what encoding/json would write, whatever the names hold.
func TestEnvelopeIsJSON(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "plain", `"`, `\`, `a"b\c`, "tab\t", "ü", "a\"ü\x00", "\xff", "\u2028"} {
		c := event.Change{Op: event.OpRead, After: json.RawMessage(`{}`), Source: event.ChangeSource{Name: s, Table: s}}
		back := must[event.Change](t)(wire.DecodeChange(must[[]byte](t)(wire.AppendChange(nil, c))))
		var want string
		if err := json.Unmarshal(must[[]byte](t)(json.Marshal(s)), &want); err != nil {
			t.Fatal(err)
		}
		if back.Source.Name != want || back.Source.Table != want {
			t.Errorf("%q: got %q and %q", s, back.Source.Name, back.Source.Table)
		}
	}
}

// Members of one connector alone come with that connector, and are read back.
func TestEnvelopeOfMySQL(t *testing.T) {
	t.Parallel()
	c := event.Change{Op: event.OpRead, After: json.RawMessage(`{}`), Source: event.ChangeSource{Connector: "mysql", DB: "shop", Table: "orders", BinlogSource: &event.BinlogSource{Pos: 4}}}
	value := must[[]byte](t)(wire.AppendChange(nil, c))
	want := must[[]byte](t)(json.Marshal(c))
	if string(value) != string(want) {
		t.Errorf("got\n%s\nwant\n%s", value, want)
	}
	if back := must[event.Change](t)(wire.DecodeChange(value)); back.Source.BinlogSource == nil || back.Source.Pos != 4 {
		t.Errorf("read back: %+v", back.Source)
	}
}
