package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

// twoSources are app, with its keys for development, and shop.
func twoSources(c *Config) {
	c.Sources["shop"] = Source{Enabled: true, SkewCorrection: true, Keys: []Key{{Key: "shop-server", Kind: KindServer}}}
}

// follows waits until e reads the topic of dead letters.
func follows(t *testing.T, e *edge) *edge {
	t.Helper()
	testkit.Eventually(t, "the server should follow the dead letters", func() error {
		if !e.letters.catchUp(t.Context()) {
			return errors.New("it does not")
		}
		return nil
	})
	return e
}

// ask gets a path with a key and decodes the page.
func (e *edge) ask(t *testing.T, key, query string) letterPage {
	t.Helper()
	a := e.do(t, http.MethodGet, "/v1/rejections"+query, "", "X-Write-Key", key)
	equal(t, "status of "+query, a.status, http.StatusOK)
	return decodePage(t, a.body)
}

func decodePage(t *testing.T, body string) letterPage {
	t.Helper()
	var page letterPage
	if err := json.Unmarshal([]byte(body), &page); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return page
}

// shown lists message ids, and whether the page says that it is complete.
func (p letterPage) shown() string {
	var ids []string
	for _, v := range p.Rejections {
		ids = append(ids, v.MessageID)
	}
	return fmt.Sprintf("%s complete=%t next=%t", strings.Join(ids, " "), p.Complete, p.Next != nil)
}

// admin answers a request to the admin server.
func (e *edge) admin(t *testing.T, path string) answer {
	t.Helper()
	mux := http.NewServeMux()
	e.mount(mux.Handle)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return answer{status: w.Code, body: w.Body.String(), header: w.Header()}
}

func TestH19Rejections(t *testing.T) {
	t.Parallel()
	first := follows(t, setup(t, twoSources))
	second := follows(t, setupAt(t, first.kafka, twoSources))
	const batch = `{"batch":[{"type":"track","userId":"u1","messageId":"m-0","event":"Fine"},{"event":"Paid","type":"track","messageId":"m-1","note":"<é>"},` +
		`{"type":"jump","messageId":"m-2","userId":"u"},{"type":"track","messageId":"m-3","userId":"u"}],"sentAt":"2026-03-01T10:00:01Z"}`
	first.post(t, "/v1/batch", batch, "X-Request-Id", "r-1")
	second.do(t, http.MethodPost, "/v1/track", `{"event":"Foreign","messageId":"m-4"}`, "X-Write-Key", "shop-server")
	testkit.Eventually(t, "the other replica should know them", func() error {
		if got := second.ask(t, "dev-server", "").shown(); got != "m-3 m-2 m-1 complete=true next=false" {
			return fmt.Errorf("got %s", got)
		}
		return nil
	})
	for query, want := range map[string]string{
		"?code=unknown_type":                      "m-2 complete=true next=false",
		"?message_id=m-1":                         "m-1 complete=true next=false",
		"?event=Paid":                             "m-1 complete=true next=false",
		"?since=1s":                               "m-3 m-2 m-1 complete=true next=false",
		"?since=2026-03-01T10:00:01.201Z":         " complete=true next=false",
		"?until=2026-03-01T10:00:01.200Z":         " complete=true next=false",
		"?since=1772359201&until=1772359201.3":    "m-3 m-2 m-1 complete=true next=false",
		"?limit=2":                                "m-3 m-2 complete=true next=true",
		"?limit=3":                                "m-3 m-2 m-1 complete=true next=false",
		"?writeKey=dev-server&event=Paid&cursor=": "m-1 complete=true next=false",
		"?code=bot":                               " complete=true next=false",
	} {
		for name, e := range map[string]*edge{"first": first, "second": second} {
			equal(t, name+query, e.ask(t, "dev-server", query).shown(), want)
		}
	}
	page := first.ask(t, "dev-server", "?limit=2")
	equal(t, "second page", second.ask(t, "dev-server", "?limit=2&cursor="+*page.Next).shown(), "m-1 complete=true next=false")
	got := second.ask(t, "dev-server", "?message_id=m-1").Rejections[0]
	id := got.ID
	got.ID = ""
	equal(t, "view", got, letterView{
		At: "2026-03-01T10:00:01.200Z", Source: "app", Stage: event.StageIngest, Code: event.CodeMissingIdentity,
		Message: "neither userId nor anonymousId is set", MessageID: "m-1", Type: "track", Event: "Paid", RequestID: "r-1", Index: new(1),
		Key: "6b941275", Size: 63, Excerpt: `{"event":"Paid","type":"track","messageId":"m-1","note":"<é>"}`,
	})
	a := second.do(t, http.MethodGet, "/v1/rejections/"+id, "", "X-Write-Key", "dev-server")
	var whole letterWhole
	if err := json.Unmarshal([]byte(a.body), &whole); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	equal(t, "bytes", *whole.Value, got.Excerpt)
	equal(t, "envelope", whole.Headers[wire.HeaderEnvelope], `{"sentAt":"2026-03-01T10:00:01Z"}`)
	equal(t, "id", whole.ID, id)
}

