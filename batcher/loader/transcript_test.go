//go:build cgo

package loader

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/testkit/golden"
	"github.com/millstream-data/millstream/internal/testkit/warehousetest"
	"github.com/millstream-data/millstream/internal/warehouse"
	"github.com/millstream-data/millstream/internal/wire"
)

// transcript notes every statement of one loader.
type transcript struct {
	*kit
	w    *waves
	sent []string
}

func record(t *testing.T) *transcript {
	t.Helper()
	r := &transcript{kit: setup(t)}
	client := r.open()
	client.Trace = func(s string) { r.sent = append(r.sent, s) }
	r.client = client // of commands by hand, too
	l := r.loader(client, func(c *Config) { c.Connections, c.DDLTimeout = 1, time.Second })
	l.holder = "host/loader-1"
	r.w = r.tenure(l)
	return r
}

// wave makes a wave and keeps only its statements.
func (r *transcript) wave() {
	r.t.Helper()
	r.sent = nil
	r.kit.wave(r.w)
}

var (
	ulid    = regexp.MustCompile(`[0-9][0-9abcdefghjkmnpqrstvwxyz]{25}`)
	started = regexp.MustCompile(`'[0-9: .-]{23}', GETDATE\(\)`)
	sizes   = regexp.MustCompile(`, [0-9]+(, [0-9]+, [0-9]+, [0-9]+, [0-9]+, [0-9]+, '\[)`)
)

// normal takes away what differs from run to run: ids, the clock, the sizes of
// files.
func normal(text string) string {
	ids := map[string]string{}
	text = ulid.ReplaceAllStringFunc(text, func(id string) string {
		if ids[id] == "" {
			ids[id] = fmt.Sprintf("01jd3x9k2m7q8r5t6v0w1y%04d", len(ids)+1)
		}
		return ids[id]
	})
	return sizes.ReplaceAllString(started.ReplaceAllString(text, "'2026-11-21 06:15:30.000', GETDATE()"), ", 4711$1")
}

func (r *transcript) golden(name string) {
	r.t.Helper()
	golden.Equal(r.t, filepath.Join("testdata", "transcripts", name+".sql"), []byte(normal(strings.Join(r.sent, ";\n")+";\n")))
}

func TestTranscriptGolden(t *testing.T) {
	t.Parallel()
	t.Run("first start", func(t *testing.T) {
		t.Parallel()
		r := record(t)
		r.golden("first_start")
	})
	t.Run("events", func(t *testing.T) {
		t.Parallel()
		r := record(t)
		r.kit.wave(r.w)
		r.commit(3, table{name: "app.tracks", columns: eventColumns(), rows: events(2)})
		r.wave()
		r.golden("new_table")
		r.commit(3, table{name: "app.tracks", columns: eventColumns(col("coupon", wire.String)), rows: events(1, row{"coupon": "XMAS"})},
			table{name: "app.tracks", columns: eventColumns(col("coupon", wire.String), col("items", wire.JSON)), rows: events(1, row{"coupon": strings.Repeat("x", 100), "items": "[]"})})
		r.wave()
		r.golden("new_columns")
		r.commit(3, table{name: "app.tracks", columns: eventColumns(col("coupon", wire.String)), rows: events(1, row{"coupon": strings.Repeat("x", 300)})})
		r.wave()
		r.golden("widening")
	})
	t.Run("latest state", func(t *testing.T) {
		t.Parallel()
		r := record(t)
		r.kit.wave(r.w)
		r.commit(0, table{name: "app.identifies", columns: eventColumns(col("email", wire.String)), rows: events(1, row{"email": "a@example.com"})})
		r.wave()
		r.golden("users")
	})
	t.Run("mirror", func(t *testing.T) {
		t.Parallel()
		r := record(t)
		r.kit.wave(r.w)
		r.mirrorSchema("shop_public.orders", []string{"id"}, orderColumns)
		r.commit(0, table{name: "shop_public.orders", columns: orderColumns, rows: []row{{"id": int64(1), "total": 1.5, "_op": "r"}}})
		r.wave()
		r.golden("mirror")
	})
	t.Run("bounded poll", func(t *testing.T) {
		t.Parallel()
		r := record(t)
		o := r.origin(1)
		o.put(1, 10)
		o.flush()
		r.kit.wave(r.w)
		poll := o.begin(event.PollBounded, all)
		poll.poll.Range = &event.PollRange{Column: "v", Lo: "5", Hi: "20"}
		poll.end()
		o.flush()
		r.wave()
		r.golden("bounded")
	})
	t.Run("full refresh", func(t *testing.T) {
		t.Parallel()
		r := record(t)
		o := r.origin(1)
		o.put(1, 10)
		o.flush()
		r.kit.wave(r.w)
		o.begin(event.PollFull, all).end()
		o.flush()
		r.wave()
		r.golden("full_swap")
	})
	t.Run("metrics", func(t *testing.T) {
		t.Parallel()
		r := record(t)
		r.kit.wave(r.w)
		r.commitTo(lake.ChainID{Topic: "millstream.daily_metrics"}, nil, table{name: "millstream.daily_metrics", columns: cellColumns, rows: []row{cell(20000, 1, "total", row{"dims": "{}"})}})
		r.wave()
		r.golden("metrics")
	})
	t.Run("held target", func(t *testing.T) {
		t.Parallel()
		r := record(t)
		r.kit.wave(r.w)
		r.exec(`CREATE SCHEMA app`)
		r.exec(`CREATE TABLE app.sales (id VARCHAR(256), total BIGINT)`)
		r.commit(0, table{name: "app.sales", columns: eventColumns(col("total", wire.Float64)), rows: events(1, row{"total": 1.5})})
		r.wave()
		r.golden("held_target")
		r.exec(`DROP TABLE app.sales`)
		r.exec(`UPDATE millstream.held SET attempts = 0`)
		r.wave()
		r.golden("held_target_mended")
	})
}

