//go:build cgo

package loader

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/warehouse"
	"github.com/millstream-data/millstream/internal/wire"
)

// byHand are the commands of somebody at the terminal.
func (k *kit) byHand() ByHand { return ByHand{Config: testConfig(), Warehouse: k.client} }

// retry is millstream loader retry.
func (k *kit) retry(target string) {
	k.t.Helper()
	if held, err := k.byHand().Retry(k.t.Context(), target); err != nil || len(held) == 0 {
		k.t.Fatalf("retry %s: %v, %v", target, held, err)
	}
}

// heldFile commits a file that COPY refuses, loads what can be, and returns its
// key and the bytes that were missing.
func (k *kit) heldFile(w *waves) (key string, body []byte) {
	k.t.Helper()
	c := k.commit(0, table{name: "app.notes", columns: noteColumns, rows: events(3)})
	key = c.Files[0].Key
	body, err := k.lake.Store.Get(k.t.Context(), key)
	if err != nil {
		k.t.Fatal(err)
	}
	if err := k.lake.Store.Delete(k.t.Context(), key); err != nil {
		k.t.Fatal(err)
	}
	k.wave(w)
	return key, body
}

func TestSkippedFileIsNeverTriedAgain(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	k.commit(0, table{name: "app.notes", columns: noteColumns, rows: events(2)})
	key, body := k.heldFile(w)
	if _, err := k.byHand().Skip(t.Context(), "nonesuch", "why"); err == nil || !strings.Contains(err.Error(), key) {
		t.Errorf("a file that is not held was skipped, or the error names none that is: %v", err)
	}
	if held, err := k.byHand().Skip(t.Context(), key, "the disk is gone"); err != nil || len(held) != 1 {
		t.Fatalf("skip: %v, %v", held, err)
	}
	if got := k.one("SELECT reason, error FROM millstream.held"); !strings.HasPrefix(got, "skipped|the disk is gone | XX000") {
		t.Errorf("held: %s", got)
	}
	if _, err := k.byHand().Retry(t.Context(), "app.notes"); err == nil {
		t.Error("what was given up for good is tried again")
	}
	if err := k.lake.Store.Put(t.Context(), key, body); err != nil {
		t.Fatal(err)
	}
	k.exec("UPDATE millstream.held SET attempts = 0")
	w.lowWritten = time.Time{}
	k.wave(w)
	if got := k.one("SELECT COUNT(*) FROM app.notes"); got != "2" {
		t.Errorf("%s notes, want 2", got)
	}
	if skipped, held := value(t, w.metrics.skippedFiles), value(t, w.metrics.heldFiles); skipped != 1 || held != 0 {
		t.Errorf("%v files are called skipped and %v held, want 1 and 0", skipped, held)
	}
	if got := w.said.Load().Sentence; !strings.HasPrefix(got, "Loading") {
		t.Errorf("health says %q", got)
	}
	body, err := k.lake.Store.Get(t.Context(), k.lake.Paths.Positions())
	if err != nil || !strings.Contains(string(body), `"held":[]`) {
		t.Errorf("garbage collection is kept from what was given up: %s, %v", body, err)
	}
}

func TestRetryOfWhatIsNotHeldNamesWhatIs(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	if _, err := k.byHand().Retry(t.Context(), "app.notes"); err == nil || !strings.Contains(err.Error(), "nothing is held at all") {
		t.Errorf("%v", err)
	}
	k.heldFile(w)
	if _, err := k.byHand().Retry(t.Context(), "app.tracks"); err == nil || !strings.Contains(err.Error(), "of app.notes") {
		t.Errorf("%v", err)
	}
	k.retry("app.notes")
}

func TestTableOverrides(t *testing.T) {
	t.Parallel()
	k := setup(t)
	cfg := k.client.Config()
	cfg.Keys = warehouse.KeysAuto
	cfg.Tables = map[string]warehouse.TableConfig{
		"app.orders": {DistKey: "user_id", SortKey: []string{"user_id", "received_at"}}, "app.clicks": {Dedupe: "off"}, "app.visits": {Dedupe: "72h"},
	}
	client, err := warehouse.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w := k.tenure(k.loader(client))
	at := time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)
	twins := []row{{"id": "a", "received_at": at}, {"id": "a", "received_at": at.Add(time.Second)}, {"id": "a", "received_at": at.Add(48 * time.Hour)}}
	for _, name := range []string{"app.orders", "app.clicks", "app.visits"} {
		k.commit(0, table{name: name, columns: eventColumns(), rows: twins})
	}
	k.wave(w)
	for name, want := range map[string]string{"app.orders": "2", "app.clicks": "3", "app.visits": "1"} {
		if got := k.one("SELECT COUNT(*) FROM " + name); got != want {
			t.Errorf("%s: %s rows, want %s", name, got, want)
		}
	}
	if got := k.query("SELECT target, COUNT(*) FROM millstream.duplicates GROUP BY 1 ORDER BY 1"); !slices.Equal(got, []string{"app.orders|1", "app.visits|2"}) {
		t.Errorf("duplicates: %v", got)
	}
	keys := `SELECT column_name FROM svv_redshift_columns WHERE table_name = 'orders' AND (distkey OR sortkey > 0) ORDER BY sortkey`
	if got := k.query(keys); !slices.Equal(got, []string{"user_id", "received_at"}) {
		t.Errorf("keys of orders: %v", got)
	}
}

func TestGrantsGoToGroupsAndRoles(t *testing.T) {
	t.Parallel()
	k := setup(t)
	cfg := k.client.Config()
	cfg.Grants = []string{"analysts", "role:bi", "user:ada"}
	var sent []string
	client, err := warehouse.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	client.Trace = func(s string) { sent = append(sent, s) }
	k.commit(0, table{name: "app.notes", columns: eventColumns(col("note", wire.String)), rows: events(1)})
	k.wave(k.tenure(k.loader(client)))
	for _, want := range []string{
		`GRANT USAGE ON SCHEMA "app" TO GROUP "analysts"`, `GRANT USAGE ON SCHEMA "app" TO ROLE "bi"`, `GRANT USAGE ON SCHEMA "app" TO "ada"`,
		`GRANT SELECT ON "app"."notes" TO GROUP "analysts"`, `GRANT SELECT ON "app"."notes" TO ROLE "bi"`, `GRANT SELECT ON "app"."notes" TO "ada"`,
	} {
		if !slices.Contains(sent, want) {
			t.Errorf("%s was not sent", want)
		}
	}
}
