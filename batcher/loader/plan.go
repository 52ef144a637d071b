package loader

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// smallRows is below what a load costs more than its own overhead.
const smallRows = 10_000

// chain is what the loader knows of a chain: its commits from the ledger's low
// water on.
type chain struct {
	id      warehouse.Chain
	commits []entry
	next    int64 // where the next listing begins
	started bool  // commits and next are set
	stopped bool  // the chain cannot be read on, and somebody has been told
	// failures in a row to read on.
	failures int
}

// entry is a commit and what it holds for each target.
type entry struct {
	lake.Commit
	parts map[string]*part
	size  int64 // of it in memory, about
}

// keep leaves target's part alone.
func (e *entry) keep(target string) {
	own, ok := e.parts[target]
	e.parts, e.Schemas = map[string]*part{}, nil
	if ok {
		e.parts[target] = own
	}
}

// sizeOf is about what a commit takes in memory: names of files, and of columns
// with their widths.
func sizeOf(c lake.Commit) int64 {
	const file, column = 300, 60
	size := int64(file)
	for _, f := range c.Files {
		size += file + int64(len(f.Key)+len(f.Table)) + column*int64(len(f.MaxBytes))
	}
	for _, s := range c.Schemas {
		size += column * int64(len(s.Columns))
	}
	return size
}

// newEntry takes a commit apart. An error stops the chain, as a gap does.
func newEntry(id warehouse.Chain, c lake.Commit) (entry, error) {
	byTarget, err := parts(id, c)
	if err != nil {
		return entry{}, fmt.Errorf("commit %s/%d/%d: %w", c.Topic, c.Partition, c.First, err)
	}
	for target := range byTarget {
		if _, err := warehouse.ParseName(target); err != nil {
			return entry{}, fmt.Errorf("commit %s/%d/%d: %w", c.Topic, c.Partition, c.First, err)
		}
	}
	size := sizeOf(c)
	c.Files, c.Marks, c.Accounting = nil, nil, nil // parts has what is needed of them
	return entry{Commit: c, parts: byTarget, size: size}, nil
}

// ledger is what the warehouse said at the beginning of a wave.
type ledger struct {
	low       map[warehouse.Chain]int64
	positions map[string]map[warehouse.Chain]int64
	targets   map[string]*heldTarget
	files     []warehouse.Held
	blocked   map[string]bool // targets of which people were told whom they wait for
	portions  map[string]int  // files that a load of a target takes at most, if fewer than others
}

// skipped is how many files somebody gave up for good.
func (led *ledger) skipped() (n int) {
	for _, h := range led.files {
		if h.Reason == warehouse.Skipped {
			n++
		}
	}
	return n
}

// heldTarget is a target that is held as a whole.
type heldTarget struct {
	from     map[warehouse.Chain]int64 // First of the first commit that it lacks
	attempts int
	age      time.Duration
}

func newLedger(positions []warehouse.Position, held []warehouse.Held) *ledger {
	led := &ledger{low: map[warehouse.Chain]int64{}, positions: map[string]map[warehouse.Chain]int64{}, targets: map[string]*heldTarget{}, blocked: map[string]bool{}}
	for _, p := range positions {
		if p.Target == warehouse.LowWater {
			led.low[p.Chain] = p.Next
			continue
		}
		if led.positions[p.Target] == nil {
			led.positions[p.Target] = map[warehouse.Chain]int64{}
		}
		led.positions[p.Target][p.Chain] = p.Next
	}
	for _, h := range held {
		switch h.FileKey {
		case warehouse.NothingHeld:
			led.blocked[h.Target] = true
			continue
		case warehouse.WholeTarget:
		default:
			led.files = append(led.files, h)
			continue
		}
		t := led.targets[h.Target]
		if t == nil {
			t = &heldTarget{from: map[warehouse.Chain]int64{}, attempts: h.Attempts}
			led.targets[h.Target] = t
		}
		t.from[h.Chain] = h.First
		t.attempts, t.age = max(t.attempts, h.Attempts), max(t.age, h.Age)
	}
	return led
}

