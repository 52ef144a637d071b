package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/metric"
	"github.com/millstream-data/millstream/internal/metric/driver"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

const definitions = `version: 1
defaults: {zones: [UTC, Europe/Berlin], source: [app]}
dims:
  plan: {path: properties.plan, lower: true}
metrics:
  orders:  {count: Order Completed, by: [plan], title: Orders}
  revenue: {sum: properties.total, of: Order Completed, scale: 2, unit: EUR, by: [plan], title: Revenue}
  dau:     {uniques: user, of: "*", by: [plan], title: Daily users}
  aov:     {ratio: [revenue, orders], scale: 2, unit: EUR, title: Average order}
`

// rig plays rollup's part: it commits cells to a real store and publishes them.
type rig struct {
	t      testing.TB
	store  metric.Store
	reg    metric.Registered
	claims []metric.Claim
	kafka  kafka.Config
	cl     *kgo.Client

	states map[metric.Key]*metric.State
	counts map[metric.Key]int64
	vals   map[metric.Key][]string
	dirty  map[metric.Key]bool
	off    int64

	stops sync.Map // of servers, by *Server
}

// newRig has as many input partitions as parts says.
func newRig(t testing.TB, parts int) *rig {
	t.Helper()
	cfg := metric.DefaultStoreConfig()
	cfg.DSN = "sqlite:" + filepath.Join(t.TempDir(), "metrics.db")
	store, err := driver.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	_, kc := testkit.Kafka(t)
	r := &rig{
		t: t, store: store, kafka: kc, cl: testkit.KafkaClient(t, kc),
		states: map[metric.Key]*metric.State{}, counts: map[metric.Key]int64{}, vals: map[metric.Key][]string{}, dirty: map[metric.Key]bool{},
	}
	if err := kafka.EnsureTopics(t.Context(), kc, r.cl, kc.CellsTopic()); err != nil {
		t.Fatal(err)
	}
	r.define(definitions)
	if err := store.Agree(t.Context(), metric.Terms{Window: 24 * time.Hour, MaxRecords: 1000}); err != nil {
		t.Fatal(err)
	}
	for p := range parts {
		c, err := store.Claim(t.Context(), metric.Partition{Topic: "millstream.events", TopicID: "id", Part: int32(p)}, "rig", metric.Position{})
		if err != nil {
			t.Fatal(err)
		}
		r.claims = append(r.claims, c)
	}
	return r
}

func (r *rig) define(text string) {
	r.t.Helper()
	set, err := metric.Parse([]metric.File{{Name: "shop.yaml", Data: text}})
	if err != nil {
		r.t.Fatal(err)
	}
	if r.reg, err = r.store.Register(r.t.Context(), set); err != nil {
		r.t.Fatal(err)
	}
}

// add counts one event in partition part: v is scaled, or a hash for uniques.
func (r *rig) add(part int, name string, at time.Time, v int64, plan string) {
	r.t.Helper()
	ver, ok := r.reg.Version(name)
	if !ok {
		r.t.Fatalf("no metric %s", name)
	}
	for _, tuple := range [][]string{nil, {plan}} {
		var dim uint64
		if tuple != nil {
			dim = metric.DimHash(metric.AppendTuple(nil, tuple...))
		}
		key := metric.Key{Metric: ver.Metric, Ver: ver.Ver, Dim: dim, Src: r.claims[part].Src, Rev: 1}
		key.Bucket = metric.FineBucket(at.Unix())
		r.addTo(key, ver.Def, v, tuple)
		for _, name := range ver.Def.Zones {
			z, err := metric.LoadZone(name)
			if err != nil {
				r.t.Fatal(err)
			}
			key.Zone, key.Bucket = name, z.Day(at.Unix())
			r.addTo(key, ver.Def, v, tuple)
		}
	}
}

func (r *rig) addTo(key metric.Key, def *metric.Metric, v int64, vals []string) {
	s := r.states[key]
	if s == nil {
		s = def.NewState()
		r.states[key], r.vals[key] = s, vals
	}
	if err := s.Add(v, false); err != nil {
		r.t.Fatal(err)
	}
	r.counts[key]++
	r.dirty[key] = true
}

// commit writes what was added to the store and returns the records that tell of it.
func (r *rig) commit(wm time.Time) []*kgo.Record {
	r.t.Helper()
	var out []*kgo.Record
	for i, c := range r.claims {
		r.off++
		f := metric.Flush{Position: metric.Position{Next: r.off, WatermarkMS: wm.UnixMilli()}}
		for key := range r.dirty {
			if key.Src != c.Src {
				continue
			}
			row := metric.Row{Key: key, Vals: r.vals[key], N: r.counts[key], State: r.states[key].Append(nil), LastOff: r.off}
			f.Rows = append(f.Rows, row)
			out = append(out, r.record(row))
			delete(r.dirty, key)
		}
		if err := r.store.Commit(r.t.Context(), c, f); err != nil {
			r.t.Fatal(err)
		}
		r.claims[i].Next = r.off
		out = append(out, r.watermark(i, wm))
	}
	return out
}

