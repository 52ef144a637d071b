//go:build cgo

package batcher_test

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// The ends of every type come back as they were sent, to DuckDB and to
// parquet-go, from files that were put through failures: an answer that was lost,
// a body that was cut, a commit that landed after its time-out.
func TestRowsEqualEventsAfterFailures(t *testing.T) {
	w := setup(t)
	g := w.gate()
	var calls atomic.Int64
	g.set(func(rw http.ResponseWriter, r *http.Request, next http.Handler) bool {
		switch n := calls.Add(1); {
		case !isPut(r) || n%2 == 0:
			return false
		case n%3 == 0:
			next.ServeHTTP(httptest.NewRecorder(), r)
		}
		dead(rw)
		return true
	})
	w.startWith(quick(t), g.lake)
	micro := func(text string) time.Time {
		v, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		return v.UTC()
	}
	long := strings.Repeat("ü", 32_767)
	values := []struct {
		name, json string
		want       any
	}{
		{"int_min", "-9223372036854775808", int64(math.MinInt64)},
		{"int_max", "9223372036854775807", int64(math.MaxInt64)},
		{"int_above_double", "9007199254740993", int64(1<<53 + 1)},
		{"beyond_int", "9223372036854775808", "9223372036854775808"},
		{"float_max", "1.7976931348623157e308", math.MaxFloat64},
		{"float_min", "4.9e-324", math.SmallestNonzeroFloat64},
		{"float_third", "0.3333333333333333", 1.0 / 3},
		{"float_minus", "-1.5e-7", -1.5e-7},
		{"beyond_double", "1e400", "1e400"},
		{"yes", "true", true},
		{"no", "false", false},
		{"micros", `"2026-11-21T06:15:02.113456Z"`, micro("2026-11-21T06:15:02.113456Z")},
		{"zoned", `"2026-11-21T06:15:02.000001+14:00"`, micro("2026-11-20T16:15:02.000001Z")},
		{"before_1970", `"1969-12-31T23:59:59.999999Z"`, micro("1969-12-31T23:59:59.999999Z")},
		{"first_year", `"0001-01-01T00:00:00Z"`, micro("0001-01-01T00:00:00Z")},
		{"last_year", `"9999-12-31T23:59:59.999999Z"`, micro("9999-12-31T23:59:59.999999Z")},
		{"date_is_text", `"2026-11-21"`, "2026-11-21"},
		{"unicode", `"日本 \ud83d\ude00 e\u0301 \u2028 \"\\\/"`, "日本 😀 e\u0301 \u2028 \"\\/"},
		{"empty", `""`, ""},
		{"long", `"` + long + `"`, long},
		{"list", `[1,"a",null,{"b":[]}]`, `[1,"a",null,{"b":[]}]`},
		{"nothing", "null", nil},
	}
	var props []string
	want := row{}
	for _, v := range values {
		props = append(props, fmt.Sprintf("%q:%s", v.name, v.json))
		if v.want != nil {
			want[v.name] = v.want
		}
	}
	w.send(0, track("app", "ends", "Ends", day, "{"+strings.Join(props, ",")+"}"), track("app", "none", "Ends", day, "{}"))

	m := w.mirror("ledger", []event.TableColumn{
		{Name: "id", Origin: "bigint", Form: event.FormNumber, Lake: "int64", Warehouse: "BIGINT", Key: 1},
		{Name: "cents", Origin: "numeric(10,2)", Form: event.FormText, Lake: "decimal(10,2)", Warehouse: "NUMERIC(10,2)", Nullable: true},
		{Name: "whole", Origin: "numeric(38,0)", Form: event.FormText, Lake: "decimal(38,0)", Warehouse: "NUMERIC(38,0)", Nullable: true},
		{Name: "fine", Origin: "numeric(38,37)", Form: event.FormText, Lake: "decimal(38,37)", Warehouse: "NUMERIC(38,37)", Nullable: true},
	})
	m.mark(wire.KindSchema, m.schema)
	nines := strings.Repeat("9", 38)
	m.change(event.OpCreate, fmt.Sprintf(`{"id":1,"cents":"-99999999.99","whole":"%s","fine":"-9.%s"}`, nines, nines[1:]))
	m.change(event.OpCreate, fmt.Sprintf(`{"id":2,"cents":"0.01","whole":"-%s","fine":"0.%s1"}`, nines, strings.Repeat("0", 36)))
	m.change(event.OpCreate, `{"id":3}`)

	w.until(w.names.Events(), 0, 2)
	w.until(m.topic, 0, 4)
	w.sound()
	rows := w.rows("app.ends")
	if len(rows) != 2 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, v := range values {
		if diff := cmp.Diff(want[v.name], rows[0][v.name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", v.name, diff)
		}
		if rows[1][v.name] != nil {
			t.Errorf("%s is not NULL: %v", v.name, rows[1][v.name])
		}
	}
	files := w.files("shop_public.ledger")["shop_public.ledger"]
	ledger := w.sameToBoth(files)
	for i, of := range []map[string]any{
		{"cents": "-99999999.99", "whole": nines, "fine": "-9." + nines[1:]},
		{"cents": "0.01", "whole": "-" + nines, "fine": "0." + strings.Repeat("0", 36) + "1"},
		{},
	} {
		for _, name := range []string{"cents", "whole", "fine"} {
			if diff := cmp.Diff(of[name], ledger[i][name]); diff != "" {
				t.Errorf("row %d, %s (-want +got):\n%s", i, name, diff)
			}
		}
	}
}
