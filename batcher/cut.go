package batcher

import (
	"cmp"
	"path"
	"time"
)

// cut says why an open range ends; its text is the label and the commit's member.
type cut string

const (
	cutNone   cut = ""
	cutAge    cut = "age"
	cutBytes  cut = "bytes"
	cutRows   cut = "rows"
	cutFiles  cut = "files"
	cutMemory cut = "memory"
	cutDisk   cut = "disk"
	cutRevoke cut = "revoke"
	cutDrain  cut = "drain"
	cutLoss   cut = "loss"
)

func cuts() []cut {
	return []cut{cutAge, cutBytes, cutRows, cutFiles, cutMemory, cutDisk, cutRevoke, cutDrain, cutLoss}
}

// held is what a range takes up, in bytes.
type held struct {
	chunks int64 // rows in builders
	groups int64 // row groups that are open
	disk   int64 // files on the spool, finished or not
}

func (h held) plus(o held) held {
	return held{h.chunks + o.chunks, h.groups + o.groups, h.disk + o.disk}
}

func (h held) minus(o held) held {
	return held{h.chunks - o.chunks, h.groups - o.groups, h.disk - o.disk}
}

// load is what a chain's open range amounts to.
type load struct {
	records int64 // that have arrived, whatever became of them
	opened  time.Time
	rows    int64
	files   int
	bytes   int64 // estimated size of its files

	held  held
	chunk int64 // the largest one
	group int64 // the largest row group that may be written early
}

// due says whether the range must end by the limits of its own. Sizes come
// before age, so that the counter tells load from idleness. A range without a
// record never ends: the chain's position is right as it is.
func (l load) due(now time.Time, c CutConfig) cut {
	switch {
	case l.records == 0:
		return cutNone
	case l.bytes >= int64(c.Bytes):
		return cutBytes
	case l.rows >= c.Rows:
		return cutRows
	case l.files >= c.Files:
		return cutFiles
	case now.Sub(l.opened) >= c.Age:
		return cutAge
	}
	return cutNone
}

// A commit of more and smaller files than these lets its chain grow older.
const (
	manyFiles = 200
	smallFile = 64 << 10
	ageSteps  = 4
)

// nextAge returns the age at which the range after a commit is cut: a step
// towards MaxAge after many small files, and back towards Age after others.
func nextAge(age time.Duration, c CutConfig, files int, bytes int64) time.Duration {
	step := max(c.MaxAge-c.Age, 0) / ageSteps
	if files > manyFiles && bytes < int64(files)*smallFile {
		return min(age+step, max(c.MaxAge, c.Age))
	}
	return max(age-step, c.Age)
}

// of returns the limits of a topic: those of the first override that matches
// its name, and of c where that has none.
func (c Config) of(topic string) CutConfig {
	for _, o := range c.Topics {
		if ok, err := path.Match(o.Match, topic); err != nil || !ok {
			continue
		}
		return CutConfig{
			Age: cmp.Or(o.Cut.Age, c.Cut.Age), MaxAge: cmp.Or(o.Cut.MaxAge, c.Cut.MaxAge), Bytes: cmp.Or(o.Cut.Bytes, c.Cut.Bytes),
			Rows: cmp.Or(o.Cut.Rows, c.Cut.Rows), Files: cmp.Or(o.Cut.Files, c.Cut.Files),
		}
	}
	return c.Cut
}

// relief is what a chain does for the sake of a budget.
type relief int

const (
	reliefNone   relief = iota
	reliefChunk         // its largest chunk goes to its file
	reliefGroup         // its largest row group goes to disk
	reliefMemory        // its range is cut
	reliefDisk          // its range is cut
)

// state is what the policy knows of a chain.
type state struct {
	open    load
	sealed  held   // by the range on its way
	waiting bool   // the open range is to be cut, but the one before it is still on its way
	asked   relief // what it has been asked for and has not yet done
}

// gives is what a chain will give back of memory when it has done what it was
// asked for.
func (s state) gives() held {
	switch s.asked {
	case reliefChunk:
		return held{chunks: s.open.chunk}
	case reliefGroup:
		return held{groups: s.open.group}
	case reliefMemory:
		return held{chunks: s.open.held.chunks, groups: s.open.held.groups}
	case reliefDisk:
		return held{disk: s.open.held.disk}
	case reliefNone:
	}
	return held{}
}

// worthWriting is the smallest chunk that is written early: a writer costs more
// than the rows of smaller ones.
const worthWriting = 512 << 10

// verdict is what is to be done about the budgets.
type verdict struct {
	full   bool // nothing is fetched
	shut   bool // and chains take nothing of what was fetched
	disk   bool // because of the disk, else of memory
	chain  int  // which is to do something; an index
	relief relief
}

// excess says which budgets are above their water: nine tenths, or six tenths
// once one was above it.
func excess(sum, budget held, full bool) (chunks, groups, disk bool) {
	above := func(n, limit int64) bool { return n > limit/10*9 || full && n > limit/10*6 }
	return above(sum.chunks, budget.chunks), above(sum.groups, budget.groups), above(sum.disk, budget.disk)
}

// decide applies the budgets to the chains: above nine tenths of one nothing is
// fetched until all are below six tenths, and above the budget itself chains
// take nothing either. Meanwhile the largest chunk goes to its file, then the
// largest row group to disk, then the range that holds most is cut: as much as
// is needed together with what was asked for before. full is the last verdict's.
func decide(states []state, budget held, full bool) verdict {
	var sum, left held
	for _, s := range states {
		sum = sum.plus(s.open.held).plus(s.sealed)
		left = left.minus(s.gives())
	}
	chunks, groups, disk := excess(sum, budget, full)
	v := verdict{full: chunks || groups || disk, disk: disk && !chunks && !groups}
	v.shut = sum.chunks > budget.chunks || sum.groups > budget.groups || sum.disk > budget.disk
	if !v.full {
		return v
	}
	chunks, groups, disk = excess(sum.plus(left), budget, true)
	pick := func(r relief, least int64, weight func(state) int64) bool {
		for i, s := range states {
			if w := weight(s); w >= least && s.asked == reliefNone {
				v.chain, v.relief, least = i, r, w+1
			}
		}
		return v.relief != reliefNone
	}
	cuttable := func(weight func(held) int64) func(state) int64 {
		return func(s state) int64 {
			if s.waiting || s.open.records == 0 {
				return 0
			}
			return weight(s.open.held)
		}
	}
	switch {
	case groups && pick(reliefGroup, 1, func(s state) int64 { return s.open.group }):
	case chunks && !groups && pick(reliefChunk, worthWriting, func(s state) int64 { return s.open.chunk }):
	case (chunks || groups) && pick(reliefMemory, 1, cuttable(func(h held) int64 { return h.chunks + h.groups })):
	case disk:
		pick(reliefDisk, 1, cuttable(func(h held) int64 { return h.disk }))
	}
	return v
}
