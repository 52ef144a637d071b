//go:build cgo

package probe

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/testkit/warehousetest"
	"github.com/millstream-data/millstream/internal/warehouse"
)

func setup(t *testing.T) (Deps, *warehouse.Conn) {
	t.Helper()
	_, l := testkit.Lake(t)
	client := warehousetest.Client(t, warehousetest.Server(t, l.Store, nil))
	conn, err := client.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return Deps{Warehouse: client, Store: l.Store, Prefix: "millstream", Local: true, Silence: time.Millisecond}, conn
}

// left says what a run left behind.
func left(t *testing.T, d Deps, conn *warehouse.Conn) string {
	t.Helper()
	res, err := conn.Exec(t.Context(), "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'millstream_probe%'")
	if err != nil {
		t.Fatal(err)
	}
	objects, err := d.Store.List(t.Context(), d.Prefix+"/_probe/", "", 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		res.Rows = append(res.Rows, []string{o.Key})
	}
	return answer(res)
}

func TestLocalRedshiftAnswersAsTheLoaderExpects(t *testing.T) {
	t.Parallel()
	d, conn := setup(t)
	n := 0
	probes := All()
	for i := range probes {
		if probes[i].manifest == thousands { // 5,000 objects are for a real store
			probes[i].manifest, probes[i].Expected = sound, "2"
		}
		if probes[i].Name == largeName {
			probes[i].files, probes[i].Expected = []file{{raw: large(1000)}}, "1000|64|64"
		}
	}
	err := Run(t.Context(), d, probes, func(r Result) {
		n++
		if !r.OK && !r.Known {
			t.Errorf("%s, %s: expected %q, seen %q", r.Area, r.Name, r.Expected, r.Seen)
		}
		if r.OK && r.Local != "" {
			t.Errorf("%s, %s: answers as a cluster does and need not be listed as different", r.Area, r.Name)
		}
	})
	if err != nil || n != len(probes) {
		t.Errorf("%d answers: %v", n, err)
	}
	if got := left(t, d, conn); got != "" {
		t.Errorf("left behind: %s", got)
	}
}

func TestInterruptedRunRemovesWhatItMade(t *testing.T) {
	t.Parallel()
	d, conn := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := Run(ctx, d, manifestProbes()[:3], func(Result) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if got := left(t, d, conn); got != "" {
		t.Errorf("left behind: %s", got)
	}
}

func TestDifferenceIsSeen(t *testing.T) {
	t.Parallel()
	d, _ := setup(t)
	probes := []Probe{
		{Area: areaSQL, Name: "same", Statements: []string{"SELECT 1"}, Expected: "1"},
		{Area: areaSQL, Name: "other", Statements: []string{"SELECT 2"}, Expected: "1"},
		{Area: areaSQL, Name: "known", Statements: []string{"SELECT 2"}, Expected: "1", Local: "2"},
		{Area: areaSQL, Name: "error", Statements: []string{"SELECT * FROM {s}.none", "SELECT 1"}, Expected: "error 42P01 does not exist"},
		{Area: areaSQL, Name: "no error", Statements: []string{"SELECT 1"}, Expected: "error 42P01 "},
	}
	var got []string
	if err := Run(t.Context(), d, probes, func(r Result) {
		if !r.OK {
			got = append(got, r.Name)
		}
		if r.Known != (r.Name == "known") {
			t.Errorf("%s: known %v", r.Name, r.Known)
		}
	}); err != nil || strings.Join(got, " ") != "other known no error" {
		t.Errorf("differ: %v, %v", got, err)
	}
}
