//go:build cgo

package loader

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/millstream-data/millstream/internal/local/redshift"
	"github.com/millstream-data/millstream/internal/telemetry"
)

const always = 1 << 20

// waves makes n waves, whose failures are as they may be.
func (k *kit) waves(w *waves, n int) (last []error) {
	k.t.Helper()
	for range n {
		failures, err := w.once(k.t.Context(), k.t.Context())
		if err != nil {
			k.t.Fatal(err)
		}
		last = failures
	}
	return last
}

func (k *kit) shows(sql string, want ...string) {
	k.t.Helper()
	if got := k.query(sql); !slices.Equal(got, want) && len(got)+len(want) > 0 {
		k.t.Errorf("%s: %v, want %v", sql, got, want)
	}
}

// A role that may not read is no file's fault: nothing is held, and all is
// loaded once it may.
func TestDeniedRoleHoldsNothing(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"S3ServiceException:Access Denied,Status 403,Error AccessDenied",
		"User arn:aws:redshift:eu-west-1:1:dbuser:c/u is not authorized to assume IAM Role arn:aws:iam::1:role/load",
		"S3ServiceException:Please reduce your request rate.,Status 503,Error SlowDown",
	} {
		t.Run(text[:24], func(t *testing.T) {
			t.Parallel()
			k := setup(t)
			w := k.tenure(k.loader(k.client))
			for range 3 {
				k.commit(0, table{name: "app.notes", columns: noteColumns, rows: events(1)}, table{name: "app.tracks", columns: eventColumns(), rows: events(1)})
			}
			k.server.Faults().Inject(redshift.Fault{Match: "copy ", Action: redshift.FailWith, Code: "XX000", Text: text, Times: always})
			start := k.now
			failures := k.waves(w, 5)
			if len(failures) == 0 || !outage(w.worst(failures, start.AddDate(10, 0, 0))) {
				t.Fatalf("%v", failures)
			}
			k.shows("SELECT target, file_key FROM millstream.held WHERE file_key <> ''")
			k.shows("SELECT COUNT(*) FROM millstream.positions WHERE target <> '*'", "0")
			if !strings.Contains(text, "503") {
				if got := k.query("SELECT DISTINCT reason FROM millstream.held"); !slices.Equal(got, []string{"denied"}) {
					t.Errorf("people are told %v", got)
				}
				if c := failed(w.worst(failures, start.AddDate(10, 0, 0)), start, failures); c.State != telemetry.StateNotReady || !strings.Contains(c.Sentence, "copy_role") {
					t.Errorf("health says %v", c)
				}
			}
			k.server.Faults().Clear()
			k.wave(w)
			k.wave(w)
			k.shows("SELECT COUNT(*) FROM app.notes UNION ALL SELECT COUNT(*) FROM app.tracks", "3", "3")
			k.shows("SELECT * FROM millstream.held")
		})
	}
}

// Of one table that may not be read the others do not wait.
func TestDeniedTableIsHeldAlone(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	k.server.Faults().Inject(redshift.Fault{Match: "app.secret/", Action: redshift.FailWith, Code: "XX000", Text: "S3ServiceException:Access Denied,Status 403", Times: always})
	for range 8 {
		k.commit(0, table{name: "app.secret", columns: noteColumns, rows: events(1)}, table{name: "app.tracks", columns: eventColumns(), rows: events(1)})
		k.waves(w, 1)
	}
	k.shows("SELECT COUNT(*) FROM app.tracks", "8")
	k.shows("SELECT target, file_key, reason, first_offset FROM millstream.held", "app.secret|*|denied|0")
	k.server.Faults().Clear()
	k.retry("app.secret")
	k.wave(w)
	k.shows("SELECT COUNT(*), COUNT(DISTINCT id) FROM app.secret", "8|8")
	k.shows("SELECT * FROM millstream.held")
}

// Held files of a target that are whole come in by one load, and what is not is
// left.
func TestHeldFilesAreTriedTogether(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	bodies := map[string][]byte{}
	for range 6 {
		c := k.commit(0, table{name: "app.notes", columns: noteColumns, rows: events(2)})
		key := c.Files[0].Key
		body, err := k.lake.Store.Get(t.Context(), key)
		if err == nil {
			err = k.lake.Store.Delete(t.Context(), key)
		}
		if err != nil {
			t.Fatal(err)
		}
		bodies[key] = body
	}
	k.wave(w)
	k.shows("SELECT COUNT(*) FROM millstream.held WHERE file_key <> '*'", "6")
	gone := k.query("SELECT file_key FROM millstream.held ORDER BY first_offset")[2]
	for key, body := range bodies {
		if key != gone {
			if err := k.lake.Store.Put(t.Context(), key, body); err != nil {
				t.Fatal(err)
			}
		}
	}
	k.retry("app.notes")
	k.wave(w)
	k.shows("SELECT COUNT(*), COUNT(DISTINCT id) FROM app.notes", "10|10")
	k.shows("SELECT file_key, attempts FROM millstream.held", gone+"|1")
	k.shows("SELECT kind, files, rows_inserted FROM millstream.loads WHERE rows_inserted > 0", "repair|5|10")
}