func (r *rig) record(row metric.Row) *kgo.Record {
	name := ""
	for _, v := range r.reg.Versions {
		if v.VersionID == row.Version() {
			name = v.Name
		}
	}
	k := wire.CellKey{Metric: name, Version: row.Ver, Zone: row.Zone, Bucket: row.Bucket, Tuple: row.Dim, Src: row.Src, Rev: row.Rev}
	value, err := wire.EncodeCellRecord(wire.Cell{V: 1, Vals: row.Vals, N: row.N, State: row.State, Off: row.LastOff, At: time.Now().UnixMilli()})
	if err != nil {
		r.t.Fatal(err)
	}
	return &kgo.Record{Topic: r.kafka.Names().Cells(), Key: k.Append(nil), Value: value}
}

func (r *rig) watermark(part int, wm time.Time) *kgo.Record {
	value, err := wire.EncodeCellRecord(wire.Watermark{V: 1, Next: r.off, End: r.off, WM: wm.UnixMilli()})
	if err != nil {
		r.t.Fatal(err)
	}
	return &kgo.Record{Topic: r.kafka.Names().Cells(), Key: wire.WatermarkKey("millstream.events", int32(part)), Value: value}
}

func (r *rig) publish(recs []*kgo.Record) {
	r.t.Helper()
	if err := r.cl.ProduceSync(r.t.Context(), recs...).FirstErr(); err != nil {
		r.t.Fatal(err)
	}
}

// server runs a Server over the rig's store and topic, and stops it with the test.
func (r *rig) server(change func(*Config)) *Server {
	r.t.Helper()
	cfg := DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	cfg.Boards = r.t.TempDir()
	cfg.Timeouts.DrainDelay, cfg.Timeouts.DrainTimeout = 0, 50*time.Millisecond
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg, Deps{Kafka: r.kafka, Store: r.store, Log: testkit.Log(r.t), Registry: prometheus.NewRegistry()})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	r.stops.Store(s, sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	}))
	r.t.Cleanup(func() { r.stop(s) })
	testkit.Eventually(r.t, "the follower is ready", func() error {
		if ok, why := s.follower.state(); !ok {
			return fmt.Errorf("not ready: %s", why)
		}
		return nil
	})
	return s
}

// stop ends s and waits until it has; it may be called again.
func (r *rig) stop(s *Server) {
	f, _ := r.stops.Load(s)
	f.(func())()
}

func writeBoard(t testing.TB, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

type reply struct {
	status int
	header http.Header
	body   []byte
}

func get(t testing.TB, s *Server, path string, header ...string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Addr()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
		if name == "Host" {
			req.Host = value
		}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{status: res.StatusCode, header: res.Header, body: body}
}

// values reads an answer's rows, "-" for null.
func values(t testing.TB, s *Server, query string) [][]string {
	t.Helper()
	r := get(t, s, "/v1/query?"+query)
	if r.status != http.StatusOK {
		t.Fatalf("GET %s: %d %s", query, r.status, r.body)
	}
	var a struct {
		Rows [][]*string `json:"rows"`
	}
	if err := json.Unmarshal(r.body, &a); err != nil {
		t.Fatal(err)
	}
	out := [][]string{}
	for _, row := range a.Rows {
		var texts []string
		for _, c := range row {
			if c == nil {
				texts = append(texts, "-")
			} else {
				texts = append(texts, *c)
			}
		}
		out = append(out, texts)
	}
	return out
}

// dial opens a socket, or returns the status of the answer that refused it.
func dial(t testing.TB, s *Server, header http.Header) (*websocket.Conn, int, error) {
	t.Helper()
	d := websocket.Dialer{Subprotocols: []string{subprotocol}, HandshakeTimeout: 10 * time.Second}
	ws, res, err := d.DialContext(t.Context(), "ws://"+s.Addr()+"/v1/ws", header)
	if res == nil {
		return ws, 0, err
	}
	_ = res.Body.Close()
	return ws, res.StatusCode, err
}

func (r *rig) setRecord() []*kgo.Record {
	value, err := wire.EncodeCellRecord(wire.Set{V: 1, Set: r.reg.No, State: 1})
	if err != nil {
		r.t.Fatal(err)
	}
	return []*kgo.Record{{Topic: r.kafka.Names().Cells(), Key: wire.SetKey(), Value: value}}
}

func metricValue(m prometheus.Metric) float64 {
	var d dto.Metric
	if err := m.Write(&d); err != nil {
		return -1
	}
	return d.GetCounter().GetValue() + d.GetGauge().GetValue()
}

func (r *rig) defineFile(path string) {
	data, err := os.ReadFile(path)
	if err != nil {
		r.t.Fatal(err)
	}
	r.define(string(data))
}
