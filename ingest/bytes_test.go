package ingest

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

var testLimits = limits{soft: event.SoftLimit, event: event.HardLimit, hard: event.HardLimit + batchRoom}

func testStamper(body []byte, idx *index) *stamper {
	return &stamper{
		body: body, idx: idx, arena: new(arena), hash: sha256.New(), ids: new(event.IDs), source: "app", received: at, skew: true,
	}
}

func browser(s *stamper) {
	s.caller = caller{ip: []byte(`"203.0.113.9"`), userAgent: []byte(`"Firefox"`), locale: []byte(`"de-AT"`), browser: true}
}

// prefix is what every value of an event without a time begins with.
const prefix = `{"receivedAt":"2026-03-01T10:00:01.200Z","timestamp":"2026-03-01T10:00:01.200Z","originalTimestamp":"2026-03-01T10:00:01.200Z"`

func TestH12Bytes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ event, rest, want string }{
		"numbers, escapes, order and spaces stay": {
			`{ "type": "track", "userId":"u","event":"E","messageId":"m", "z":9007199254740993 , "a":[1.0,1e400,-0], "s":"\u0000\ud800\/é", "o":{"b":1,"a":2,"b":3}}`, ``,
			`,"type": "track","userId":"u","event":"E","messageId":"m","z":9007199254740993 , "a":[1.0,1e400,-0], "s":"\u0000\ud800\/é", "o":{"b":1,"a":2,"b":3}}`,
		},
		"the last of a repeated member that the server reads": {
			`{"type":"page","type":"screen","userId":"a","messageId":"m","x":1,"userId":"b","x":2}`, ``,
			`,"type":"screen","messageId":"m","x":1,"userId":"b","x":2}`,
		},
		"escaped names are the same names": {
			`{"t\u0079pe":"page","us\u0065rId":"a","userId":"b","messageId":"m","write\u004bey":"k"}`, ``,
			`,"t\u0079pe":"page","userId":"b","messageId":"m"}`,
		},
		"the server's members and the key are removed": {
			`{"type":"page","userId":"u","messageId":"m","receivedAt":"1999-01-01","writeKey":"k","context":{"a":1,"millstream":{"flags":["x"]}}}`, ``,
			`,"context":{"a":1},"type":"page","userId":"u","messageId":"m"}`,
		},
		"context merges one level deep": {
			`{"type":"page","userId":"u","messageId":"m","context":{"library":{"name":"mine"},"x":1}}`,
			`,"context":{"library":{"name":"batch","version":"1"},"app":{"v":2},"millstream":1}`,
			`,"context":{"library":{"name":"mine"},"x":1,"app":{"v":2}},"type":"page","userId":"u","messageId":"m"}`,
		},
		"names merge unescaped": {
			`{"type":"page","userId":"u","messageId":"m","context":{"libr\u0061ry":1}}`, `,"context":{"library":2,"app":3}`,
			`,"context":{"libr\u0061ry":1,"app":3},"type":"page","userId":"u","messageId":"m"}`,
		},
		"integrations merge, null is nothing": {
			`{"type":"page","userId":"u","messageId":"m","integrations":{"All":false}}`, `,"integrations":{"All":true,"B":true},"context":null`,
			`,"integrations":{"All":false,"B":true},"type":"page","userId":"u","messageId":"m"}`,
		},
		"without a batch's, context stays in its place": {
			`{"type":"page","context":{ "a" : 1 },"userId":"u","messageId":"m","integrations":{}}`, ``,
			`,"type":"page","context":{ "a" : 1 },"userId":"u","messageId":"m","integrations":{}}`,
		},
		"null context takes the batch's": {
			`{"type":"page","context":null,"userId":"u","messageId":"m"}`, `,"context":{"a":1}`,
			`,"context":{"a":1},"type":"page","userId":"u","messageId":"m"}`,
		},
		"a context that is none is flagged": {
			`{"type":"page","context":7,"userId":"u","messageId":"m"}`, ``,
			`,"context":{"millstream":{"flags":["bad_context"]}},"type":"page","userId":"u","messageId":"m"}`,
		},
		"number ids keep their text": {
			`{"type":"page","userId":9007199254740993,"messageId":7.50}`, ``,
			`,"messageId":"7.50","type":"page","userId":9007199254740993}`,
		},
		"suspicious and bad ids are flagged": {
			`{"type":"page","userId":"NULL","anonymousId":["x"],"messageId":"m"}`, ``,
			`,"context":{"millstream":{"flags":["bad_id","suspicious_id"]}},"type":"page","userId":"NULL","anonymousId":["x"],"messageId":"m"}`,
		},
		"sentAt null takes the batch's": {
			`{"type":"page","userId":"u","messageId":"m","sentAt":null}`, `,"sentAt":"2026-03-01T10:00:01Z"`,
			`,"sentAt":"2026-03-01T10:00:01Z","type":"page","userId":"u","messageId":"m"}`,
		},
		"the last batch context and the last event context count": {
			`{"type":"page","context":{"a":1},"userId":"u","messageId":"m","context":{"b":1}}`, `,"context":{"c":1},"context":{"d":1}`,
			`,"context":{"b":1,"d":1},"type":"page","userId":"u","messageId":"m"}`,
		},
	} {
		got, _ := stampOne(t, c.event, c.rest)
		if diff := cmp.Diff(prefix+c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("%s: no JSON: %s", name, got)
		}
	}
}

