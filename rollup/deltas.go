package rollup

import (
	"errors"

	"github.com/millstream-data/millstream/internal/metric"
)

// deltaKey names what one flush adds to a metric in one fine bucket and tuple.
// Totals and days follow from it when it is flushed.
type deltaKey struct {
	version int // index in the plan's versions
	bucket  int64
	dim     uint64
}

type delta struct {
	n, bad  int64
	lastOff int64
	state   *metric.State
	vals    []string
}

// deltas is what a partition has counted since its last flush: no I/O, no
// clock. It allocates only for keys that it does not hold.
type deltas struct {
	plan      *metric.Plan
	byKey     map[deltaKey]*delta
	bytes     int
	overflows int // sums that were refused
}

func newDeltas(p *metric.Plan) *deltas {
	return &deltas{plan: p, byKey: map[deltaKey]*delta{}}
}

// add counts a contribution of the record at off.
func (d *deltas) add(c *metric.Contribution, off int64) {
	k := deltaKey{c.Version, metric.FineBucket(c.At), c.Dim}
	x := d.byKey[k]
	if x == nil {
		x = &delta{state: d.plan.Versions[c.Version].Def.NewState(), vals: metric.DecodeTuple(c.Tuple)}
		d.byKey[k] = x
		d.bytes += x.state.Bytes() + 128 + len(c.Tuple)
	}
	x.lastOff = off
	if c.Bad {
		x.bad++
		return
	}
	before := x.state.Bytes()
	if err := x.state.Add(c.Value, c.Minus); err != nil {
		d.overflows++
		x.bad++
		return
	}
	x.n++
	d.bytes += x.state.Bytes() - before
}

func (d *deltas) reset() {
	clear(d.byKey)
	d.bytes, d.overflows = 0, 0
}

// keys returns the cells that the delta of k belongs to: fine and day, tuple
// and total.
func (d *deltas) keys(dst []metric.Key, k deltaKey, src int, zones zoneDays) []metric.Key {
	v := d.plan.Versions[k.version]
	cell := metric.Key{Metric: v.Metric, Ver: v.Ver, Src: src, Rev: 1}
	both := func() {
		cell.Dim = 0
		dst = append(dst, cell)
		if k.dim != 0 {
			cell.Dim = k.dim
			dst = append(dst, cell)
		}
	}
	if v.Def.Fine {
		cell.Bucket = k.bucket
		both()
	}
	for _, z := range v.Def.Zones {
		cell.Zone, cell.Bucket = z, zones.day(z, metric.FineStart(k.bucket))
		both()
	}
	return dst
}

// zoneDays finds days of the zones of a plan.
type zoneDays map[string]*metric.DayCache

func (z zoneDays) day(name string, unix int64) int64 {
	c := z[name]
	if c == nil {
		zone, err := metric.LoadZone(name)
		if err != nil {
			panic("BUG: a parsed definition names an unknown zone: " + err.Error())
		}
		c = &metric.DayCache{Zone: zone}
		z[name] = c
	}
	return c.Day(unix)
}

// cell is the present absolute value of a partial, as the store has it or will.
type cell struct {
	n, bad  int64
	lastOff int64
	state   *metric.State
	vals    []string
}

// merge adds a delta; of states that would overflow nothing is taken but bad.
func (c *cell) merge(d *delta) error {
	c.lastOff = max(c.lastOff, d.lastOff)
	if err := c.state.Merge(d.state); errors.Is(err, metric.ErrOverflow) {
		c.bad += d.n + d.bad
		return err
	}
	c.n += d.n
	c.bad += d.bad
	return nil
}

// cells caches partials of one partition in two generations: when the young one
// is full it becomes the old one, and what the old one still held is forgotten.
type cells struct {
	limit      int // bytes of a generation
	young, old map[metric.Key]*cell
	bytes      int // of young when it was last weighed
}

func newCells(limit int) *cells {
	return &cells{limit: max(limit/2, 1), young: map[metric.Key]*cell{}}
}

func (c *cells) get(k metric.Key) *cell {
	if x := c.young[k]; x != nil {
		return x
	}
	x := c.old[k]
	if x != nil {
		c.put(k, x)
		delete(c.old, k)
	}
	return x
}

func (c *cells) put(k metric.Key, x *cell) {
	c.young[k] = x
	c.bytes += x.state.Bytes() + 256
}

// age must not run while a flush needs its cells.
func (c *cells) age() {
	if c.bytes < c.limit {
		return
	}
	c.bytes = 0
	for _, x := range c.young {
		c.bytes += x.state.Bytes() + 256
	}
	if c.bytes >= c.limit {
		c.old, c.young, c.bytes = c.young, map[metric.Key]*cell{}, 0
	}
}
