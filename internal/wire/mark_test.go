package wire_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

const poll = "01jd3x9k2m7q8r5t6v0w1y2z3a"

func orders() event.TableSchema {
	cols := []event.TableColumn{
		{Name: "id", Origin: "bigint", Form: event.FormNumber, Lake: "int64", Warehouse: "BIGINT", Key: 1},
		{Name: "total", Origin: "numeric(10,2)", Form: event.FormText, Lake: "decimal(10,2)", Warehouse: "NUMERIC(10,2)", Nullable: true},
	}
	return event.TableSchema{
		V: 1, Source: "shop", Schema: "public", Table: "orders", Version: 3, Fingerprint: wire.TableFingerprint(cols), Key: []string{"id"},
		Cursor: "updated_at", Renamed: map[string]string{"amount": "total"}, Retyped: []string{}, Dropped: []string{"legacy"}, Columns: cols,
	}
}

type change struct {
	Key    string
	Header wire.ChangeHeader
	Change event.Change
}

func changeOf(op event.Op) change {
	xmin := int64(7321)
	c := change{
		`{"id":42}`,
		wire.ChangeHeader{
			Kind: wire.KindChange, Source: "shop", Table: "public.orders", Op: op, Strategy: "incremental", Poll: poll,
			Schema: wire.Schema16(orders().Fingerprint), Version: "7321",
		},
		event.Change{
			After: json.RawMessage(`{"id":42,"total":"12.30","due":20776,"note":"a<b & c","updated_at":"2026-11-21T06:15:02.113402Z"}`),
			Source: event.ChangeSource{
				Version: "0.1.0", Connector: "postgresql", Name: "shop", TSMillis: 1795241702113, TSMicros: 1795241702113402, TSNanos: 1795241702113402000,
				Snapshot: "false", DB: "shop", Sequence: wire.Sequence(7, 4512), Schema: "public", Table: "orders", TxID: &xmin, Xmin: &xmin,
				Strategy: "incremental", Poll: poll,
			},
			Op: op, TSMillis: 1795241703480, TSMicros: 1795241703480117, TSNanos: 1795241703480117000,
		},
	}
	if op == event.OpDelete {
		c.Header.Strategy, c.Header.Version = "reconcile", "00000000000000000000000000000000"
		c.Change.Before, c.Change.After = json.RawMessage(`{"id":42}`), nil
		c.Change.Source.TxID, c.Change.Source.Xmin, c.Change.Source.Strategy, c.Change.Source.Snapshot = nil, nil, "reconcile", "incremental"
	}
	return c
}

func changeFormat(op event.Op) format {
	want := changeOf(op)
	return format{want, func(t *testing.T) []byte {
		value := must[[]byte](t)(wire.AppendChange(nil, want.Change))
		return record{[]byte(want.Key), wire.AppendChangeHeaders[wire.Header](nil, want.Header), value}.text()
	}, func(t *testing.T, text []byte) any {
		r := parseRecord(t, text)
		return change{
			string(r.key), must[wire.ChangeHeader](t)(wire.ParseChangeHeaders(r.headers)),
			must[event.Change](t)(wire.DecodeChange(r.value)),
		}
	}}
}

// tombstoneFormat is the record after a delete: its key and headers, no value.
func tombstoneFormat() format {
	want := changeOf(event.OpDelete)
	want.Change = event.Change{}
	return format{want, func(*testing.T) []byte {
		return record{[]byte(want.Key), wire.AppendChangeHeaders[wire.Header](nil, want.Header), nil}.text()
	}, func(t *testing.T, text []byte) any {
		r := parseRecord(t, text)
		if r.value != nil {
			t.Errorf("a tombstone has no value, this one has %s", r.value)
		}
		return change{Key: string(r.key), Header: must[wire.ChangeHeader](t)(wire.ParseChangeHeaders(r.headers))}
	}}
}

func markFormats() map[string]format {
	through := "2026-11-21T06:15:01.102Z"
	completed := event.Poll{
		V: 1, Poll: poll, Strategy: "bounded", Kind: event.PollBounded, Publish: "replace", State: "completed", Parts: 4, Rows: 48211,
		Range:           &event.PollRange{Column: "created_at", Lo: "2026-11-20T06:15:01.102Z", Hi: "2026-11-21T06:15:02.113Z"},
		CompleteThrough: &through, Basis: "activity", Clock: "database",
	}
	return map[string]format{
		"schema_v1.json": markFormat(wire.KindSchema, orders(), wire.DecodeTableSchema),
		"poll_v1.json":   markFormat(wire.KindPoll, completed, wire.DecodePoll),
	}
}

func markFormat[T any](kind wire.Kind, want T, decode func([]byte) (T, error)) format {
	return format{want, func(t *testing.T) []byte {
		body := must[[]byte](t)(wire.EncodeMark(&want))
		h := wire.ChangeHeader{Kind: kind, Source: "shop", Table: "public.orders", Body: body}
		return record{wire.MarkKey(kind), wire.AppendChangeHeaders[wire.Header](nil, h), nil}.text()
	}, func(t *testing.T, text []byte) any {
		r := parseRecord(t, text)
		h := must[wire.ChangeHeader](t)(wire.ParseChangeHeaders(r.headers))
		if h.Kind != kind || string(r.key) != string(wire.MarkKey(kind)) || r.value != nil {
			t.Errorf("kind %s, key %s, value %q", h.Kind, r.key, r.value)
		}
		return must[T](t)(decode(h.Body))
	}}
}

func TestMarksOfATableWithoutKeyHaveEmptyLists(t *testing.T) {
	t.Parallel()
	for _, mark := range []any{event.TableSchema{V: 1}, &event.TableSchema{V: 1}} {
		body := must[[]byte](t)(wire.EncodeMark(mark))
		if strings.Contains(string(body), "null") {
			t.Errorf("%T: %s", mark, body)
		}
	}
}

func TestATableFingerprintChangesWithWhatReadersTakeFromIt(t *testing.T) {
	t.Parallel()
	base := orders().Columns
	seen := map[string]string{wire.TableFingerprint(base): "nothing"}
	for what, change := range map[string]func(c []event.TableColumn){
		"name": func(c []event.TableColumn) { c[1].Name = "sum" }, "origin": func(c []event.TableColumn) { c[1].Origin = "numeric(12,2)" },
		"lake": func(c []event.TableColumn) { c[1].Lake = "string" }, "key": func(c []event.TableColumn) { c[1].Key = 2 },
		"order": func(c []event.TableColumn) { c[0], c[1] = c[1], c[0] },
	} {
		cols := append([]event.TableColumn{}, base...)
		change(cols)
		f := wire.TableFingerprint(cols)
		if other, ok := seen[f]; ok {
			t.Errorf("a change of %s gives the fingerprint of a change of %s", what, other)
		}
		seen[f] = what
	}
	if got := wire.Schema16("sha256:0123456789abcdef0123"); got != "0123456789abcdef" {
		t.Errorf("short form %q", got)
	}
}

func TestRowsKeepTheirText(t *testing.T) {
	t.Parallel()
	const after = `{"id":9007199254740993,"p":1.0,"note":"a<b & c>d","big":1e400}`
	value := must[[]byte](t)(wire.AppendChange([]byte("x"), event.Change{After: json.RawMessage(after), Op: event.OpRead}))
	if !strings.HasPrefix(string(value), "x{") || !strings.Contains(string(value), after) {
		t.Fatalf("written as %s", value)
	}
	back := must[event.Change](t)(wire.DecodeChange(value[1:]))
	if diff := cmp.Diff(after, string(back.After)); diff != "" {
		t.Error(diff)
	}
}
