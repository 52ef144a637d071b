//go:build cgo

package batcher_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/testkit"
)

// The owner of partition 0 compacts hours that are over; readers see the same
// rows, and no commit changes.
func TestOwnerOfPartitionZeroCompacts(t *testing.T) {
	w := setup(t)
	idle := w.start(quick(t))
	received := time.Now().Add(-4 * time.Hour).UTC()
	for i := range 4 {
		recs := w.tracks(1)
		recs[0] = track("app", fmt.Sprintf("late-%d", i), "Order Completed", received, `{"n":1}`)
		w.send(0, recs...)
		w.until(w.names.Events(), 0, int64(i)+1)
	}
	before := w.rows("app.order_completed")
	idle.stop(t)
	cfg := quick(t)
	cfg.Compaction.Enabled, cfg.Compaction.MinFiles = true, 2
	r := w.start(cfg)
	var all []lake.Compaction
	testkit.Eventually(t, "the hour is compacted", func() (err error) {
		if all, err = w.lake.CompactionsOf(t.Context(), "app", "order_completed", ""); err == nil && len(all) == 0 {
			err = errNotYet
		}
		return err
	})
	w.sound()
	if got := r.counter(t, "millstream_batcher_compacted_files_total", "", ""); got < float64(len(all[0].Replaces)) {
		t.Errorf("%v files were counted, %d replaced", got, len(all[0].Replaces))
	}
	files, err := w.lake.Files(t.Context(), "app.order_completed", "")
	if err != nil || len(files) >= 4 {
		t.Errorf("readers take %d files, %v", len(files), err)
	}
	rows := int64(0)
	for _, f := range files {
		rows += f.Rows
	}
	if rows != 4 || len(before) != 4 {
		t.Errorf("%d rows after, %d before", rows, len(before))
	}
}
