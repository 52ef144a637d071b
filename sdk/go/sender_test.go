package millstream

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestSixCallsArriveInOneRequest(t *testing.T) {
	s := serve(t, status(200))
	c, f := open(t, Options{Endpoint: s.URL + "/edge/", FlushAt: 6, FlushInterval: time.Hour, Context: Map{"app": "shop"}})
	for _, m := range []Message{
		Identify{UserID: "u", Traits: Map{"plan": "pro"}},
		Track{UserID: "u", Event: "Paid", Properties: Map{"total": 12.5}},
		Page{UserID: "u", Name: "Home", Category: "Shop"},
		Screen{AnonymousID: "a", Name: "Start"},
		Group{UserID: "u", GroupID: "g", Traits: Map{"seats": 3}},
		Alias{UserID: "u", PreviousID: "a"},
	} {
		if err := c.Enqueue(m); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "six fates", func() bool { return len(f.get()) == 6 })
	r := s.seen()[0]
	var types []string
	for _, e := range r.Batch {
		types = append(types, e["type"].(string))
		if app := e["context"].(map[string]any)["app"]; app != "shop" {
			t.Errorf("context.app of %v is %v", e["type"], app)
		}
		if !uuidV7.MatchString(e["messageId"].(string)) {
			t.Errorf("messageId %v", e["messageId"])
		}
	}
	if want := "identify track page screen group alias"; strings.Join(types, " ") != want {
		t.Errorf("types %v", types)
	}
	key, _, _ := (&http.Request{Header: r.header}).BasicAuth()
	if key != "wk_1234" || r.header.Get("User-Agent") != "millstream-go/"+Version || r.header.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", r.header)
	}
	if r.header.Get("X-Retry-Count") != "" || r.header.Get("Content-Encoding") != "gzip" {
		t.Errorf("headers %v", r.header)
	}
}

func TestCallWithoutWhatItNeedsIsInvalid(t *testing.T) {
	s := serve(t, status(200))
	c, _ := open(t, Options{Endpoint: s.URL})
	for field, m := range map[string]Message{
		"userId":     Track{Event: "e"},
		"event":      Track{UserID: "u"},
		"groupId":    Group{UserID: "u"},
		"previousId": Alias{UserID: "u"},
		"timestamp":  Identify{UserID: "u", Timestamp: time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		var invalid *InvalidError
		if err := c.Enqueue(m); !errors.As(err, &invalid) || invalid.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if n := c.Stats().DroppedByReason[ReasonInvalid]; n != 5 {
		t.Errorf("%d dropped as invalid", n)
	}
}

// TestEachAnswerHasItsFate is the table of the retry matrix: what 3 answers in a row (the last for ever) come to.
func TestEachAnswerHasItsFate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		codes    []int
		fate     string
		requests int
	}{
		{[]int{200}, "delivered", 1},
		{[]int{204}, "delivered", 1},
		{[]int{500, 500, 200}, "delivered", 3},
		{[]int{408, 425, 507, 520, 301, 302, 200}, "delivered", 7},
		{[]int{429, 502, 503, 504, 429, 502, 503, 504, 429, 502, 503, 504, 200}, "delivered", 13},
		{[]int{503, 500}, "dropped max_attempts", 11},
		{[]int{307}, "dropped max_attempts", 10},
		{[]int{400}, "dropped http_400", 1},
		{[]int{401}, "dropped http_401", 1},
		{[]int{403}, "dropped http_403", 1},
		{[]int{404}, "dropped http_404", 1},
		{[]int{405}, "dropped http_405", 1},
		{[]int{413}, "dropped http_413", 1},
		{[]int{415}, "dropped http_415", 1},
		{[]int{422}, "dropped http_422", 1},
		{[]int{501}, "dropped http_501", 1},
		{[]int{505}, "dropped http_505", 1},
		{[]int{500, 404}, "dropped http_404", 2},
	} {
		t.Run(fmt.Sprint(c.codes), func(t *testing.T) {
			t.Parallel()
			s := serve(t, status(c.codes...))
			client, f := open(t, Options{Endpoint: s.URL, FlushAt: 1, BackoffBase: time.Millisecond, BackoffMax: 2 * time.Millisecond})
			track(t, client, "m1")
			eventually(t, "a fate", func() bool { return len(f.get()) == 1 })
			if got := f.count(); got[c.fate] != 1 {
				t.Errorf("fates %v; want %s", got, c.fate)
			}
			if r := f.get()[0]; r.Attempts != c.requests || len(s.seen()) != c.requests {
				t.Errorf("%d attempts, %d requests; want %d", r.Attempts, len(s.seen()), c.requests)
			}
			for i, r := range s.seen() {
				want := ""
				if i > 0 {
					want = fmt.Sprint(i)
				}
				if got := r.header.Get("X-Retry-Count"); got != want {
					t.Errorf("request %d has X-Retry-Count %q", i, got)
				}
			}
		})
	}
}

