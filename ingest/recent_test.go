package ingest

import (
	"errors"
	"fmt"
	"strings"
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
	e := setup(t, func(c *Config) { c.Timeouts.AnswerTimeout = 50 * time.Millisecond })
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
		r := newRecent(Dedup{Window: 10 * time.Minute, MaxIDs: 16 * 100})
		id := func(n int) mark { return mark{uint64(16 * n), uint64(n)} } // all of one shard
		for n := range 150 {
			r.add([]mark{id(n), id(n)})
			time.Sleep(time.Second) //nolint:forbidigo // the bubble's clock
		}
		for n := range 150 {
			if got := r.has(id(n)); got != (n >= 50) {
				t.Fatalf("id %d: %v", n, got)
			}
		}
		time.Sleep(10*time.Minute - 50*time.Second) //nolint:forbidigo // the bubble's clock
		if r.has(id(99)) || !r.has(id(101)) || r.size() != 50 {
			t.Errorf("%v ids: %v, %v", r.size(), r.has(id(99)), r.has(id(101)))
		}
		off := newRecent(Dedup{MaxIDs: 1})
		off.add([]mark{id(1)})
		if off.has(id(1)) {
			t.Error("switched off, it remembers")
		}
	})
}
