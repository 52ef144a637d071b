package cdc

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/wire"
)

// SourceStatus is what the state topic says of a source.
type SourceStatus struct {
	Source string        `json:"source"`
	Slots  []SlotStatus  `json:"slots"`
	Tables []TableStatus `json:"tables"`
}

// SlotStatus is what a partition of it says.
type SlotStatus struct {
	Slot   int    `json:"slot"`
	Fence  int64  `json:"fence"`
	Owner  string `json:"owner"`
	Server string `json:"server"`
	T0     string `json:"t0"`     // clock of the origin at the last sample that was told
	Raw    string `json:"raw"`    // nothing that was open then began before
	Holder string `json:"holder"` // who held it
}

// TableStatus is what the state says of a table. Ages are by this process's clock.
type TableStatus struct {
	Table           string           `json:"table"`
	State           string           `json:"state"` // planning, loading, reading, paused, stopped, orphaned
	CompleteThrough string           `json:"complete_through"`
	AgeSeconds      float64          `json:"age_seconds"` // -1: never complete
	Basis           string           `json:"basis"`
	DeletesThrough  string           `json:"deletes_through"`
	SchemaVersion   int              `json:"schema_version"`
	Stopped         *wire.CDCStopped `json:"stopped,omitempty"`
	Planned         string           `json:"planned,omitempty"`
	Load            *LoadStatus      `json:"load,omitempty"`
	Strategies      []StrategyStatus `json:"strategies"`
	Order           string           `json:"order,omitempty"` // given and not obeyed yet
}

// LoadStatus is a load that runs.
type LoadStatus struct {
	Kind    string  `json:"kind"`
	Rows    int64   `json:"rows"`
	Rate    float64 `json:"rows_per_second"` // since it began
	Ranges  int     `json:"ranges"`
	Done    int     `json:"ranges_done"`
	Started string  `json:"started"`
}

// StrategyStatus is a strategy of a table.
type StrategyStatus struct {
	Name      string `json:"name"`
	H         string `json:"h"`         // of the last complete poll
	Cursor    string `json:"cursor"`    // of ids
	Last      string `json:"last_poll"` // when it was told, RFC 3339
	Next      string `json:"next_poll"` // by the configuration of this process; "" if it has none
	Polling   bool   `json:"polling"`
	Rows      int64  `json:"poll_rows"` // published by the running poll
	Remembers int    `json:"overlap_rows"`
}

// Status reads the state topics of cfg's sources, or of those named, and
// nothing else: it works beside any process, and without the origin.
func Status(ctx context.Context, cfg Config, k kafka.Config, log *slog.Logger, sources ...string) ([]SourceStatus, error) {
	cfg = cfg.withDefaults()
	if len(sources) == 0 {
		sources = sortedKeys(cfg.Sources)
	}
	out := make([]SourceStatus, 0, len(sources))
	for _, name := range sources {
		src, ok := cfg.Sources[name]
		if !ok {
			return nil, unknownSource(cfg, name)
		}
		st, err := statusOf(ctx, name, src, k, log)
		if err != nil {
			return nil, err
		}
		out = append(out, st)
	}
	return out, nil
}

func unknownSource(cfg Config, name string) error {
	return fmt.Errorf("there is no source %q; the configuration has %s", name, strings.Join(sortedKeys(cfg.Sources), ", "))
}

func statusOf(ctx context.Context, name string, src SourceConfig, k kafka.Config, log *slog.Logger) (SourceStatus, error) {
	out := SourceStatus{Source: name, Slots: []SlotStatus{}, Tables: []TableStatus{}}
	topic := k.Names().CDCState(name)
	parts, err := partitionsOf(ctx, k, topic, log)
	if err != nil {
		return out, err
	}
	known := map[string]bool{}
	for p := range parts {
		st, err := readState(ctx, k, topic, p, log)
		if err != nil {
			return out, err
		}
		s := st.source
		out.Slots = append(out.Slots, SlotStatus{Slot: int(p), Fence: s.Fence, Owner: s.Owner, Server: s.Server, T0: s.T0, Raw: s.Raw, Holder: s.Holder})
		for _, table := range sortedKeys(st.tables) {
			known[table] = true
			out.Tables = append(out.Tables, tableStatus(name, table, src, st, time.Now()))
		}
	}
	for table := range src.resolve(nil) {
		if !known[table] {
			out.Tables = append(out.Tables, TableStatus{Table: table, State: "planning", AgeSeconds: -1, Strategies: []StrategyStatus{}})
		}
	}
	slices.SortFunc(out.Tables, func(a, b TableStatus) int { return strings.Compare(a.Table, b.Table) })
	return out, nil
}

// partitionsOf is how many slots a source has.
func partitionsOf(ctx context.Context, k kafka.Config, topic string, log *slog.Logger) (int32, error) {
	cl, err := kafka.NewClient(k, log)
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	desc, err := kafka.DescribeLog(ctx, cl, topic, false)
	if err != nil {
		return 0, fmt.Errorf("%w (has millstream cdc run with this configuration?)", err)
	}
	return desc.Partitions, nil
}