// A table that is there although the catalogue does not show it is held by
// itself, at the second try.
func TestTableThatTheCatalogueHidesIsHeldAlone(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	k.commit(0, table{name: "app.hidden", columns: noteColumns, rows: events(1)}, table{name: "app.notes", columns: noteColumns, rows: events(1)}, table{name: "app.tracks", columns: eventColumns(), rows: events(1)})
	k.server.Faults().Inject(redshift.Fault{Match: `create table "app"."hidden"`, Action: redshift.FailWith, Code: "42P07", Text: `relation "hidden" already exists`, Times: always})
	k.waves(w, 2)
	k.shows("SELECT COUNT(*) FROM app.notes UNION ALL SELECT COUNT(*) FROM app.tracks", "1", "1")
	k.shows("SELECT target, file_key, reason FROM millstream.held", "app.hidden|*|exists")
	k.server.Faults().Clear()
	k.retry("app.hidden")
	k.wave(w)
	k.shows("SELECT COUNT(*) FROM app.hidden", "1")
}

// A file in whose COPY each session ends is searched for and held; the others of
// its group and of its table do not wait for it.
func TestFileThatEndsSessionsIsFound(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	var bad string
	for i := range 8 {
		c := k.commit(0, table{name: "app.notes", columns: noteColumns, rows: events(1)}, table{name: "app.tracks", columns: eventColumns(), rows: events(1)})
		if i == 5 {
			bad = c.Files[0].Key
		}
	}
	k.server.Faults().Inject(redshift.Fault{Match: "app.notes/", Action: redshift.CutBefore, Times: always})
	k.waves(w, 3)
	k.shows("SELECT COUNT(*) FROM app.tracks", "8")
	k.server.Faults().Clear()
	for i := range 20 { // what is cut is known by the size of the load, as a manifest hides its files
		at, err := strconv.Atoi(k.one("SELECT COALESCE(MAX(next_offset), 0) FROM millstream.positions WHERE target = 'app.notes'"))
		if err != nil {
			t.Fatal(err)
		}
		size := 8
		if n := w.patience.limits()["app.notes"]; n > 0 {
			size = n
		}
		at /= 2 // offsets of a commit
		if at <= 5 && at+size > 5 {
			k.server.Faults().Inject(redshift.Fault{Match: "app.notes/", Action: redshift.CutBefore, Times: 1})
		}
		k.waves(w, 1)
		k.server.Faults().Clear()
		if at == 8 {
			t.Logf("%d waves", i+3)
			break
		}
	}
	k.shows("SELECT COUNT(*), COUNT(DISTINCT id) FROM app.notes", "7|7")
	k.shows("SELECT file_key, reason FROM millstream.held", bad+"|unknown")
	k.retry("app.notes")
	k.wave(w)
	k.shows("SELECT COUNT(*), COUNT(DISTINCT id) FROM app.notes", "8|8")
}

// So is a table whose rows end each session, as a whole.
func TestTableThatEndsSessionsIsHeldAlone(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	k.commit(0, table{name: "app.notes", columns: noteColumns, rows: events(1)}, table{name: "app.tracks", columns: eventColumns(), rows: events(1)})
	k.server.Faults().Inject(redshift.Fault{Match: `into "app"."notes" ("id", "received_at", "user_id", "_unmapped", "_partition", "_offset"`, Action: redshift.CutBefore, Times: always})
	k.waves(w, apartAfter+1)
	k.shows("SELECT COUNT(*) FROM app.tracks", "1")
	k.waves(w, heldAfter-1)
	k.shows("SELECT target, file_key, reason, attempts FROM millstream.held", "app.notes|*|unknown|1")
	k.retry("app.notes")
	k.waves(w, 2)
	k.shows("SELECT attempts FROM millstream.held", "1")
	k.server.Faults().Clear()
	k.retry("app.notes")
	k.wave(w)
	k.shows("SELECT COUNT(*) FROM app.notes", "1")
}

// What is held and cannot even be tried has longer pauses each time too.
func TestHeldWorkThatCannotBeTriedCounts(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	k.wave(w)
	k.exec("INSERT INTO millstream.held VALUES ('app.notes', '" + topic + "', 7, 3, 'lake/app/notes/f.parquet', 'count', 'words', GETDATE(), 0)")
	k.wave(w)
	k.shows("SELECT attempts, error FROM millstream.held", "1|words")
}