func TestTranscriptByHandGolden(t *testing.T) {
	t.Parallel()
	t.Run("accounts", func(t *testing.T) {
		t.Parallel()
		r := record(t)
		r.kit.wave(r.w)
		cols := eventColumns(col("group_id", wire.String), col("name", wire.String))
		r.commit(0, table{name: "app.groups", columns: cols, rows: events(1, row{"group_id": "g", "name": "Initech"})})
		r.kit.wave(r.w)
		r.commit(0, table{name: "app.groups", columns: cols, rows: events(1, row{"group_id": "g", "name": "Initrode"})})
		r.wave()
		r.golden("accounts")
	})
	t.Run("file", func(t *testing.T) {
		t.Parallel()
		r := record(t)
		r.kit.wave(r.w)
		r.commit(0, table{name: "app.notes", columns: noteColumns, rows: events(2)})
		r.kit.wave(r.w)
		r.sent = nil
		key, body := r.heldFile(r.w)
		r.golden("held_file")
		if err := r.lake.Store.Put(t.Context(), key, body); err != nil {
			t.Fatal(err)
		}
		r.sent = nil
		r.retry("app.notes")
		r.golden("retry")
		r.wave()
		r.golden("repair")
		key, _ = r.heldFile(r.w)
		r.sent = nil
		if _, err := r.byHand().Skip(t.Context(), key, "the disk is gone"); err != nil {
			t.Fatal(err)
		}
		r.golden("skip")
	})
	t.Run("reload", func(t *testing.T) {
		t.Parallel()
		r := record(t)
		r.notes(2)
		r.kit.wave(r.w)
		r.sent = nil
		r.mustReload(Reload{Target: "app.notes"})
		r.golden("reload")
		day := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
		r.sent = nil
		r.mustReload(Reload{Target: "app.notes", Days: warehouse.Days{From: day, To: day.AddDate(0, 0, 1)}})
		r.golden("reload_days")
	})
	t.Run("takeover", func(t *testing.T) {
		t.Parallel()
		r := record(t)
		if err := r.w.conn.ReleaseLease(t.Context(), r.w.fence); err != nil {
			t.Fatal(err)
		}
		r.sent = nil
		if _, err := r.w.conn.TakeLease(t.Context(), "host/loader-2", time.Minute); err != nil {
			t.Fatal(err)
		}
		r.golden("takeover")
	})
}

func (k *kit) manifests() (out []string) {
	k.t.Helper()
	all, err := k.lake.Store.List(k.t.Context(), k.lake.Paths.Loads(), "", 0)
	if err != nil {
		k.t.Fatal(err)
	}
	for _, o := range all {
		if o.Key != k.lake.Paths.Positions() {
			out = append(out, o.Key)
		}
	}
	return out
}

func TestManifestGolden(t *testing.T) {
	t.Parallel()
	k := setup(t)
	for part := range int32(2) {
		k.commit(part, table{name: "app.tracks", columns: eventColumns(), rows: events(1 + int(part))})
	}
	var keys []string
	var body []byte
	client := warehousetest.Client(t, k.server)
	client.Trace = func(statement string) {
		if !strings.HasPrefix(statement, "COPY") {
			return
		}
		var err error
		if keys = k.manifests(); len(keys) == 1 {
			body, err = k.lake.Store.Get(t.Context(), keys[0])
		}
		if err != nil {
			t.Error(err)
		}
	}
	k.wave(k.tenure(k.loader(client)))
	if left := k.manifests(); len(keys) != 1 || len(left) > 0 {
		t.Fatalf("manifests at COPY: %v, after it: %v", keys, left)
	}
	m, err := wire.DecodeManifest(body)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range m.Entries {
		info, err := k.lake.Store.Head(t.Context(), strings.TrimPrefix(e.URL, "s3://"+k.lake.Store.Bucket()+"/"))
		if err != nil || info.Size != e.Meta.ContentLength || !e.Mandatory {
			t.Errorf("entry %+v of an object of %d bytes: %v", e, info.Size, err)
		}
	}
	golden.Equal(t, filepath.Join("testdata", "manifest.json"), regexp.MustCompile(`"content_length":[0-9]+`).ReplaceAll(body, []byte(`"content_length":4711`)))
}

// TestDocsShowTheTranscripts wants each transcript in docs/warehouse.md as it is.
func TestDocsShowTheTranscripts(t *testing.T) {
	t.Parallel()
	path := filepath.Join("..", "..", "docs", "warehouse.md")
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)<!-- transcript ([a-z_]+) -->\n```sql\n.*?```\n")
	shown := 0
	got := block.ReplaceAllFunc(doc, func(b []byte) []byte {
		name := string(block.FindSubmatch(b)[1])
		text, err := os.ReadFile(filepath.Join("testdata", "transcripts", name+".sql"))
		if err != nil {
			t.Fatal(err)
		}
		shown++
		return fmt.Appendf(nil, "<!-- transcript %s -->\n```sql\n%s```\n", name, text)
	})
	if shown == 0 {
		t.Fatal("the document shows none")
	}
	golden.Equal(t, path, got)
}