func TestRejectionsShowTheirWholeBytes(t *testing.T) {
	t.Parallel()
	e := follows(t, setup(t))
	e.post(t, "/v1/track", "{\"userId\":\"u\",\"event\":\"\xff\",\"pad\":\""+strings.Repeat("é", 300)+"\"}")
	page := e.ask(t, "dev-server", "")
	if l := len(page.Rejections[0].Excerpt); l > excerptBytes+2 || l < excerptBytes-2 {
		t.Errorf("the excerpt has %d bytes", l)
	}
	var whole letterWhole
	a := e.do(t, http.MethodGet, "/v1/rejections/"+page.Rejections[0].ID, "", "X-Write-Key", "dev-server")
	if err := json.Unmarshal([]byte(a.body), &whole); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	if whole.Value != nil || !strings.HasPrefix(string(whole.ValueBase64), "{\"userId\":\"u\",\"event\":\"\xff\"") || len(whole.ValueBase64) != whole.Size {
		t.Errorf("got %.300s", a.body)
	}
}

func TestRejectionsAreOfOneSourceOnly(t *testing.T) {
	t.Parallel()
	e := follows(t, setup(t, twoSources))
	e.post(t, "/v1/track", `{"event":"Own","messageId":"m-1"}`)
	e.do(t, http.MethodPost, "/v1/track", `{"event":"Foreign","messageId":"m-2"}`, "X-Write-Key", "shop-server")
	produceLetters(t, e, wire.Rejected{ // of a mirrored database that is called like an app
		Stage: event.StageCDC, Source: "app", Code: event.CodeRowTooLarge, ID: "x/1/2/3", MessageID: "row", Index: -1, Table: "public.people", Original: []byte(`{}`),
	})
	var foreign, row string
	testkit.Eventually(t, "an operator should see all", func() error {
		page := decodePage(t, e.admin(t, "/rejections").body)
		if len(page.Rejections) != 3 {
			return fmt.Errorf("got %s", page.shown())
		}
		row = page.Rejections[0].ID
		return nil
	})
	page := decodePage(t, e.admin(t, "/rejections?source=shop").body)
	equal(t, "an operator's shop", page.shown(), "m-2 complete=true next=false")
	foreign = page.Rejections[0].ID
	equal(t, "app's", e.ask(t, "dev-server", "").shown(), "m-1 complete=true next=false")
	equal(t, "shop's", e.ask(t, "shop-server", "").shown(), "m-2 complete=true next=false")
	for _, id := range []string{foreign, row, "0-99", "9-0", "0", "x-y"} {
		a := e.do(t, http.MethodGet, "/v1/rejections/"+id, "", "X-Write-Key", "dev-server")
		equal(t, "status of "+id, a.status, http.StatusNotFound)
	}
	equal(t, "the owner reads it", e.do(t, http.MethodGet, "/v1/rejections/"+foreign, "", "X-Write-Key", "shop-server").status, http.StatusOK)
	for _, id := range []string{foreign, row} {
		equal(t, "the operator reads it", e.admin(t, "/rejections/"+id).status, http.StatusOK)
	}
	for _, path := range []string{"/v1/rejections", "/rejections/" + foreign, "//v1/v1/rejections/" + foreign + "/"} {
		a := e.do(t, http.MethodGet, path, "", "X-Write-Key", "dev")
		equal(t, "a browser's key", a.status, http.StatusForbidden)
		if !strings.Contains(a.body, "server_key_required") {
			t.Errorf("got %s", a.body)
		}
		equal(t, "no key", e.do(t, http.MethodGet, path, "").status, http.StatusUnauthorized)
		equal(t, "another method", e.do(t, http.MethodPost, path, "", "X-Write-Key", "dev").status, http.StatusMethodNotAllowed)
	}
}

func TestQuestionsThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"since=yesterday": "since must be a time", "until=-5m": "until must be a time", "limit=0": "limit must be", "limit=1001": "limit must be",
		"cursor=5": "cursor must be", "mesage_id=x": `no parameter "mesage_id"`, "source=shop": `no parameter "source"`, "code=%zz": "cannot be read",
	} {
		if _, ref := parseQuestion(query, "app", at, time.Hour); ref == nil || !strings.Contains(ref.message, want) || ref.status() != http.StatusBadRequest {
			t.Errorf("%s: got %+v", query, ref)
		}
	}
	if _, ref := parseQuestion("source=shop&since="+url.QueryEscape("2026-03-01T10:00:00+02:00"), "", at, time.Hour); ref != nil {
		t.Errorf("an operator may ask for a source: %+v", ref)
	}
}

// produceLetters writes dead letters of other stages.
func produceLetters(t *testing.T, e *edge, list ...wire.Rejected) {
	t.Helper()
	cl := testkit.KafkaClient(t, e.kafka)
	for i, r := range list {
		value, _ := r.Value()
		rec := &kgo.Record{
			Topic: e.kafka.Names().Rejected(), Key: []byte(r.Source), Value: value, Timestamp: at.Add(time.Duration(i+1) * time.Second),
			Headers: wire.AppendRejectedHeaders[kgo.RecordHeader](nil, r),
		}
		if err := cl.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

func manyLetters(n int) []wire.Rejected {
	var out []wire.Rejected
	for i := range n {
		out = append(out, wire.Rejected{
			Stage: event.StageBatcher, Source: "app", Code: event.CodeBadJSON, ID: fmt.Sprintf("millstream.events/0/%d", i), MessageID: fmt.Sprintf("m-%d", i),
			Index: -1, Original: []byte(`{"event":"E"}`),
		})
	}
	return out
}

func TestForgottenRejectionsAreAdmitted(t *testing.T) {
	t.Parallel()
	first := follows(t, setup(t, func(c *Config) { c.Rejections.Entries = 3 }))
	equal(t, "nothing yet", first.ask(t, "dev-server", "?since=240h").shown(), " complete=true next=false")
	produceLetters(t, first, append(manyLetters(5), manyLetters(1)...)...) // m-0 stands there twice, as after a crash
	late := setupAt(t, first.kafka, func(c *Config) { c.Rejections.Entries = 3 })
	for name, e := range map[string]*edge{"who was there": first, "who came later": late} {
		testkit.Eventually(t, name+" should know the last ones", func() error {
			if got := e.ask(t, "dev-server", "?since=2026-03-01T10:00:05Z").shown(); !strings.HasPrefix(got, "m-0 m-4 m-3 complete=true") {
				return fmt.Errorf("got %s", got)
			}
			return nil
		})
		equal(t, name, e.ask(t, "dev-server", "").shown(), "m-0 m-4 m-3 complete=false next=false")
		equal(t, name+", event", e.ask(t, "dev-server", "?event=E&since=2026-03-01T10:00:05Z").shown(), "m-0 m-4 m-3 complete=true next=false")
	}
}

func TestRejectionsAreBoundedInBytesAndKnownOnce(t *testing.T) {
	t.Parallel()
	h := newHistory(Rejections{Entries: 100, Bytes: 3 * (letterCost + 100)})
	add := func(offset int64, at time.Time, id string) {
		l := &letter{place: place{at: at, offset: offset}, r: wire.Rejected{ID: id, Source: "app"}, cost: letterCost + 100}
		h.add([]*letter{l}, map[int32]int64{0: offset + 1})
	}
	add(0, at, "a")
	add(1, at.Add(2*time.Second), "b")
	add(2, at.Add(time.Second), "c") // from a spool
	add(3, at.Add(2*time.Second), "b")
	list, more, known := h.find(&question{since: at, limit: 10})
	equal(t, "order", []int64{list[0].offset, list[1].offset, list[2].offset}, []int64{1, 2, 0})
	equal(t, "all", []bool{more, known, len(list) == 3}, []bool{false, true, true})
	add(4, at.Add(3*time.Second), "d")
	list, _, known = h.find(&question{since: at, limit: 10})
	equal(t, "oldest out first", []int64{list[0].offset, list[1].offset, list[2].offset}, []int64{4, 1, 2})
	equal(t, "known", known, false)
	_, _, known = h.find(&question{since: at.Add(time.Millisecond), limit: 10})
	equal(t, "known after the forgotten one", known, true)
	equal(t, "bytes", h.bytes, 3*(letterCost+100))
}

func TestRejectionsWithoutKafka(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	broker, kcfg := testkit.KafkaAt(t, "127.0.0.1:0", dir)
	e := setupAt(t, kcfg)
	testkit.Eventually(t, "the server should find its topics", func() error {
		if a := e.post(t, "/v1/track", `{"event":"E","messageId":"m-1"}`); a.status != http.StatusBadRequest {
			return fmt.Errorf("got %d", a.status)
		}
		if got := e.ask(t, "dev-server", "").shown(); !strings.HasPrefix(got, "m-1") {
			return fmt.Errorf("got %s", got)
		}
		return nil
	})
	id := e.ask(t, "dev-server", "").Rejections[0].ID
	addr := broker.Addr()
	broker.Close()
	testkit.Eventually(t, "it should say that it may not know all", func() error {
		if page := e.ask(t, "dev-server", ""); page.Complete || !strings.HasPrefix(page.shown(), "m-1") {
			return fmt.Errorf("got %s", page.shown())
		}
		return nil
	})
	a := e.do(t, http.MethodGet, "/v1/rejections/"+id, "", "X-Write-Key", "dev-server")
	equal(t, "bytes are in Kafka", a.status, http.StatusServiceUnavailable)
	equal(t, "retry", a.header.Get("Retry-After"), "5")
	if lag := e.metric(t, "rejections_lag_seconds"); lag <= 0 {
		t.Errorf("lag %v", lag)
	}
	testkit.KafkaAt(t, addr, dir)
	testkit.Eventually(t, "it should go on by itself", func() error {
		if page := e.ask(t, "dev-server", ""); !page.Complete {
			return fmt.Errorf("got %s", page.shown())
		}
		return nil
	})
}

func TestH09TenancyOfRejectionsAndTail(t *testing.T) {
	t.Parallel()
	e := follows(t, setup(t, twoSources))
	own, foreign := e.watch(t, "dev-server", ""), e.watch(t, "shop-server", "")
	const same, bad = `{"userId":"u1","messageId":"m-1"}`, `{"messageId":"m-2"}`
	for _, key := range []string{"dev", "shop-server"} {
		equal(t, "stored", e.do(t, http.MethodPost, "/v1/page", same, "X-Write-Key", key).body, `{"success":true}`)
		equal(t, "refused", e.do(t, http.MethodPost, "/v1/page", bad, "X-Write-Key", key).status, http.StatusBadRequest)
	}
	for source, c := range map[string]struct {
		key string
		w   watcher
	}{"app": {"dev-server", own}, "shop": {"shop-server", foreign}} {
		for range 2 {
			if line := c.w.line(t); !strings.HasPrefix(line, `{"source":"`+source+`"`) {
				t.Errorf("the tail of %s shows %s", source, line)
			}
		}
		page := e.ask(t, c.key, "")
		equal(t, "rejections of "+source, page.shown(), "m-2 complete=true next=false")
		equal(t, "source", page.Rejections[0].Source, source)
		for other, key := range map[string]string{"app": "dev-server", "shop": "shop-server", "a browser's key": "dev"} {
			want := map[bool]int{true: http.StatusOK, false: http.StatusNotFound}[other == source]
			if key == "dev" {
				want = http.StatusForbidden
			}
			equal(t, other+" reads one of "+source, e.do(t, http.MethodGet, "/v1/rejections/"+page.Rejections[0].ID, "", "X-Write-Key", key).status, want)
		}
	}
	for _, path := range []string{"/v1/rejections", "/v1/tail"} {
		equal(t, "a browser's key", e.do(t, http.MethodGet, path, "", "X-Write-Key", "dev").status, http.StatusForbidden)
	}
}
