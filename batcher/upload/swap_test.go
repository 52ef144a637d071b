//go:build cgo

package upload

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/local/redshift"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// TestUploadLetsLoadsPassWhileItsTableIsRead holds the table from another
// session: loads get the gate between the tries, and the error names the reader.
func TestUploadLetsLoadsPassWhileItsTableIsRead(t *testing.T) {
	t.Parallel()
	k := setup(t)
	if _, err := k.upload("t", "a\nold\n"); err != nil {
		t.Fatal(err)
	}
	analyst, err := warehouse.Open(k.up.Warehouse.Config())
	if err != nil {
		t.Fatal(err)
	}
	reader, err := analyst.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reader.Close)
	hold := func(lock string) {
		for _, s := range []string{"BEGIN", lock} {
			if _, err := reader.Exec(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
	}
	release := func() {
		if _, err := reader.Exec(t.Context(), "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
	}
	loads := 0
	k.up.wait = 200 * time.Millisecond
	k.up.pause = func(ctx context.Context, _ time.Duration) error { // as a load does: the gate is free
		loads++
		gate := warehouse.Gate{Timeout: time.Second, Statement: time.Minute}
		return gate.Do(ctx, k.conn, warehouse.AnyFence, func() error { return nil })
	}
	for name, c := range map[string]struct {
		lock   string
		append bool
	}{"a reader": {"SELECT * FROM uploads.t", false}, "a lock, for an append": {"LOCK TABLE uploads.t", true}} {
		loads = 0
		hold(c.lock)
		_, err = k.upload("t", "a\nnew\n", func(o *Options) { o.Append = c.append })
		release()
		if err == nil || !strings.Contains(err.Error(), "uploads.t is in use, nothing was changed: session ") || !strings.Contains(err.Error(), "pg_terminate_backend") {
			t.Errorf("%s: %v", name, err)
		}
		if loads != swapTries-1 {
			t.Errorf("%s: %d pauses, want %d", name, loads, swapTries-1)
		}
		if got := k.query("SELECT a FROM uploads.t"); got != "old" {
			t.Errorf("%s: shows %s", name, got)
		}
	}
	hold("LOCK TABLE uploads.t")
	loads = 0
	k.up.pause = func(context.Context, time.Duration) error {
		if loads++; loads == 1 {
			release()
			hold("UPDATE millstream.loads SET files = files")
		}
		return nil
	}
	if _, err := k.upload("t", "a\nnew\n", func(o *Options) { o.Append = true }); err == nil || loads != swapTries-1 {
		t.Errorf("a lock on the history: %d pauses, %v", loads, err)
	}
	release()
	hold("SELECT * FROM uploads.t")
	k.up.pause = func(context.Context, time.Duration) error { release(); return nil }
	if _, err := k.upload("t", "a\nnew\n"); err != nil || k.query("SELECT a FROM uploads.t") != "new" {
		t.Errorf("once the reader has ended: %v", err)
	}
	k.left("t")
}

func TestUploadDoesNotTakeOthersTables(t *testing.T) {
	t.Parallel()
	k := setup(t)
	for _, s := range []string{
		"CREATE SCHEMA uploads", "CREATE TABLE uploads.mine AS SELECT 'precious' AS a", "CREATE TABLE uploads.t__new AS SELECT 'precious' AS a",
		"CREATE TABLE uploads.t__old AS SELECT 'precious' AS a",
	} {
		k.query(s)
	}
	if _, err := k.upload("mine", "a\nx\n"); err == nil || !strings.Contains(err.Error(), "uploads.mine is there already, and no upload has made it") {
		t.Errorf("a table made by hand: %v", err)
	}
	for range 2 {
		if _, err := k.upload("t", "a\nx\n"); err != nil {
			t.Fatal(err)
		}
	}
	k.query("CREATE VIEW uploads.bound AS SELECT a FROM uploads.t")
	if _, err := k.upload("t", "a\ny\n"); err == nil || !strings.Contains(err.Error(), "uploads.bound would go on showing the old rows") {
		t.Errorf("under a bound view: %v", err)
	}
	if got := k.query("SELECT m.a, n.a, o.a, t.a FROM uploads.mine m, uploads.t__new n, uploads.t__old o, uploads.t t"); got != "precious|precious|precious|x" {
		t.Errorf("rows: %s", got)
	}
	k.left("bound ; mine ; t ; t__new ; t__old")
}

func TestUploadReadsAPipe(t *testing.T) {
	t.Parallel()
	k := setup(t)
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() { written <- os.WriteFile(pipe, []byte("a,b\n1,2\n"), 0o600) }()
	if _, err := k.upload("t", "", func(o *Options) { o.File = pipe }); err != nil {
		t.Fatal(err)
	}
	if err := <-written; err != nil || k.query("SELECT a, b FROM uploads.t") != "1|2" {
		t.Error(err)
	}
}

func TestUploadOfAFileThatChangesLoadsNothing(t *testing.T) {
	t.Parallel()
	k := setup(t)
	for _, pass := range []string{"reading", "writing"} {
		for name, change := range map[string]func(path string) error{
			"a shorter one": func(path string) error { return os.WriteFile(path, []byte("a,b\n1,2\n"), 0o600) },
			"other columns": func(path string) error { return os.WriteFile(path, []byte("b,a\n1,2\n3,4\n"), 0o600) },
			"another file": func(path string) error {
				info, err := os.Stat(path)
				beside := path + ".new"
				return errors.Join(err, os.WriteFile(beside, []byte("b,a\n1,2\n3,4\n"), 0o600), os.Chtimes(beside, time.Time{}, info.ModTime()), os.Rename(beside, path))
			},
		} {
			changed := false
			_, err := k.upload("t", "a,b\n1,2\n3,4\n", func(o *Options) {
				old := time.Now().Add(-time.Hour) // its clock may be coarse
				if err := os.Chtimes(o.File, old, old); err != nil {
					t.Fatal(err)
				}
				o.Progress = func(at string, _, _ int64) {
					if at == pass && !changed {
						changed = true
						if err := change(o.File); err != nil {
							t.Error(err)
						}
					}
				}
			})
			if err == nil || !strings.Contains(err.Error(), "was changed while it was read") || !changed {
				t.Errorf("%s while %s: %v", name, pass, err)
			}
		}
	}
	k.left("")
}

// Whoever is told that an upload has come to nothing runs it again, and an
// append would then double its rows.
func TestUploadAsksTheLedgerWhereTheAnswerIsLost(t *testing.T) {
	t.Parallel()
	k := setup(t)
	skip := map[bool]int{}
	for _, add := range []bool{false, true, false} {
		k.sent = nil
		if _, err := k.upload("t", "a\nold\n", func(o *Options) { o.Append = add }); err != nil {
			t.Fatal(err)
		}
		skip[add] = like("COMMIT", k.sent[:slices.Index(k.sent, "COMMIT")])
	}
	for _, c := range []struct {
		action redshift.FaultAction
		append bool
		fails  string
		rows   string
	}{
		{redshift.CutBefore, true, "nothing was changed; run the upload again", "old"},
		{redshift.CutAfter, true, "", "new ; old"},
		{redshift.CutDuring, true, "", "new ; new ; old"},
		{redshift.CutBefore, false, "nothing was changed; run the upload again", "new ; new ; old"},
		{redshift.CutAfter, false, "", "new"},
	} {
		k.server.Faults().Inject(redshift.Fault{Match: "COMMIT", Action: c.action, Skip: skip[c.append]})
		_, err := k.upload("t", "a\nnew\n", func(o *Options) { o.Append = c.append })
		k.server.Faults().Clear()
		if (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s, append %v: %v", c.action, c.append, err)
		}
		if got := k.query("SELECT a FROM uploads.t ORDER BY 1"); got != c.rows {
			t.Errorf("%s, append %v: holds %s, want %s", c.action, c.append, got, c.rows)
		}
		k.left("t")
	}
}
