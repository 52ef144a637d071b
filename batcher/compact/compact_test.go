//go:build cgo

package compact_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/duckdb/duckdb-go/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/batcher/compact"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

// duck is one database for all tests: opening one takes longer than a test.
var duck = sync.OnceValues(func() (*sql.DB, error) { return sql.Open("duckdb", "") })

// readRows reads a file with DuckDB, as text in the order of the file.
func readRows(t *testing.T, path string, columns wire.Columns) (out []string) {
	t.Helper()
	db, err := duck()
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{"id"}
	for _, c := range columns[4:] {
		texts = append(texts, "coalesce("+c.Name+", '')")
	}
	res, err := db.QueryContext(t.Context(), "SELECT "+strings.Join(texts, " || '|' || ")+" FROM read_parquet('"+path+"', hive_partitioning=false)")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Close()
	for res.Next() {
		var row string
		if err := res.Scan(&row); err != nil {
			t.Fatal(err)
		}
		out = append(out, row+strings.Repeat("|", 8-len(columns)))
	}
	if err := res.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSmallFilesBecomeOneInOrder(t *testing.T) {
	k := setup(t)
	for i := range 4 {
		k.commit("app.tracks", 0, 1+i/2, 50)
		k.commit("app.tracks", 1, 1, 30)
	}
	done := k.round(k.options())
	if len(done) != 1 || done[0].Replaced != 8 || done[0].Files != 1 || done[0].Rows != 320 || done[0].Generation != 1 {
		t.Fatalf("done %+v", done)
	}
	k.sound()
	files, err := k.lake.Files(t.Context(), "app.tracks", "2026-11-21")
	k.must(err)
	if len(files) != 1 {
		t.Fatalf("%d files", len(files))
	}
	f := files[0]
	if f.First != 0 || f.Next != 200 || f.Rows != 320 || f.MaxBytes["id"] != 5 || f.MaxBytes["c2"] != 9 ||
		!f.MinReceivedAt.Equal(hour) || !f.MaxReceivedAt.Equal(hour.Add(199*time.Millisecond)) {
		t.Errorf("the file is described as %+v", f)
	}
	rows := k.rows("app.tracks")
	if rows[0] != "0-0||||" || rows[199] != `0-199|{"n":199}|||` || rows[200] != "1-0||||" || rows[319] != "1-119||||" {
		t.Errorf("order: %q %q %q %q", rows[0], rows[199], rows[200], rows[319])
	}
	if again := k.round(k.options()); len(again) != 0 {
		t.Errorf("the next round has done %+v", again)
	}
}

func TestWhatIsNotWorthItStaysAsItIs(t *testing.T) {
	k := setup(t)
	for range 4 {
		k.commit("app.tracks", 0, 1, 10)
	}
	k.commit("app.pages", 1, 1, 10)
	for name, tweak := range map[string]func(o *compact.Options){
		"few files":   func(o *compact.Options) { o.MinFiles = 4 },
		"large files": func(o *compact.Options) { o.Small = 100 },
		"late events": func(o *compact.Options) { o.Grace = 5 * time.Hour },
	} {
		o := k.options()
		tweak(&o)
		if done := k.round(o); len(done) > 0 {
			t.Errorf("%s: %+v", name, done)
		}
	}
	for name, s := range map[string]compact.Scope{
		"another table": {Table: "app.pages"}, "another day": {DT: "2026-11-20"}, "before": {Since: now.Add(-3 * time.Hour)},
	} {
		k.must(k.compactor(k.lake, k.options()).Round(t.Context(), s, now, func(r compact.Result) { t.Errorf("%s: %+v", name, r) }))
	}
	err := k.compactor(k.lake, k.options()).Round(t.Context(), compact.Scope{Table: "app.nope"}, now, func(compact.Result) {})
	if err == nil || err.Error() != "table app.nope: the lake has no data of it" {
		t.Errorf("a table that is not there: %v", err)
	}
	for name, s := range map[string]compact.Scope{"the table": {Table: "app.tracks", DT: "2026-11-21", Since: hour}} {
		n := 0
		k.must(k.compactor(k.lake, k.options()).Round(t.Context(), s, now, func(compact.Result) { n++ }))
		if n != 1 {
			t.Errorf("%s: %d compactions", name, n)
		}
	}
	k.sound()
}

// A compactor that goes on for ever reads the commits of an hour again only when
// there is something new in it.
func TestHoursThatHaveSettledCostAList(t *testing.T) {
	k := setup(t)
	for range 4 {
		k.commit("app.tracks", 0, 1, 10)
	}
	c := k.compactor(k.lake, k.options())
	round := func() (done, gets int) {
		var n atomic.Int32
		k.s3.SetIntercept(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			if r.Method == http.MethodGet && r.URL.Query().Get("list-type") == "" {
				n.Add(1)
			}
			return false
		})
		k.must(c.Round(t.Context(), compact.Scope{}, now, func(compact.Result) { done++ }))
		return done, int(n.Load())
	}
	if done, _ := round(); done != 1 {
		t.Errorf("%d compactions", done)
	}
	if done, gets := round(); done != 0 || gets == 0 {
		t.Errorf("after the compaction: %d compactions, %d objects read", done, gets)
	}
	if done, gets := round(); done != 0 || gets != 0 {
		t.Errorf("when nothing has changed: %d compactions, %d objects read", done, gets)
	}
	for range 3 {
		k.commit("app.tracks", 0, 1, 10)
	}
	if done, _ := round(); done != 1 {
		t.Errorf("after late files: %d compactions", done)
	}
	k.sound()
}

