package batcher_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millstream-data/millstream/internal/dedup"
	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/testkit"
)

// The edge of the window is where the rule says, to the offset and to the
// millisecond of the log's clock, also when a restart lies between the twins.
func TestDedupWindowEdge(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		between int           // records between the twins
		apart   time.Duration // of the log's clock
		back    time.Duration // what the second twin's own clock is behind the log's
		twin    bool
		noID    bool // what lies between has none
	}{
		"at the last offset":              {9, 0, 0, true, false},
		"one offset too far":              {10, 0, 0, false, false},
		"at the last millisecond":         {1, time.Minute, 0, true, false},
		"a millisecond too late":          {1, time.Minute + time.Millisecond, 0, false, false},
		"its own clock does not matter":   {1, time.Minute + time.Millisecond, time.Hour, false, false},
		"a record without an id moves it": {1, time.Minute + time.Millisecond, time.Hour, false, true},
		"an older clock moves no window":  {1, time.Minute, time.Hour, true, false},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restart %v", name, restart), func(t *testing.T) {
				w := setup(t)
				w.dedup = dedup.Config{Window: time.Minute, MaxRecords: 10}
				at := func(r *kgo.Record, clock time.Time) *kgo.Record { r.Timestamp = clock; return r }
				first := []*kgo.Record{at(track("app", "twin", "A", day, "{}"), day)}
				for i := range c.between {
					first = append(first, at(track("app", fmt.Sprint("other-", i), "A", day, "{}"), day.Add(c.apart)))
				}
				if c.noID {
					first[1].Headers = slices.Delete(first[1].Headers, 4, 5)
				}
				r := w.start(quick(t))
				w.send(0, first...)
				if restart {
					w.until(w.names.Events(), 0, int64(len(first)))
					r.stop(t)
					w.start(quick(t))
				}
				w.send(0, at(track("app", "twin", "A", day, "{}"), day.Add(c.apart-c.back)))
				commits := w.until(w.names.Events(), 0, int64(len(first))+1)
				w.sound()
				if got := sum(commits).duplicates == 1; got != c.twin {
					t.Errorf("a duplicate: %v, want %v", got, c.twin)
				}
			})
		}
	}
}

// A record that was hours ahead has moved the log's clock; a window that is read
// again from an offset above it still knows.
func TestWindowKeepsItsClockAcrossARestart(t *testing.T) {
	w := setup(t)
	w.dedup = dedup.Config{Window: time.Minute, MaxRecords: 10}
	ahead := day.Add(2 * time.Hour)
	var recs []*kgo.Record
	for i := range 13 {
		r := track("app", fmt.Sprint("m-", i), "A", day, "{}")
		r.Timestamp = day
		recs = append(recs, r)
	}
	recs[0].Timestamp = ahead // the floor is above it
	w.send(0, recs...)
	r := w.start(quick(t))
	if commits := w.until(w.names.Events(), 0, 13); commits[len(commits)-1].Dedup.Floor != 3 {
		t.Errorf("the floor is %d", commits[len(commits)-1].Dedup.Floor)
	}
	r.stop(t)
	twin := track("app", "m-8", "A", day, "{}")
	twin.Timestamp = ahead.Add(30 * time.Second)
	w.send(0, twin)
	w.start(quick(t))
	if got := sum(w.until(w.names.Events(), 0, 14)); got.duplicates != 1 {
		t.Errorf("totals %+v", got)
	}
	w.sound()
}

// What comes hours late goes to its own hours, in a file for each of them and
// not one for each record.
func TestLateDataFewFiles(t *testing.T) {
	w := setup(t)
	cfg := quick(t)
	cfg.Cut.Age, cfg.Cut.Rows = time.Hour, 2*300
	w.start(cfg)
	var recs []*kgo.Record
	for i := range 300 {
		recs = append(recs, track("app", fmt.Sprint("late-", i), "Late", day.Add(-time.Duration(i%5)*time.Hour), `{"n":1}`))
	}
	w.send(0, recs...)
	commits := w.until(w.names.Events(), 0, 300)
	w.sound()
	if len(commits) != 1 || len(commits[0].Files) != 2*5 {
		t.Errorf("%d commits with %d files, want 1 with a file for each of 2 tables and 5 hours", len(commits), named(commits))
	}
	hours := map[string]int64{}
	for _, f := range commits[0].Files {
		hours[f.DT+" "+f.HH] += f.Rows
	}
	for i := range 5 {
		if at := day.Add(-time.Duration(i) * time.Hour).Format("2006-01-02 15"); hours[at] != 2*60 {
			t.Errorf("%s has %d rows, want 120", at, hours[at])
		}
	}
}