// position returns where target stands in a chain; -1 if it has none of it.
func (led *ledger) position(target string, id warehouse.Chain) int64 {
	if at, ok := led.positions[target][id]; ok {
		return at
	}
	return -1
}

// retryDue says whether what failed attempts times and is held for age is to
// be tried again: after min, twice that, and so on up to max.
func retryDue(attempts int, age time.Duration, r RetryConfig) bool {
	var due time.Duration
	wait := r.HoldMin
	for range min(attempts, 1000) {
		due += wait
		wait = min(2*wait, r.HoldMax)
	}
	return age >= due
}

// dueFile is a file of a load.
type dueFile struct {
	lake.File
	chain  warehouse.Chain
	first  int64 // of its commit
	schema lake.CommitSchema
}

// span is what a load takes of a chain: it moves the target's position from
// from to next.
type span struct {
	from, first, next int64
	commits           int
}

// load is what one wave does to one target.
type load struct {
	id      string
	name    warehouse.Name
	files   []dueFile
	marks   []warehouse.Poll
	spans   map[warehouse.Chain]*span
	rows    int64
	bytes   int64
	created time.Time // of the oldest commit
	// Of a target that is held: what of it is not in this load and stays so.
	wasHeld bool
	remain  map[warehouse.Chain]int64
	// Of held files that are tried again: no position moves.
	repair  []warehouse.Held
	blocked bool  // people were told whom it waits for
	lost    error // in which each COPY of its files ended: they are held without another
}

func (ld *load) target() string { return ld.name.String() }

// chainIDs are in order, so that statements are.
func (ld *load) chainIDs() []warehouse.Chain {
	return sortedChains(ld.spans)
}

func compareChains(a, b warehouse.Chain) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Part, b.Part))
}

// part is a commit's share for one target.
type part struct {
	files []dueFile
	marks []warehouse.Poll
}

// parts takes a commit apart by target.
func parts(id warehouse.Chain, c lake.Commit) (map[string]*part, error) {
	out := map[string]*part{}
	of := func(target string) *part {
		if out[target] == nil {
			out[target] = &part{}
		}
		return out[target]
	}
	for _, f := range c.Files {
		p := of(f.Table)
		p.files = append(p.files, dueFile{File: f, chain: id, first: c.First, schema: c.Schemas[f.Schema]})
	}
	for _, raw := range c.Marks {
		var m lake.Mark
		if err := json.Unmarshal(raw, &m); err != nil {
			return nil, fmt.Errorf("mark: %w", err)
		}
		if m.Target == "" || m.Poll.Poll == "" {
			continue // not a mark of a poll
		}
		p := of(m.Target)
		p.marks = append(p.marks, pollOf(id, m))
	}
	return out, nil
}

// gather collects what is due of all targets in chains. Targets that are held
// are left out, but for the one that only names: with it only that target is
// gathered, and the commits of chains must reach back to where it was held.
func gather(chains []*chain, led *ledger, cfg WaveConfig, only string) map[string]*load {
	loads := map[string]*load{}
	for _, ch := range chains {
		for _, c := range ch.commits {
			for target, p := range c.parts {
				_, isHeld := led.targets[target]
				if only == "" && isHeld || only != "" && only != target || led.position(target, ch.id) >= c.Next {
					continue
				}
				ld := loads[target]
				if ld == nil {
					name, _ := warehouse.ParseName(target) // newEntry has seen to it
					ld = &load{name: name, spans: map[warehouse.Chain]*span{}, remain: map[warehouse.Chain]int64{}, wasHeld: isHeld, blocked: led.blocked[target], created: c.CreatedAt.Time}
					loads[target] = ld
				}
				limit := cfg
				if n, ok := led.portions[target]; ok {
					limit.Files = min(limit.Files, n)
				}
				ld.add(ch.id, c, p, led.position(target, ch.id), limit)
			}
		}
	}
	return loads
}

