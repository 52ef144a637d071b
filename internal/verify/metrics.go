package verify

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/metric"
)

// counted is what metrics have, as of one instant.
type counted struct {
	witness map[string]*metric.Version // by source: the metric that counts each of its events
	starts  map[lake.ChainID]map[metric.VersionID]int64
	next    map[lake.ChainID]int64 // positions
}

// zone is that of the days of commits.
const zone = "UTC"

// witnessOf says whether m counts every event of one source, and no other, on
// the day of its receipt, and which source that is. Such a metric can be held
// against commits without reading an event.
func witnessOf(m *metric.Metric) (source string, ok bool) {
	everything := slices.ContainsFunc(m.Of, func(o metric.Matcher) bool { return o.Any }) && m.Where == "" && len(m.Minus) == 0
	if m.Kind == metric.Ratio || !everything || m.Time != "received" || len(m.Sources) != 1 || !slices.Contains(m.Zones, zone) {
		return "", false
	}
	return m.Sources[0], true
}

// readMetrics reads what the witnesses have counted, with their positions.
func (v *verifier) readMetrics(ctx context.Context) error {
	if v.Metrics == nil {
		v.note("metrics: no metric store is configured")
		return nil
	}
	reg, err := v.Metrics.Current(ctx)
	if err != nil {
		return fmt.Errorf("read the metric store: %w", err)
	}
	m := &counted{witness: map[string]*metric.Version{}, starts: map[lake.ChainID]map[metric.VersionID]int64{}, next: map[lake.ChainID]int64{}}
	sources := map[metric.VersionID]string{}
	var ranges []metric.Range
	from, to := v.o.From.Unix()/86400, v.end().Unix()/86400
	for _, version := range reg.Versions {
		if version.State != metric.VersionCurrent || version.Def == nil {
			continue
		}
		name, ok := witnessOf(version.Def)
		source := v.names.Origin(name)
		if !ok || m.witness[source] != nil || !v.ofSource(source) {
			continue
		}
		m.witness[source], sources[version.VersionID] = &version, source
		ranges = append(ranges, metric.Range{VersionID: version.VersionID, Zone: zone, From: from, To: to})
	}
	if len(ranges) == 0 {
		v.note("metrics: none counts every event of a source by the day of its receipt; `events: {count: \"*\", source: [app], time: received}` would")
		return nil
	}
	var rows []metric.Row
	snap, err := v.Metrics.Scan(ctx, ranges, func(r metric.Row) bool {
		if r.Dim == 0 {
			r.State, r.Vals = nil, nil
			rows = append(rows, r)
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("read the metric store: %w", err)
	}
	for _, r := range rows {
		id := metric.DayID{Zone: r.Zone, Day: r.Bucket}
		if metric.Visible(r.Src, r.Rev, snap.Days[id], snap.Bases[metric.DayVersion{VersionID: r.Version(), DayID: id}]) {
			v.books.counted[cell{sources[r.Version()], dateOf(r.Bucket)}] += r.N + r.Bad
		}
	}
	for _, p := range snap.Positions {
		id := lake.ChainID{Topic: p.Topic, Partition: p.Part}
		m.next[id], m.starts[id] = p.Next, snap.Starts[p.Src]
	}
	v.metrics = m
	return nil
}

// span returns the offsets of a chain that the witness of a source has counted;
// ok is false if it has no witness.
func (m *counted) span(id lake.ChainID, source string) (from, to int64, ok bool) {
	if m == nil || m.witness[source] == nil {
		return 0, 0, false
	}
	to = m.next[id]
	from, begun := m.starts[id][m.witness[source].VersionID]
	if !begun {
		return to, to, true
	}
	return min(from, to), to, true
}

// dateOf is the date of a bucket: days since 1970-01-01.
func dateOf(bucket int64) string { return day(time.Unix(bucket*86400, 0)) }