func tableStatus(source, table string, src SourceConfig, st *state, now time.Time) TableStatus {
	t := st.tables[table]
	cfg, configured := src.of(table)
	out := TableStatus{
		Table: table, State: "reading", CompleteThrough: t.CompleteThrough, DeletesThrough: t.DeletesThrough, Basis: t.Basis, AgeSeconds: -1,
		SchemaVersion: t.Schema.Version, Stopped: t.Stopped, Order: st.orders[table].Order, Strategies: []StrategyStatus{},
	}
	if t.CompleteThrough != "" {
		out.AgeSeconds = now.Sub(parseStamp(t.CompleteThrough)).Seconds()
	}
	if t.Planned != nil {
		cfg.Strategies = strategiesOf(t.Planned)
		out.Planned = describeStrategies(cfg.Strategies)
	}
	if l, loading := st.loads[table]; loading {
		out.State, out.Load = "loading", loadStatus(l, now)
	}
	switch {
	case !configured:
		out.State = "orphaned"
	case t.Stopped != nil:
		out.State = "stopped"
	case t.Paused:
		out.State = "paused"
	}
	for _, c := range cfg.Strategies {
		if s, ok := st.strategy[table+"/"+c.Name]; ok {
			out.Strategies = append(out.Strategies, strategyStatus(source, table, c, s, st, now))
		}
	}
	return out
}

// of is the configuration of a table by its exact name or a pattern.
func (s SourceConfig) of(table string) (TableConfig, bool) {
	schema, name, _ := splitTable(s.Kind, table)
	c, ok := s.resolve([]tableInfo{{schema: schema, name: name, kind: relationTable, readable: true}})[schema+"."+name]
	return c, ok
}

func loadStatus(l wire.CDCLoad, now time.Time) *LoadStatus {
	out := &LoadStatus{Kind: l.Kind, Rows: l.Rows, Ranges: len(l.Ranges), Started: l.Since}
	for _, r := range l.Ranges {
		if r.Done {
			out.Done++
		}
	}
	if since := now.Sub(parseStamp(l.Since)).Seconds(); l.Since != "" && since > 0 {
		out.Rate = float64(l.Rows) / since
	}
	return out
}

func strategyStatus(source, table string, c StrategyConfig, s wire.CDCStrategy, st *state, now time.Time) StrategyStatus {
	out := StrategyStatus{Name: c.Name, H: s.H, Cursor: s.Cursor, Last: s.Marked, Polling: s.Poll != nil}
	if s.Poll != nil {
		out.Rows = s.Poll.Rows
	}
	if c.Every > 0 {
		out.Next = stampText(nextTick(now, c.Every, source, table+"/"+c.Name))
	}
	for k, o := range st.overlaps {
		if k.Table == table && k.Strategy == c.Name {
			out.Remembers += len(o.Set)
		}
	}
	return out
}

// slotOf is the slot that has a table, of so many.
func slotOf(table string, slots int32) int32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(table))           // never fails
	return int32(h.Sum32() % uint32(slots)) //nolint:gosec // few slots
}

// Order puts an order for a table into the state topic of its source, where
// the process that reads the table finds it. It returns when Kafka has it.
func Order(ctx context.Context, cfg Config, k kafka.Config, log *slog.Logger, source, table, order string) error {
	src, ok := cfg.Sources[source]
	if !ok {
		return unknownSource(cfg, source)
	}
	schema, name, ok := splitTable(src.Kind, table)
	if !ok {
		return fmt.Errorf("%q must be schema.table", table)
	}
	table = schema + "." + name
	topic := k.Names().CDCState(source)
	slots, err := partitionsOf(ctx, k, topic, log)
	if err != nil {
		return err
	}
	slot := slotOf(table, slots)
	st, err := readState(ctx, k, topic, slot, log)
	if err != nil {
		return err
	}
	_, configured := src.of(table)
	switch _, known := st.tables[table]; {
	case !known:
		return fmt.Errorf("%s of %s has no state: it was never read", table, source)
	case order == wire.CDCForget && configured:
		return fmt.Errorf("%s is configured, so its state is needed; take it out of cdc.sources.%s.tables first, or use reload", table, source)
	case order != wire.CDCForget && !configured:
		return fmt.Errorf("%s is not configured; the only order for it is forget", table)
	}
	return putOrder(ctx, k, log, topic, slot, table, order)
}

func putOrder(ctx context.Context, k kafka.Config, log *slog.Logger, topic string, slot int32, table, order string) error {
	r, err := stateRecord(topic, slot, wire.CDCKey{Part: wire.CDCPartOrder, Table: table}, wire.CDCOrder{V: 1, Order: order, At: stampText(time.Now()), By: whoami()})
	if err != nil {
		return err
	}
	cl, err := kafka.NewClient(k, log, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := cl.ProduceSync(ctx, r).FirstErr(); err != nil {
		return fmt.Errorf("write %s/%d: %w", topic, slot, err)
	}
	return nil
}

// whoami names user and host, for those who wonder who gave an order.
func whoami() string {
	host, err := os.Hostname()
	u, errUser := user.Current()
	if errors.Join(err, errUser) != nil {
		return "unknown"
	}
	return u.Username + "@" + host
}