func TestBrowserContextIsFilledIn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ event, want string }{
		{`{"type":"page","userId":"u","messageId":"m","context":{"ip":"6.6.6.6","a":1}}`, `"context":{"a":1,"ip":"203.0.113.9","userAgent":"Firefox","locale":"de-AT"}`},
		{`{"type":"page","userId":"u","messageId":"m","context":{"userAgent":"own","locale":"fr"}}`, `"context":{"userAgent":"own","locale":"fr","ip":"203.0.113.9"}`},
	} {
		if got, _ := stampOne(t, c.event, ``, browser); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s", c.event, got)
		}
	}
	server := func(s *stamper) { browser(s); s.caller.browser = false }
	if got, _ := stampOne(t, `{"type":"page","userId":"u","messageId":"m","context":{"ip":"6.6.6.6"}}`, ``, server); !strings.Contains(got, `"context":{"ip":"6.6.6.6"}`) {
		t.Errorf("a server's address is its own: %s", got)
	}
	if got, _ := stampOne(t, `{"type":"page","userId":"u","messageId":"m","context":{"direct":true}}`, ``, server); !strings.Contains(got, `"context":{"direct":true,"ip":"203.0.113.9"}`) {
		t.Errorf("a direct device has the request's address: %s", got)
	}
}

func TestMessageIDsAreMadeAgainAlike(t *testing.T) {
	t.Parallel()
	const timed = `{"type":"page","userId":"u","timestamp":"2026-03-01T10:00:00Z"}`
	_, a := stampOne(t, timed, ``)
	_, b := stampOne(t, timed, ``)
	if string(a.messageID) != string(b.messageID) || !strings.HasPrefix(string(a.messageID), "auto-") || len(a.messageID) != 37 {
		t.Errorf("repeated event: %q and %q", a.messageID, b.messageID)
	}
	sum := sha256.Sum256([]byte("app\x00\x000\x00" + timed))
	equal(t, "auto id", string(a.messageID), fmt.Sprintf("auto-%x", sum[:16]))
	_, other := stampOne(t, timed, ``, func(s *stamper) { s.source = "web" })
	if string(a.messageID) == string(other.messageID) {
		t.Error("two sources share an id")
	}
	const untimed = `{"type":"page","userId":"u"}`
	_, a = stampOne(t, untimed, ``)
	_, b = stampOne(t, untimed, ``)
	if string(a.messageID) == string(b.messageID) || len(a.messageID) != 36 {
		t.Errorf("two clicks without a time: %q and %q", a.messageID, b.messageID)
	}
	_, a = stampOne(t, untimed, `,"sentAt":"2026-03-01T10:00:01Z"`)
	if !strings.HasPrefix(string(a.messageID), "auto-") {
		t.Errorf("a batch with sentAt: %q", a.messageID)
	}
	long := strings.Repeat("é", 200)
	value, f := stampOne(t, `{"type":"page","userId":"u","messageId":"`+long+`"}`, ``)
	equal(t, "long id", string(f.messageID), fmt.Sprintf("sha256-%x", sha256.Sum256([]byte(long))))
	if want := `"context":{"millstream":{"messageId":"` + long[:254] + `"}}`; !strings.Contains(value, want) {
		t.Errorf("long id: %s", value)
	}
}

func TestKeysAndHeadersAreUnescapedText(t *testing.T) {
	t.Parallel()
	_, f := stampOne(t, `{"type":"tr\u0061ck","userId":"J\u00f6rg\ud83d\ude00\ud800","event":"a\"b\n","messageId":"\u0041"}`, ``)
	equal(t, "id", string(f.id), "Jörg😀\ufffd")
	equal(t, "name", string(f.name), "a\"b\n")
	equal(t, "message id", string(f.messageID), "A")
}

func TestHeadersAreThoseOfWire(t *testing.T) {
	t.Parallel()
	_, f := stampOne(t, `{"type":"track","userId":"u","event":"Paid","messageId":"m"}`, ``)
	rq := &request{access: &access{source: &source{name: "app", header: []byte("app")}}, stampHdr: []byte("1772359201200")}
	want := wire.AppendEventHeaders[kgo.RecordHeader](nil, wire.EventHeader{
		Source: "app", Type: event.Track, Event: "Paid", MessageID: "m", ReceivedAt: at,
	})
	equal(t, "headers", rq.appendEventHeaders(&f), want)
}

