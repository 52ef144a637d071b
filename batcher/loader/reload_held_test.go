//go:build cgo

package loader

import (
	"strings"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/warehouse"
)

func day(n int) time.Time { return time.Date(2026, 11, n, 0, 0, 0, 0, time.UTC) }

// spoil has the newest file of app.notes held, and then puts it back.
func (k *kit) spoil(w *waves) (key string) {
	k.t.Helper()
	k.eventsSchema("app.notes", noteColumns)
	key, body := k.heldFile(w)
	if err := k.lake.Store.Put(k.t.Context(), key, body); err != nil {
		k.t.Fatal(err)
	}
	return key
}

// undeduped is a client for which app.notes may hold an event twice.
func (k *kit) undeduped() *warehouse.Client {
	k.t.Helper()
	cfg := k.client.Config()
	cfg.Tables = map[string]warehouse.TableConfig{"app.notes": {Dedupe: "off"}}
	client, err := warehouse.Open(cfg)
	if err != nil {
		k.t.Fatal(err)
	}
	return client
}

// A compacted file may hold the rows of files that are held or given up: they
// are in the table then, and come in no second time.
func TestReloadOfCompactedFilesLetsGoOfWhatTheyHold(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]Reload{"whole": {Target: "app.notes"}, "days": {Target: "app.notes", Days: warehouse.Days{From: day(21), To: day(22)}}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := setup(t)
			k.client = k.undeduped()
			w := k.tenure(k.loader(k.client))
			k.notes(2)
			k.wave(w)
			k.spoil(w)
			skipped := k.spoil(w)
			if _, err := k.byHand().Skip(t.Context(), skipped, "why not"); err != nil {
				t.Fatal(err)
			}
			if n := k.compact(); n != 3 {
				t.Fatalf("%d files were replaced", n)
			}
			k.mustReload(r)
			k.shows("SELECT COUNT(*), COUNT(DISTINCT id) FROM app.notes", "8|8")
			k.shows("SELECT file_key, reason FROM millstream.held")
			k.exec("UPDATE millstream.held SET attempts = 0")
			k.wave(w)
			k.shows("SELECT COUNT(*), COUNT(DISTINCT id) FROM app.notes", "8|8")
		})
	}
}

// A held file that the loader brings in while its table is loaded again is in
// the new table too.
func TestReloadBringsWhatIsMendedMeanwhile(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.client = k.undeduped()
	w := k.tenure(k.loader(k.client))
	k.notes(2)
	k.wave(w)
	k.spoil(w)
	client, mended := k.undeduped(), false
	client.Trace = func(s string) {
		if strings.HasPrefix(s, "COPY") && !mended {
			mended = true
			k.retry("app.notes")
			k.wave(w)
			k.shows("SELECT COUNT(*) FROM app.notes", "5")
		}
	}
	k.client = client
	k.mustReload(Reload{Target: "app.notes"})
	k.shows("SELECT COUNT(*), COUNT(DISTINCT id) FROM app.notes", "5|5")
	k.shows("SELECT file_key FROM millstream.held")
}