func TestOrphansAreNotCompacted(t *testing.T) {
	k := setup(t)
	s := k.schema("app.tracks", lake.SchemaEvents, 1)
	for range 4 {
		k.commit("app.tracks", 0, 1, 10)
	}
	want := slices.Clone(k.want["app.tracks"])
	k.file(s, lake.ChainID{Topic: topic}, 5, 7) // rows of committed offsets, in a file that nobody names
	k.want["app.tracks"] = want
	if done := k.round(k.options()); len(done) != 1 || done[0].Replaced != 4 {
		t.Errorf("done %+v", done)
	}
	k.sound()
}

func TestSecondGenerationTakesTheFirstAndLateFiles(t *testing.T) {
	k := setup(t)
	for range 4 {
		k.commit("app.tracks", 0, 1, 20)
		k.commit("app.tracks", 1, 1, 20)
	}
	o := k.options()
	o.MaxBytes = 1 // each write makes a file
	if done := k.round(o); len(done) != 1 {
		t.Fatalf("done %+v", done)
	}
	for range 3 { // late events, of a newer version; their rows lie between those of the first generation
		k.commit("app.tracks", 0, 3, 20)
	}
	done := k.round(k.options())
	if len(done) != 1 || done[0].Generation != 2 || done[0].Files != 1 || done[0].Rows != 220 {
		t.Fatalf("done %+v", done)
	}
	k.sound()
	files, err := k.lake.Files(t.Context(), "app.tracks", "")
	k.must(err)
	if len(files) != 1 || files[0].Rows != 220 {
		t.Errorf("readers take %+v", files)
	}
}

func TestOutputsEndAtTheirSize(t *testing.T) {
	k := setup(t)
	for range 4 {
		k.commit("app.tracks", 0, 1, 5000)
	}
	o := k.options()
	o.MaxBytes = 1
	done := k.round(o)
	if len(done) != 1 || done[0].Files < 2 || done[0].Files > 4 || done[0].Rows != 20_000 {
		t.Errorf("done %+v", done)
	}
	k.sound()
}

func TestVersionsOfAMirrorAreNotMixed(t *testing.T) {
	k := setup(t)
	id := lake.ChainID{Topic: "millstream.changes.shop.public.orders"}
	for i := range 9 {
		k.commitOf("shop_public.orders", lake.SchemaMirror, id, 1+i%2, 10)
	}
	var schemas []string
	for range 3 {
		for _, r := range k.round(k.options()) {
			all, err := k.lake.Compactions(t.Context(), r.Hour)
			k.must(err)
			schemas = append(schemas, all[r.Generation-1].Files[0].Schema)
		}
	}
	if len(schemas) != 2 || schemas[0] == schemas[1] {
		t.Errorf("compactions with the schemas %v", schemas)
	}
	k.sound()
}

// The offsets of two topics say nothing of each other: a table whose topic got
// another name has rows of both.
func TestTopicsAreNotMixed(t *testing.T) {
	k := setup(t)
	for range 4 {
		for _, topic := range []string{"millstream.changes.shop.public.orders", "millstream.changes.shop.public.orders2"} {
			k.commitOf("shop_public.orders", lake.SchemaMirror, lake.ChainID{Topic: topic}, 1, 10)
		}
	}
	o := k.options()
	if first, second := k.round(o), k.round(o); len(first) != 1 || len(second) != 1 || first[0].Replaced != 4 || second[0].Replaced != 4 {
		t.Errorf("done %+v, then %+v", first, second)
	}
	for range 3 {
		k.commitOf("shop_public.orders", lake.SchemaMirror, lake.ChainID{Topic: "millstream.changes.shop.public.orders2"}, 1, 10)
	}
	if done := k.round(o); len(done) != 1 || done[0].Replaced != 4 || done[0].Rows != 70 {
		t.Errorf("done %+v", done)
	}
	k.sound()
}