func TestPartitionIsTheOneOfKafkasClients(t *testing.T) {
	t.Parallel()
	const n = 12
	kafkas := kgo.StickyKeyPartitioner(nil).ForTopic("t")
	for i := range 1000 {
		key := []byte(fmt.Sprint("app/", crc32.ChecksumIEEE([]byte{byte(i), byte(i >> 8)}), strings.Repeat("x", i%5)))
		if got, want := int(partition(murmur2(key), n)), kafkas.Partition(&kgo.Record{Key: key}, n); got != want {
			t.Fatalf("%s: partition %d, want %d", key, got, want)
		}
	}
}

func TestWideContextsMergeWithoutComparingAllPairs(t *testing.T) {
	t.Parallel()
	var own, shared strings.Builder
	for i := range 200 {
		fmt.Fprintf(&own, `"k%d":1,`, 2*i)
		fmt.Fprintf(&shared, `"k%d":2,`, i)
	}
	value, _ := stampOne(t, `{"type":"page","userId":"u","messageId":"m","context":{`+own.String()+`"z":0}}`, `,"context":{`+shared.String()+`"y":0}`)
	var got struct{ Context map[string]int }
	if err := json.Unmarshal([]byte(value), &got); err != nil {
		t.Fatal(err)
	}
	if strings.Count(value, `"k0":`) != 1 || got.Context["k2"] != 1 || got.Context["k3"] != 2 || len(got.Context) != 302 {
		t.Errorf("%d members: %s", len(got.Context), value)
	}
}

func TestNothingIsAllocatedPerEvent(t *testing.T) {
	body := []byte(benchBody(100))
	var idx index
	st := testStamper(body, &idx)
	browser(st)
	rq := request{body: &buffer{b: body}, caller: caller{suspect: true}}
	st.arena.room(1 << 20)
	run := func() {
		idx.reset()
		st.arena.buf = st.arena.buf[:0]
		sc := scanner{b: body, idx: &idx, maxDepth: event.MaxDepth, maxEvents: 1000}
		if !sc.whole() || len(idx.events) != 100 {
			t.Fatal(sc.problem, sc.at)
		}
		rq.idx = idx
		for i := range idx.events {
			f, v := decide(body, &idx, &idx.events[i], "", testLimits, st.arena)
			if v.code != "" {
				t.Fatal(v)
			}
			f.bot = rq.botOf(&idx.events[i])
			st.stamp(&idx.events[i], &f, i)
		}
	}
	run()
	if n := testing.AllocsPerRun(20, run); n != 0 {
		t.Errorf("%v allocations for 100 events, want none", n)
	}
}

// benchBody is a batch of n events of about 700 bytes, half of them without a messageId.
func benchBody(n int) string {
	var b strings.Builder
	b.WriteString(`{"batch":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		id := ""
		if i%2 == 0 {
			id = fmt.Sprintf(`"messageId":"ajs-next-1772359200000-%032x",`, i)
		}
		fmt.Fprintf(&b, `{"timestamp":"2026-03-01T10:00:00.%03dZ","integrations":{},"type":"track","event":"Order Completed",%s"userId":"user-%d",`+
			`"anonymousId":"7f3b5c1e-0000-4000-8000-%012d","properties":{"order_id":"50314b8e9bcf000000000000","total":27.5,"revenue":25.0,"currency":"EUR",`+
			`"coupon":"hasbros","products":[{"product_id":"507f1f77bcf86cd799439011","sku":"45790-32","name":"Monopoly: 3rd Edition","price":19,"quantity":1,"category":"Games"}]},`+
			`"context":{"page":{"path":"/checkout","title":"Kasse – Spiele","url":"https://shop.example.com/checkout"},"locale":"de-AT","timezone":"Europe/Vienna"}}`, i%1000, id, i, i)
	}
	b.WriteString(`],"sentAt":"2026-03-01T10:00:01.000Z","context":{"library":{"name":"analytics.js","version":"npm:next-1.84.3"}}}`)
	return b.String()
}

func BenchmarkScanDecideStamp(b *testing.B) {
	body := []byte(benchBody(100))
	var idx index
	st := testStamper(body, &idx)
	st.arena.room(1 << 20)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		idx.reset()
		st.arena.buf = st.arena.buf[:0]
		sc := scanner{b: body, idx: &idx, maxDepth: event.MaxDepth, maxEvents: 1000}
		sc.whole()
		for i := range idx.events {
			f, _ := decide(body, &idx, &idx.events[i], "", testLimits, st.arena)
			st.stamp(&idx.events[i], &f, i)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/event")
}

func BenchmarkScan(b *testing.B) {
	body := []byte(benchBody(100))
	var idx index
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		idx.reset()
		sc := scanner{b: body, idx: &idx, maxDepth: event.MaxDepth, maxEvents: 1000}
		sc.whole()
	}
}
