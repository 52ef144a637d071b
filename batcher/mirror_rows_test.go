//go:build cgo

package batcher_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/wire"
)

var ordersColumns = []event.TableColumn{
	{Name: "id", Origin: "bigint", Form: event.FormNumber, Lake: "int64", Warehouse: "BIGINT", Key: 1},
	{Name: "Total", Origin: "numeric(10,2)", Form: event.FormText, Lake: "decimal(10,2)", Warehouse: "NUMERIC(10,2)", Nullable: true},
	{Name: "due", Origin: "date", Form: event.FormDays, Lake: "date", Warehouse: "DATE", Nullable: true},
	{Name: "at", Origin: "timestamptz", Form: event.FormISO, Lake: "timestamp", Warehouse: "TIMESTAMPTZ", Nullable: true},
	{Name: "local_at", Origin: "timestamp", Form: event.FormMicros, Lake: "timestamp", Warehouse: "TIMESTAMP", Nullable: true},
	{Name: "blob", Origin: "bytea", Form: event.FormBase64, Lake: "bytes", Warehouse: "VARBYTE(1000000)", Nullable: true},
	{Name: "doc", Origin: "jsonb", Form: event.FormJSONText, Lake: "json", Warehouse: "SUPER", Nullable: true},
	{Name: "ok", Origin: "boolean", Form: event.FormBool, Lake: "bool", Warehouse: "BOOLEAN", Nullable: true},
	{Name: "rate", Origin: "double precision", Form: event.FormNumber, Lake: "float64", Warehouse: "FLOAT8", Nullable: true},
	{Name: "small", Origin: "smallint", Form: event.FormNumber, Lake: "int16", Warehouse: "SMALLINT", Nullable: true},
}

func TestMirrorRowsEqualChanges(t *testing.T) {
	w := setup(t)
	w.start(quick(t))
	o := w.mirror("orders", ordersColumns)
	o.mark(wire.KindSchema, o.schema)
	o.mark(wire.KindPoll, event.Poll{V: 1, Poll: "01jd", Strategy: "incremental", Kind: event.PollIncremental, Publish: "upsert", State: "started", Parts: 1})
	o.change(event.OpRead, `{"id":42,"Total":"12.30","due":20776,"at":"2026-11-21T06:15:02.113402Z","local_at":1795241702113402,"blob":"AQI=","doc":"{\"a\":1}","ok":true,"rate":"NaN","small":-7}`)
	o.change(event.OpRead, `{"id":43,"Total":null}`)
	o.change(event.OpDelete, `{"id":42,"Total":"12.30"}`)
	o.change(event.OpRead, `{"id":44,"small":40000}`)  // beyond smallint
	o.change(event.OpRead, `{"id":44,"unheard_of":1}`) // not announced
	o.schema.Fingerprint = "sha256:" + strings.Repeat("ab", 32)
	o.change(event.OpRead, `{"id":45}`) // of a version that nobody has announced
	end := w.end(o.topic, 0)
	commits := w.until(o.topic, 0, end)
	w.sound()
	if got := sum(commits); got.primary != 3 || got.rejected != 3 || got.marks != 2 {
		t.Errorf("totals %+v", got)
	}
	rows := w.rows("shop_public.orders")
	if len(rows) != 3 {
		t.Fatalf("%d rows", len(rows))
	}
	first := rows[0]
	if diff := cmp.Diff("12.3", fmt.Sprint(first["total"])); diff != "" && fmt.Sprint(first["total"]) != "12.30" {
		t.Errorf("total %v", first["total"])
	}
	at := time.Date(2026, 11, 21, 6, 15, 2, 113_402_000, time.UTC)
	for name, want := range map[string]any{
		"id": int64(42), "due": time.Date(2026, 11, 19, 0, 0, 0, 0, time.UTC), "at": at, "local_at": at, "blob": []byte{1, 2}, "doc": `{"a":1}`,
		"ok": true, "small": int16(-7), "_op": "r", "_pass": int64(5), "_page": int64(9), "_strategy": "incremental", "_poll": "01jd",
		"_read_at": day, "_partition": int64(0), "_offset": int64(2),
	} {
		if diff := cmp.Diff(want, first[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if diff := cmp.Diff(row{
		"id": int64(42), "_op": "d", "_pass": int64(5), "_page": int64(9), "_strategy": "incremental", "_poll": "01jd",
		"_read_at": day, "_partition": int64(0), "_offset": int64(4),
	}, rows[2]); diff != "" {
		t.Errorf("deleted row (-want +got):\n%s", diff)
	}
	var marks []lake.Mark
	for _, c := range commits {
		for _, raw := range c.Marks {
			var m lake.Mark
			if err := json.Unmarshal(raw, &m); err != nil {
				t.Fatal(err)
			}
			marks = append(marks, m)
		}
	}
	if len(marks) != 1 || marks[0].Offset != 1 || marks[0].Target != "shop_public.orders" || marks[0].State != "started" {
		t.Errorf("marks %+v", marks)
	}
	if s, err := w.lake.LatestSchema(t.Context(), "shop_public.orders"); err != nil || len(s.Key) != 1 || s.Columns[1].Warehouse != "NUMERIC(10,2)" {
		t.Errorf("schema %+v, %v", s, err)
	}
}