// A commit that was there and is gone is not written over: whoever deletes
// commits is an operator's to find, and the other partitions go on.
func TestCommitMissingStops(t *testing.T) {
	w := setup(t)
	g := w.gate()
	var asked atomic.Pointer[string]
	var puts atomic.Int64
	g.set(func(rw http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if isCommit(r) && strings.Contains(r.URL.Path, "/0/") {
			asked.Store(&r.URL.Path)
			puts.Add(1)
			refuse(rw, http.StatusPreconditionFailed, "PreconditionFailed") // as if it were there; the GET finds nothing
			return true
		}
		return false
	})
	health, r := w.startWatched(quick(t), g.lake)
	w.send(0, w.tracks(5)...)
	testkit.Eventually(t, "the partition stops", func() error {
		if n := r.gauge(t, "millstream_batcher_stopped_partitions"); n != 1 {
			return fmt.Errorf("%v partitions are stopped", n)
		}
		return nil
	})
	w.send(1, w.tracks(5)...)
	w.until(w.names.Events(), 1, 5)
	if report := health.Report(t.Context()).String(); !strings.Contains(report, "commit is missing") {
		t.Errorf("health: %s", report)
	}
	if commits, err := w.chain(w.names.Events(), 0); err != nil || len(commits) != 0 || puts.Load() != 1 {
		t.Errorf("%d commits, %v; %s was put %d times", len(commits), err, *asked.Load(), puts.Load())
	}
}

// A commit that counts a dead letter is put when Kafka has the letter, and not
// before.
func TestCommitWaitsForDeadLetters(t *testing.T) {
	w := setup(t)
	w.send(0, append(w.tracks(5), eventRecord("app", event.Track, "A", "bad", day, "no json"))...)
	var refused atomic.Int64
	var away atomic.Bool
	away.Store(true)
	w.broker.Cluster().ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		w.broker.Cluster().KeepControl()
		if !away.Load() {
			return nil, nil, false
		}
		refused.Add(1)
		return nil, errors.New("the connection ends"), true
	})
	w.start(quick(t))
	testkit.Eventually(t, "the letter was tried several times", func() error {
		if refused.Load() < 5 {
			return errNotYet
		}
		return nil
	})
	if commits, err := w.chain(w.names.Events(), 0); err != nil || len(commits) != 0 {
		t.Errorf("%d commits count a letter that Kafka does not have; %v", len(commits), err)
	}
	away.Store(false)
	w.until(w.names.Events(), 0, 6)
	w.sound()
}

// A store that loses an object is found out, and so is one that gives other
// bytes of the same size.
func TestVerifyFindsLostAndChangedObjects(t *testing.T) {
	w := setup(t)
	w.start(quick(t))
	w.send(0, w.tracks(5)...)
	commits := w.until(w.names.Events(), 0, 5)
	w.sound()
	id := lake.ChainID{Topic: w.names.Events(), Partition: 0}
	f := commits[0].Files[0]
	if err := w.lake.Store.Delete(t.Context(), f.Key); err != nil {
		t.Fatal(err)
	}
	r, err := w.lake.VerifyChain(t.Context(), id)
	if err != nil || len(r.Problems) != 1 || !strings.Contains(r.Problems[0], f.Key) {
		t.Errorf("after the loss: %v, %v", r.Problems, err)
	}
	if err := w.lake.Store.Put(t.Context(), f.Key, make([]byte, f.Bytes-1)); err != nil {
		t.Fatal(err)
	}
	r, err = w.lake.VerifyChain(t.Context(), id)
	if err != nil || len(r.Problems) != 1 || !strings.Contains(r.Problems[0], f.Key) {
		t.Errorf("after the change: %v, %v", r.Problems, err)
	}
}
