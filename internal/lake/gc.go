package lake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/objstore"
)

// GC finds data objects that no reader can need, and removes them if Delete is
// set. It never touches commits, schemas, compactions, or a key that it cannot
// read, and leaves a chain alone whose commits do not hold.
type GC struct {
	Lake          *Lake
	Keep          time.Duration // age of an orphan, and time since a compaction
	RespectLoader bool          // keep replaced files that the loader may still want
	Delete        bool
	Now           time.Time
}

// GarbageKind says why an object is garbage.
type GarbageKind string

// The kinds of garbage.
const (
	GarbageOrphan   GarbageKind = "orphan"   // no commit names it, and its chain is beyond it: none ever will
	GarbageReplaced GarbageKind = "replaced" // by a compaction
	GarbageOutput   GarbageKind = "output"   // of a compaction that lost its race or crashed
	GarbageUpload   GarbageKind = "upload"   // left by an upload that was killed
	GarbageManifest GarbageKind = "manifest" // left by a load that was killed, or whose COPY failed
)

// GarbageKinds returns all kinds.
func GarbageKinds() []GarbageKind {
	return []GarbageKind{GarbageOrphan, GarbageReplaced, GarbageOutput, GarbageUpload, GarbageManifest}
}

// Garbage is an object to be removed.
type Garbage struct {
	Key   string
	Bytes int64
	Kind  GarbageKind
	Why   string
}

// GCReport is what GC.Run found.
type GCReport struct {
	Objects map[GarbageKind]int
	Bytes   map[GarbageKind]int64
	Later   map[GarbageKind]int // will be garbage when they are old enough, or the loader is past them
	Unknown int                 // keys of no data object; never touched
	// Problems are what kept GC from deciding; what they concern was left alone.
	Problems []string
}

// Run reports each piece of garbage to found, after removing it if Delete is set.
func (g GC) Run(ctx context.Context, found func(Garbage)) (GCReport, error) {
	r := gcRun{GC: g, GCReport: GCReport{Objects: map[GarbageKind]int{}, Bytes: map[GarbageKind]int64{}, Later: map[GarbageKind]int{}}, found: found}
	if err := r.readLoader(ctx); err != nil {
		return r.GCReport, err
	}
	if err := r.readChains(ctx); err != nil {
		return r.GCReport, err
	}
	tables, err := g.Lake.Tables(ctx)
	if err != nil {
		return r.GCReport, err
	}
	for _, t := range tables {
		days, err := g.Lake.Days(ctx, t[0], t[1])
		if err != nil {
			return r.GCReport, err
		}
		for _, dt := range days {
			if err := r.day(ctx, t[0], t[1], dt); err != nil {
				return r.GCReport, err
			}
		}
	}
	if err := r.leftovers(ctx, r.Lake.Paths.Uploads(), "", GarbageUpload, "no upload runs so long"); err != nil {
		return r.GCReport, err
	}
	return r.GCReport, r.leftovers(ctx, r.Lake.Paths.Loads(), ".manifest", GarbageManifest, "no COPY runs so long")
}

// listed is how many keys of leftovers are held at a time: a lake may have
// millions of manifests.
const listed = 10_000

// leftovers decides about what those who put it remove themselves, and nobody
// else reads.
func (r *gcRun) leftovers(ctx context.Context, prefix, suffix string, kind GarbageKind, why string) error {
	for after := ""; ; {
		objects, err := r.Lake.Store.List(ctx, prefix, after, listed)
		if err != nil || len(objects) == 0 {
			return err
		}
		after = objects[len(objects)-1].Key
		var garbage []Garbage
		for _, o := range objects {
			switch {
			case !strings.HasSuffix(o.Key, suffix):
			case r.young(o.Modified):
				r.Later[kind]++
			default:
				garbage = append(garbage, Garbage{o.Key, o.Size, kind, why})
			}
		}
		if err := r.remove(ctx, garbage); err != nil {
			return err
		}
	}
}