func Test413HalvesUntilItPassesInOrder(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r request, _ int) {
		if len(r.Batch) > 2 || r.Batch[0]["messageId"] == "m5" {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		}
	})
	c, f := open(t, Options{Endpoint: s.URL, FlushAt: 8, FlushInterval: time.Hour})
	track(t, c, "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8")
	eventually(t, "eight fates", func() bool { return len(f.get()) == 8 })
	var order []string
	for _, r := range f.get() {
		order = append(order, r.MessageID+" "+r.Fate.String()+r.Code)
	}
	want := "m1 delivered m2 delivered m3 delivered m4 delivered m5 droppedhttp_413 m6 delivered m7 delivered m8 delivered"
	if strings.Join(order, " ") != want {
		t.Errorf("got %v", order)
	}
}

func TestOneBatchIsInFlightAndTheNextGrows(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, _ request, n int) {
		if n == 0 {
			<-release
		}
	})
	c, f := open(t, Options{Endpoint: s.URL, FlushAt: 2, BatchEvents: 5, FlushInterval: time.Hour})
	track(t, c, "m1", "m2")
	eventually(t, "a request", func() bool { return len(s.seen()) == 1 })
	track(t, c, "m3", "m4", "m5", "m6", "m7", "m8", "m9")
	if st := c.Stats(); st.InFlight != 2 || st.Queued != 7 {
		t.Errorf("%+v", st)
	}
	close(release)
	eventually(t, "nine fates", func() bool { return len(f.get()) == 9 })
	if got := fmt.Sprint(s.ids()); got != "[m1 m2 m3 m4 m5 m6 m7 m8 m9]" || len(s.seen()) != 3 {
		t.Errorf("%d requests: %s", len(s.seen()), got)
	}
}

func TestBatchStaysWithinItsBytes(t *testing.T) {
	s := serve(t, status(200))
	c, f := open(t, Options{Endpoint: s.URL, BatchBytes: 1000, FlushAt: 100, FlushInterval: time.Hour})
	large := strings.Repeat("x", 2000)
	for i := range 20 {
		properties := Map{"i": i}
		if i == 7 {
			properties["large"] = large
		}
		if err := c.Track(Track{UserID: "u", Event: "e", Properties: properties}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Flush(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "20 fates", func() bool { return len(f.get()) == 20 })
	for _, r := range s.seen() {
		if len(r.body) > 1000 && len(r.Batch) > 1 {
			t.Errorf("%d events in %d bytes", len(r.Batch), len(r.body))
		}
	}
}

func TestRetryHasTheSameEventsAndANewSentAt(t *testing.T) {
	s := serve(t, status(500, 200))
	c, f := open(t, Options{Endpoint: s.URL, FlushAt: 2})
	track(t, c, "m1", "m2")
	eventually(t, "two fates", func() bool { return len(f.get()) == 2 })
	a, b := s.seen()[0], s.seen()[1]
	if !reflect.DeepEqual(a.Batch, b.Batch) || a.SentAt >= b.SentAt {
		t.Errorf("first %s, then %s", a.body, b.body)
	}
}

func TestBackoffIsSpreadWithinItsBounds(t *testing.T) {
	for tries := 1; tries <= 40; tries++ {
		least, most := spread(func(int64) int64 { return 0 }, 500*time.Millisecond, time.Minute, tries), spread(func(n int64) int64 { return n - 1 }, 500*time.Millisecond, time.Minute, tries)
		if want := min(time.Minute, 500*time.Millisecond<<min(tries, 20)); least != 100*time.Millisecond || most != want {
			t.Errorf("after %d tries: %v to %v; want 100ms to %v", tries, least, most, want)
		}
	}
}

func TestOldEventsExpireWhileTheServerIsAway(t *testing.T) {
	s := serve(t, status(503))
	c, f := open(t, Options{Endpoint: s.URL, FlushAt: 1, MaxAge: 100 * time.Millisecond})
	track(t, c, "m1", "m2")
	eventually(t, "two fates", func() bool { return f.count()["dropped expired"] == 2 })
	s.turn(status(200))
	track(t, c, "m3")
	eventually(t, "a fate", func() bool { return f.count()["delivered"] == 1 })
}

func TestPoisonEventDoesNotHoldUpTheNext(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r request, _ int) {
		if r.Batch[0]["messageId"] == "poison" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	c, f := open(t, Options{Endpoint: s.URL, FlushAt: 1, BatchEvents: 1, BackoffBase: time.Millisecond, BackoffMax: time.Millisecond})
	track(t, c, "poison", "m2")
	eventually(t, "two fates", func() bool { return len(f.get()) == 2 })
	if got := f.count(); got["dropped max_attempts"] != 1 || got["delivered"] != 1 {
		t.Errorf("%v", got)
	}
}
