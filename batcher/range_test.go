package batcher_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/testkit"
)

// A file that is full, and a column that its file lacks, end that file and not
// the range.
func TestFilesEndWithoutACut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		max  config.Bytes
		more string // properties of the last events
	}{
		"full":       {config.MiB, `{"s":"x"}`},
		"new column": {100 * config.MiB, `{"s":"x","added":1}`},
	} {
		t.Run(name, func(t *testing.T) {
			w := setup(t)
			cfg := quick(t)
			cfg.Cut.Age, cfg.File.MaxBytes, cfg.Compaction.Small = time.Hour, c.max, config.MiB
			r := w.start(cfg)
			w.send(0, noise(1, 2500)...) // enough for a first write to the file
			var recs []*kgo.Record
			for i := range 10 {
				recs = append(recs, track("app", fmt.Sprint(i), "Big", day, c.more))
			}
			w.send(0, recs...)
			testkit.Eventually(t, "all is read", func() error {
				if n := r.counter(t, "millstream_batcher_records_total", "outcome", "row"); n < 2510 {
					return fmt.Errorf("%v rows", n)
				}
				return nil
			})
			r.stop(t)
			commits := w.until(w.names.Events(), 0, 2510)
			files := 0
			for _, f := range commits[0].Files {
				if f.Table == "app.big" {
					files++
				}
			}
			if len(commits) != 1 || commits[0].Cut != "drain" || files != 2 {
				t.Errorf("%d commits, the first for %s with %d files of the table", len(commits), commits[0].Cut, files)
			}
			w.sound()
		})
	}
}

// A commit that this version does not understand stops its partition, and says
// which object it is; others go on.
func TestUnreadableCommitStopsItsPartition(t *testing.T) {
	w := setup(t)
	r := w.start(quick(t))
	for p := range int32(2) {
		w.send(p, w.tracks(10)...)
		w.until(w.names.Events(), p, 10)
	}
	r.stop(t)
	key := w.lake.Paths.Commit(w.names.Events(), 0, 10)
	if err := w.lake.Store.Put(t.Context(), key, []byte(`{"v":2}`)); err != nil {
		t.Fatal(err)
	}
	w.send(0, w.tracks(10)...)
	w.send(1, w.tracks(10)...)
	health, r := w.startWatched(quick(t), w.lake)
	w.until(w.names.Events(), 1, 20)
	testkit.Eventually(t, "the partition waits for an operator", func() error {
		report := health.Report(t.Context()).String()
		if n := r.gauge(t, "millstream_batcher_stopped_partitions"); n != 1 || !strings.Contains(report, key) {
			return fmt.Errorf("%v partitions are stopped: %s", n, report)
		}
		return nil
	})
	r.stop(t)
	if n := r.gauge(t, "millstream_batcher_stopped_partitions"); n != 0 {
		t.Errorf("%v partitions are still said to be stopped", n)
	}
}
