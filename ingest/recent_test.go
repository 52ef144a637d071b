package ingest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millstream-data/millstream/internal/testkit"
)

func TestRepeatedIDsAreNotSentAgain(t *testing.T) {
	t.Parallel()
	e := setup(t, func(c *Config) {
		c.Sources["web"] = Source{Enabled: true, Keys: []Key{{Key: "web", Kind: KindServer}}}
	})
	equal(t, "first", e.post(t, "/v1/page", page("m1")).body, `{"success":true}`)
	equal(t, "again", e.post(t, "/v1/page", page("m1")).body, `{"success":true}`)
	equal(t, "in a batch", e.post(t, "/v1/batch", `{"batch":[`+page("m1")+`,`+page("m2")+`,`+page("m2")+`,`+page("m3")+`]}`).body,
		`{"success":true,"accepted":2,"duplicates":2}`)
	equal(t, "all again", e.post(t, "/v1/batch", `{"batch":[`+page("m1")+`,`+page("m2")+`]}`).body, `{"success":true,"accepted":0,"duplicates":2}`)
	equal(t, "rejected, then mended", e.post(t, "/v1/batch", `{"batch":[{"type":"page","messageId":"m4"},`+page("m4")+`]}`).status, 200)
	equal(t, "another source", e.do(t, "POST", "/v1/page", page("m1"), "X-Write-Key", "web").body, `{"success":true}`)
	const untimed, timed = `{"userId":"u"}`, `{"userId":"u","timestamp":"2026-03-01T10:00:00Z"}`
	for range 2 {
		equal(t, "without an id or a time", e.post(t, "/v1/page", untimed).status, 200)
		equal(t, "without an id", e.post(t, "/v1/page", timed).status, 200)
	}
	e.events(t, 5+2+1)
	equal(t, "metric", e.metric(t, "events_duplicate_total", "app"), 6.0)
	equal(t, "gauge", e.metric(t, "dedup_ids"), 6.0)
}

func TestManyIDsOfABatchAreComparedAsFew(t *testing.T) {
	t.Parallel()
	e := setup(t)
	var events []string
	for i := range 300 {
		events = append(events, page(fmt.Sprint("m", i%100)))
	}
	equal(t, "answer", e.post(t, "/v1/batch", `{"batch":[`+strings.Join(events, ",")+`]}`).body, `{"success":true,"accepted":100,"duplicates":200}`)
	e.events(t, 100)
}

func TestIDsEnterOnlyWhenDurable(t *testing.T) {
	t.Parallel()
	e := setup(t, func(c *Config) { c.Timeouts.AnswerTimeout, c.Spool.MaxBytes = 50*time.Millisecond, 0 })
	held, release := e.holdProduce(t)
	equal(t, "while Kafka is held", e.post(t, "/v1/page", page("m")).status, 503)
	<-held
	equal(t, "remembered", e.recent.size(), 0.0)
	equal(t, "again", e.post(t, "/v1/page", page("m")).status, 503)
	release()
	testkit.Eventually(t, "both records should arrive, late", func() error {
		if e.producer.unacked() > 0 || e.recent.size() != 1 {
			return errors.New("not yet")
		}
		return nil
	})
	equal(t, "afterwards", e.post(t, "/v1/page", page("m")).body, `{"success":true}`)
	e.events(t, 2)
}

func TestRecentForgetsByAgeAndByNumber(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecent(Dedup{Window: 10 * time.Minute, MaxIDs: 1000})
		id := func(n int) mark { return mark{uint64(n), uint64(n) << 32} } // all of one set
		for n := range 12 {
			r.add([]mark{id(n), id(n)})
			time.Sleep(time.Second) //nolint:forbidigo // the bubble's clock
		}
		for n := range 12 {
			if got := r.has(id(n), r.now()); got != (n >= 4) {
				t.Fatalf("id %d: %v", n, got)
			}
		}
		if r.has(mark{5, 6 << 32}, r.now()) || r.has(mark{6, 5 << 32}, r.now()) {
			t.Error("half of a mark is enough")
		}
		time.Sleep(10*time.Minute - 5*time.Second - time.Millisecond) //nolint:forbidigo // the bubble's clock
		if r.has(id(6), r.now()) || !r.has(id(7), r.now()) || r.size() != 5 {
			t.Errorf("%v ids: %v, %v", r.size(), r.has(id(6), r.now()), r.has(id(7), r.now()))
		}
		r.add([]mark{id(100)})
		if !r.has(id(7), r.now()) || !r.has(id(100), r.now()) {
			t.Error("a new id took the place of one that is remembered, and there was one that is not")
		}
		off := newRecent(Dedup{MaxIDs: 1})
		off.add([]mark{id(1)})
		if off.has(id(1), off.now()) {
			t.Error("switched off, it remembers")
		}
	})
}

func TestRecentHoldsNearlyAsManyAsItMay(t *testing.T) {
	t.Parallel()
	r := newRecent(Dedup{Window: time.Hour, MaxIDs: 80_000})
	ids := make([]mark, 40_000)
	for i := range ids {
		ids[i], _ = r.markOf(nil, "app", fmt.Append(nil, "message-", i))
	}
	r.add(ids)
	if n := r.size(); n < 39_000 || n > 40_000 {
		t.Errorf("%v of 40,000 ids", n)
	}
	for i := range ids {
		ids[i], _ = r.markOf(nil, "web", fmt.Append(nil, "message-", i))
		if r.has(ids[i], r.now()) {
			t.Fatalf("id %d of another source", i)
		}
	}
	for range 3 {
		r.add(ids)
	}
	if n := r.size(); n > 80_000 {
		t.Errorf("%v ids", n)
	}
}

func TestRecentIsForManyAtOnce(t *testing.T) {
	t.Parallel()
	r := newRecent(Dedup{Window: time.Hour, MaxIDs: 8})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				id, _ := r.markOf(nil, "app", fmt.Append(nil, g, i))
				r.add([]mark{id})
				strange, _ := r.markOf(nil, "web", fmt.Append(nil, g, i))
				if r.has(strange, r.now()) {
					t.Error("an id that nobody added")
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkRecent(b *testing.B) {
	r := newRecent(Dedup{Window: 10 * time.Minute, MaxIDs: 1_000_000})
	ids := make([]mark, 1)
	var id, scratch []byte
	n := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		id = strconv.AppendInt(append(id[:0], "0b6a8f1c-2d1f-7a44-"...), n, 10)
		ids[0], scratch = r.markOf(scratch, "app", id)
		if r.has(ids[0], 1) {
			b.Fatal("an id that nobody added")
		}
		r.add(ids)
		n++
	}
}