// A compactor that dies before or after any of its puts leaves the object
// missing or whole, and readers see the same rows.
func TestCrashInCompaction(t *testing.T) {
	t.Parallel()
	for step := range 4 { // two data objects, the compaction, and none
		for _, landed := range []bool{false, true} {
			t.Run(fmt.Sprintf("put %d, landed %v", step+1, landed), func(t *testing.T) {
				k := setup(t)
				for range 4 {
					k.commit("app.tracks", 0, 1, 2500)
				}
				o := k.options()
				o.MaxBytes = 1
				k.crash(o, step, landed)
				k.sound()
				all, err := k.lake.CompactionsOf(t.Context(), "app", "tracks", "")
				k.must(err)
				whole := len(all) == 1
				if whole != (step == 2 && landed || step == 3) {
					t.Errorf("%d compactions after the crash", len(all))
				}
				if done := k.round(o); whole == (len(done) == 1) {
					t.Errorf("%d compactions after the crash, then %+v", len(all), done)
				}
				k.sound()
			})
		}
	}
}

// crash runs a compactor whose store is gone from its step-th put on.
func (k *kit) crash(o compact.Options, step int, landed bool) {
	k.t.Helper()
	var puts atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(puts.Load())
		if r.Method == http.MethodPut {
			n = int(puts.Add(1)) - 1
			if n == step && landed {
				k.s3.ServeHTTP(httptest.NewRecorder(), r)
			}
		}
		if n >= step && (r.Method == http.MethodPut || n > step) {
			panic(http.ErrAbortHandler)
		}
		k.s3.ServeHTTP(w, r)
	}))
	defer srv.Close()
	cfg := testkit.S3Config(k.s3)
	cfg.Endpoint, cfg.MaxAttempts = srv.URL, 1
	store, err := objstore.New(k.t.Context(), cfg, testkit.Bucket, prometheus.NewRegistry())
	k.must(err)
	err = k.compactor(&lake.Lake{Store: store, Paths: k.lake.Paths}, o).Round(k.t.Context(), compact.Scope{}, now, func(compact.Result) {})
	if (err == nil) != (int(puts.Load()) <= step) {
		k.t.Errorf("%d puts, crash at %d: %v", puts.Load(), step, err)
	}
}

func TestOfTwoCompactorsOneWins(t *testing.T) {
	k := setup(t)
	for range 5 {
		k.commit("app.tracks", 0, 1, 40)
	}
	// Both have written their files before either puts its object.
	var meet sync.WaitGroup
	meet.Add(2)
	k.s3.SetIntercept(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/_compact/") {
			meet.Done()
			meet.Wait()
		}
		return false
	})
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 2 {
		c := k.compactor(k.lake, k.options())
		wg.Go(func() {
			if err := c.Round(t.Context(), compact.Scope{}, now, func(compact.Result) { won.Add(1) }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d compactors have won", won.Load())
	}
	k.sound()
	objects, _, err := k.lake.Objects(t.Context(), "app", "tracks", "2026-11-21")
	k.must(err)
	if len(objects) != 5+2 {
		t.Errorf("%d objects: 5 replaced, the winner's and the loser's orphan", len(objects))
	}
}

func TestInputThatIsNotWhatTheLakeSaysIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(k *kit, f lake.File) error{
		"other bytes": func(k *kit, f lake.File) error {
			return k.lake.Store.Put(k.t.Context(), f.Key, bytes.Repeat([]byte("x"), int(f.Bytes)))
		},
		"gone": func(k *kit, f lake.File) error { return k.lake.Store.Delete(k.t.Context(), f.Key) },
	} {
		t.Run(name, func(t *testing.T) {
			k := setup(t)
			var f lake.File
			for range 5 {
				f = k.commit("app.tracks", 0, 1, 10)
			}
			for range 4 {
				k.commit("app.pages", 1, 1, 10)
			}
			if name == "gone" { // between the list and the read
				k.s3.SetIntercept(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
					if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, f.Key) {
						return false
					}
					w.WriteHeader(http.StatusNotFound)
					return true
				})
			} else {
				k.must(damage(k, f))
			}
			var done []compact.Result
			err := k.compactor(k.lake, k.options()).Round(t.Context(), compact.Scope{}, now, func(r compact.Result) { done = append(done, r) })
			if err == nil || !strings.Contains(err.Error(), "compact app.tracks 2026-11-21 06: ") {
				t.Errorf("got %v", err)
			}
			if len(done) != 1 || done[0].Hour.Table != "pages" {
				t.Errorf("the other table: %+v", done)
			}
		})
	}
}