// gcRun is one run of a GC.
type gcRun struct {
	GC
	GCReport
	found  func(Garbage)
	loader *LoaderPositions // nil: it has not told
	seed   maphash.Seed
	chains map[ChainID]*chainFiles
}

// chainFiles is what the commits of a chain name: hashes of keys, of which two
// that meet only keep an orphan.
type chainFiles struct {
	next  int64
	named map[uint64]struct{}
}

func (r *gcRun) problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// readChains reads every commit. What is listed later and lies below a chain's
// position as read here can be named by no other commit than those.
func (r *gcRun) readChains(ctx context.Context) error {
	r.seed, r.chains = maphash.MakeSeed(), map[ChainID]*chainFiles{}
	ids, err := r.Lake.Chains(ctx)
	if err != nil {
		return err
	}
	for _, id := range ids {
		chain := &chainFiles{named: map[uint64]struct{}{}}
		report := ChainReport{ID: id}
		var before *Commit
		err := r.Lake.walk(ctx, id, func(_ string, c Commit, err error) error {
			if err != nil {
				report.Problems = append(report.Problems, err.Error())
				return nil
			}
			report.add(c, before)
			before, chain.next = &c, c.Next
			for _, f := range c.Files {
				chain.named[maphash.String(r.seed, f.Key)] = struct{}{}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if len(report.Problems) > 0 {
			r.problem("chain %s is left alone: %s", id, report.Problems[0])
			continue
		}
		r.chains[id] = chain
	}
	return nil
}

func (r *gcRun) readLoader(ctx context.Context) error {
	if !r.RespectLoader {
		return nil
	}
	p, err := r.Lake.LoaderPositions(ctx)
	var fault *FormatError
	switch {
	case errors.As(err, &fault):
		r.problem("replaced files are kept: %v", err)
	case err != nil && !errors.Is(err, objstore.ErrNotFound):
		return err
	case err == nil:
		r.loader = &p
	}
	return nil
}

// day decides about the objects of a table and day. Compactions are read after
// the list, so that whatever is listed and named has its name known.
func (r *gcRun) day(ctx context.Context, schema, table, dt string) error {
	objects, unknown, err := r.Lake.Objects(ctx, schema, table, dt)
	if err != nil {
		return err
	}
	r.Unknown += unknown
	compactions, faults, err := r.Lake.compactions(ctx, r.Lake.Paths.Compactions(schema, table)+"dt="+dt+"/")
	if err != nil {
		return err
	}
	for _, f := range faults {
		r.problem("compactions of %s.%s on %s are left alone: %v", schema, table, dt, f)
	}
	d := newGCDay(objects, compactions, len(faults) == 0)
	var garbage []Garbage
	for _, o := range objects {
		kind, why := r.judge(o, d)
		switch {
		case kind == "":
		case why == "":
			r.Later[kind]++
		default:
			garbage = append(garbage, Garbage{o.Key, o.Size, kind, why})
		}
	}
	return r.remove(ctx, garbage)
}

// gcDay is what compactions say of the objects of a table and day.
type gcDay struct {
	sizes    map[string]int64
	written  map[string]bool
	replaced map[string]Compaction
	known    bool // all compactions could be read
}

func newGCDay(objects []Object, compactions []Compaction, known bool) gcDay {
	d := gcDay{sizes: map[string]int64{}, written: map[string]bool{}, replaced: map[string]Compaction{}, known: known}
	for _, o := range objects {
		d.sizes[o.Key] = o.Size
	}
	for _, c := range compactions {
		for _, f := range c.Files {
			d.written[f.Key] = true
		}
		for _, key := range c.Replaces {
			d.replaced[key] = c
		}
	}
	return d
}

// whole says whether what a compaction has written is there, or was replaced in
// turn by one of which that is so.
func (d gcDay) whole(c Compaction) bool {
	return !slices.ContainsFunc(c.Files, func(f File) bool {
		if later, ok := d.replaced[f.Key]; ok && later.Generation > c.Generation {
			return !d.whole(later)
		}
		return d.sizes[f.Key] != f.Bytes
	})
}

// judge says what kind of garbage an object is and why; no kind if readers need
// it or nobody can tell, no reason if it must stay for now.
func (r *gcRun) judge(o Object, d gcDay) (kind GarbageKind, why string) {
	if o.Compacted() {
		return r.judgeOutput(o, d)
	}
	chain := r.chains[o.Chain]
	if chain == nil || o.Next > chain.next {
		return "", "" // a commit may yet name it
	}
	if _, named := chain.named[maphash.String(r.seed, o.Key)]; named {
		return r.judgeReplaced(o, d)
	}
	if r.young(time.Unix(o.Modified, 0)) {
		return GarbageOrphan, ""
	}
	return GarbageOrphan, fmt.Sprintf("no commit names it, and chain %s is at %d", o.Chain, chain.next)
}

func (r *gcRun) judgeOutput(o Object, d gcDay) (GarbageKind, string) {
	switch {
	case !d.known:
		return "", ""
	case d.written[o.Key]:
		return r.judgeReplaced(o, d)
	case r.young(time.Unix(o.Modified, 0)):
		return GarbageOutput, ""
	}
	return GarbageOutput, "no compaction names it"
}

func (r *gcRun) judgeReplaced(o Object, d gcDay) (GarbageKind, string) {
	c, ok := d.replaced[o.Key]
	switch {
	case !ok || !d.known:
		return "", ""
	case r.young(c.PutAt):
		return GarbageReplaced, ""
	case !d.whole(c):
		r.problem("%s is kept: what generation %d of %s has written instead is not there", o.Key, c.Generation, c.Hour())
		return "", ""
	case r.RespectLoader && !o.Compacted() && (r.loader == nil || !r.loader.Past(o.Chain, o.Next)):
		return GarbageReplaced, ""
	}
	return GarbageReplaced, fmt.Sprintf("generation %d has replaced it", c.Generation)
}

func (r *gcRun) young(t time.Time) bool { return r.Now.Sub(t) < r.Keep }

func (r *gcRun) remove(ctx context.Context, garbage []Garbage) error {
	if r.Delete {
		err := each(ctx, len(garbage), func(ctx context.Context, i int) error { return r.Lake.Store.Delete(ctx, garbage[i].Key) })
		if err != nil {
			return err
		}
	}
	for _, g := range garbage {
		r.Objects[g.Kind]++
		r.Bytes[g.Kind] += g.Bytes
		r.found(g)
	}
	return nil
}

// LoaderPositions is what the loader tells of how far it is, in
// _loads/_positions.json.
type LoaderPositions struct {
	V        int              `json:"v"`
	At       time.Time        `json:"at"`
	LowWater []LoaderPosition `json:"low_water"` // of each chain: below it, all targets are loaded
	Held     []LoaderPosition `json:"held"`      // but for these, from Next on
}

// LoaderPosition is an offset of a chain.
type LoaderPosition struct {
	Target    string `json:"target,omitempty"`
	Topic     string `json:"topic"`
	Partition int32  `json:"part"`
	Next      int64  `json:"next"`
}

// Past says whether the loader wants nothing below next of a chain any more.
func (p LoaderPositions) Past(id ChainID, next int64) bool {
	of := func(q LoaderPosition) bool { return q.Topic == id.Topic && q.Partition == id.Partition }
	i := slices.IndexFunc(p.LowWater, of)
	return i >= 0 && p.LowWater[i].Next >= next && !slices.ContainsFunc(p.Held, func(q LoaderPosition) bool { return of(q) && q.Next < next })
}

// LoaderPositions reads what the loader tells, or returns objstore.ErrNotFound.
func (l *Lake) LoaderPositions(ctx context.Context) (LoaderPositions, error) {
	var p LoaderPositions
	b, err := l.Store.Get(ctx, l.Paths.Positions())
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(b, &p); err != nil {
		return p, &FormatError{fmt.Errorf("%s: %w", l.Paths.Positions(), err)}
	}
	if p.V != 1 {
		return p, &FormatError{fmt.Errorf("%s: unknown version %d", l.Paths.Positions(), p.V)}
	}
	return p, nil
}