// add takes a commit's share, unless the load is full or has already left out
// an earlier one of the chain: a load covers a contiguous run of commits.
func (ld *load) add(id warehouse.Chain, c entry, p *part, from int64, limit WaveConfig) {
	if _, left := ld.remain[id]; left {
		return
	}
	var bytes, rows int64
	for _, f := range p.files {
		bytes, rows = bytes+f.Bytes, rows+f.Rows
	}
	full := len(ld.files) > 0 && (len(ld.files)+len(p.files) > limit.Files || config.Bytes(ld.bytes+bytes) > limit.Bytes)
	if full {
		ld.remain[id] = c.First
		return
	}
	s := ld.spans[id]
	if s == nil {
		s = &span{from: from, first: c.First}
		ld.spans[id] = s
	}
	s.next, s.commits = c.Next, s.commits+1
	ld.files, ld.marks = append(ld.files, p.files...), append(ld.marks, p.marks...)
	ld.bytes, ld.rows = ld.bytes+bytes, ld.rows+rows
	if c.CreatedAt.Before(ld.created) {
		ld.created = c.CreatedAt.Time
	}
}

// groups puts loads into transactions: targets of one schema, tracks first,
// within the bounds of cfg. While waves are slower than their interval, small
// loads wait so that large ones stay fresh.
func groups(loads map[string]*load, cfg GroupConfig, deferSmall func(*load) bool) [][]*load {
	list := slices.SortedFunc(maps.Values(loads), func(a, b *load) int {
		return cmp.Or(cmp.Compare(a.name.Schema, b.name.Schema), cmp.Compare(rank(a), rank(b)), cmp.Compare(a.name.Table, b.name.Table))
	})
	var out [][]*load
	var rows, bytes int64
	for _, ld := range list {
		if deferSmall(ld) {
			continue
		}
		last := len(out) - 1
		if last < 0 || out[last][0].name.Schema != ld.name.Schema || len(out[last]) >= cfg.Targets ||
			rows+ld.rows > cfg.Rows || config.Bytes(bytes+ld.bytes) > cfg.Bytes {
			out, rows, bytes = append(out, nil), 0, 0
			last++
		}
		out[last] = append(out[last], ld)
		rows, bytes = rows+ld.rows, bytes+ld.bytes
	}
	return out
}

func rank(ld *load) int {
	if ld.name.Table == "tracks" {
		return 0
	}
	return 1
}

// lowWater returns how far every target has loaded a chain or is held, and the
// rows of held by which held targets keep their place when low water passes
// them.
func lowWater(ch *chain, led *ledger) (int64, []warehouse.Held) {
	var held []warehouse.Held
	noted := map[string]bool{}
	for _, c := range ch.commits {
		for _, target := range slices.Sorted(maps.Keys(c.parts)) {
			if led.position(target, ch.id) >= c.Next {
				continue
			}
			t := led.targets[target]
			if t == nil {
				return c.First, held
			}
			if _, has := t.from[ch.id]; !has && !noted[target] {
				noted[target] = true
				held = append(held, warehouse.Held{Target: target, Chain: ch.id, First: c.First, FileKey: warehouse.WholeTarget, Reason: "behind", Attempts: t.attempts})
			}
		}
	}
	return ch.next, held
}

// bySchema groups the files of a load by fingerprint, in order of version: one
// staging table and one COPY each.
func (ld *load) bySchema() [][]dueFile {
	groups := map[string][]dueFile{}
	for _, f := range ld.files {
		groups[f.schema.Fingerprint] = append(groups[f.schema.Fingerprint], f)
	}
	out := slices.Collect(maps.Values(groups))
	slices.SortFunc(out, func(a, b []dueFile) int {
		return cmp.Or(cmp.Compare(a[0].schema.Version, b[0].schema.Version), strings.Compare(a[0].schema.Fingerprint, b[0].schema.Fingerprint))
	})
	return out
}

// ranges are what the load covers, for the history.
func (ld *load) ranges() []warehouse.Range {
	var out []warehouse.Range
	for _, id := range ld.chainIDs() {
		out = append(out, warehouse.Range{Topic: id.Topic, Part: id.Part, First: ld.spans[id].first, Next: ld.spans[id].next})
	}
	return out
}