// What verify --deep computes can be computed by anybody.
func TestLineageIsWhatDuckDBComputes(t *testing.T) {
	k := setup(t)
	for range 4 {
		k.commit("app.tracks", 0, 1, 20)
		k.commit("app.tracks", 10, 1, 20)
	}
	k.round(k.options())
	all, err := k.lake.CompactionsOf(t.Context(), "app", "tracks", "")
	k.must(err)
	b, err := k.lake.Store.Get(t.Context(), all[0].Files[0].Key)
	k.must(err)
	path := filepath.Join(t.TempDir(), "f.parquet")
	k.must(os.WriteFile(path, b, 0o600))
	db, err := duck()
	k.must(err)
	var got string
	k.must(db.QueryRowContext(t.Context(), `SELECT 'sha256:' || sha256(string_agg(_partition || chr(9) || _offset || chr(10), '' ORDER BY _partition, _offset)) FROM '`+path+`'`).Scan(&got))
	if got != all[0].Lineage {
		t.Errorf("DuckDB computes %s, the compaction has %s", got, all[0].Lineage)
	}
}

func TestDeepNamesEachFinding(t *testing.T) {
	k := setup(t)
	good := k.commit("app.tracks", 0, 1, 10)
	other := k.commit("app.pages", 0, 1, 10)
	n := &compact.Inspector{Store: k.lake.Store, Dir: t.TempDir()}
	f := func(want string, disturb func(f *lake.File, cs *wire.Columns)) {
		t.Helper()
		f, cs := good, columns(lake.SchemaEvents, 1)
		disturb(&f, &cs)
		got, err := n.Deep(t.Context(), f, cs)
		k.must(err)
		if joined := strings.Join(got, "\n"); want == "" && joined != "" || !strings.Contains(joined, want) {
			t.Errorf("got %q, want %q", joined, want)
		}
	}
	f("", func(*lake.File, *wire.Columns) {})
	f("has the SHA-256", func(f *lake.File, _ *wire.Columns) { f.SHA256 = strings.Repeat("0", 64) })
	f("has the CRC32C", func(f *lake.File, _ *wire.Columns) { f.CRC32C = "AAAAAA==" })
	f("has 10 rows in its footer, the lake says 11", func(f *lake.File, _ *wire.Columns) { f.Rows = 11 })
	f("has the offsets 0 to 9, the lake says [1, 10)", func(f *lake.File, _ *wire.Columns) { f.First = 1 })
	f("there is no column c2", func(_ *lake.File, cs *wire.Columns) { *cs = columns(lake.SchemaEvents, 2) })
	f("has the columns [id received_at _partition _offset], its schema is", func(_ *lake.File, cs *wire.Columns) { *cs = (*cs)[:3] })
	f("says that it is of \"app.pages\", the lake says app.tracks", func(f *lake.File, _ *wire.Columns) { f.Key = other.Key })
	k.must(k.lake.Store.Put(t.Context(), good.Key, []byte("PAR1 and nothing else PAR1")))
	f("is not readable", func(*lake.File, *wire.Columns) {})
	if _, err := n.Deep(t.Context(), lake.File{Key: "millstream/none"}, nil); !errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("a missing object: %v", err)
	}
	_, whole, err := n.Lineage(t.Context(), []string{other.Key, "millstream/none"})
	if whole || err != nil {
		t.Errorf("a lineage with a missing object: %v, %v", whole, err)
	}
}

func TestRoundEndsWithItsContext(t *testing.T) {
	k := setup(t)
	for range 4 {
		k.commit("app.tracks", 0, 1, 10)
	}
	ctx, cancel := context.WithCancel(t.Context())
	k.s3.SetIntercept(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Method == http.MethodPut {
			cancel()
		}
		return false
	})
	if err := k.compactor(k.lake, k.options()).Round(ctx, compact.Scope{}, now, func(compact.Result) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	k.sound()
}
