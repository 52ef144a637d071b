package loader

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/warehouse"
)

const (
	swapTries    = 20          // of what has to wait for those who use a table, with swapPause between
	tidyPatience = time.Minute // that dropping the table beside the target takes
)

// Suffixes of the table that a reload builds beside a target, and of the target
// once that has taken its place.
const (
	sideSuffix = "__reload"
	oldSuffix  = "__old"
)

// Reload says what is to be loaded again from the lake.
type Reload struct {
	Target string
	// Days are those of received_at; none: the whole table, which is built beside
	// the present one and swapped with it.
	Days warehouse.Days
	// Force goes on without files that COPY refuses, and when the lake has fewer
	// rows than the table.
	Force bool
}

// Reloaded is what a reload did.
type Reloaded struct {
	Files      int
	Rows       int64 // in the lake's files
	Inserted   int64
	Duplicates int64
	Before     int64    // rows that the table had, and duplicates that were named of it
	LeftOut    []string // files that COPY refuses, with its words
	Old        error    // why the former table, under its name with __old, could not be dropped; nil if it is gone
}

// errFewer says that a reload would lose rows.
var errFewer = errors.New("the lake has fewer rows")

// reloading is a reload on its way. Staged files come into side: a table beside
// the target, or the target itself when only some of its days are reloaded.
type reloading struct {
	*session
	Reload
	lake      *lake.Lake
	name      warehouse.Name
	side      warehouse.Name
	existed   bool
	grants    []string
	led       *ledger
	goal      map[warehouse.Chain]int64 // through which all of the lake is in todo or in side
	versions  map[string]lake.CommitSchema
	todo      []*work // of some days: staged, to be inserted with the deletion
	out       Reloaded
	done      warehouse.Load
	gotChains map[warehouse.Chain]bool // of which there were files
	encodings map[string]string        // of the present table's columns
	wrote     map[string]lake.Compaction
	leftOut   []warehouse.Held   // files that Force goes on without
	brought   map[string]bool    // keys of files whose rows are loaded, compacted ones as what they replace
	waiting   map[string]dueFile // files that are held, and left to the loader
}

// Reload loads a table of events again, beside a loader that may be running: it
// takes turns with it at the gate, and what commits bring meanwhile is in it
// too. After an error the table is as it was.
func (b ByHand) Reload(ctx context.Context, r Reload) (Reloaded, error) {
	l, err := New(b.Config, Deps{Warehouse: b.Warehouse, Lake: b.Lake, Dedup: b.Dedup, Log: b.Log, Registry: prometheus.NewRegistry()})
	if err != nil {
		return Reloaded{}, err
	}
	l.swapPause = cmp.Or(b.pause, l.swapPause)
	conn, err := l.warehouse.Connect(ctx)
	if err != nil {
		return Reloaded{}, err
	}
	defer conn.Close()
	s := &session{l: l, conn: conn, fence: warehouse.AnyFence, wave: event.ULID(time.Now())}
	rl := &reloading{session: s, Reload: r, lake: b.Lake, goal: map[warehouse.Chain]int64{}, gotChains: map[warehouse.Chain]bool{}, brought: map[string]bool{}, waiting: map[string]dueFile{}}
	if err := rl.begin(ctx); err != nil {
		return Reloaded{}, err
	}
	files, err := rl.files(ctx)
	if err != nil {
		return Reloaded{}, err
	}
	if len(files) == 0 && !r.Force {
		return Reloaded{}, fmt.Errorf("the lake has no file of %s to reload; millstream lake files --table %[1]s shows what there is", rl.name)
	}
	err = rl.load(ctx, files)
	if err == nil {
		err = rl.replace(ctx)
	}
	if err != nil {
		rl.tidy()
	}
	return rl.out, err
}

// tidy drops the table that was built beside the target, which begin has seen to
// be nobody else's. If that fails the next reload names it.
func (r *reloading) tidy() {
	if !r.Days.All() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), tidyPatience)
	defer cancel()
	conn, err := r.l.warehouse.Connect(ctx) // the reload's own may be in a failed transaction, or gone
	if err == nil {
		r.conn.Close()
		_, err = conn.Exec(ctx, warehouse.DropTable(r.side))
		conn.Close()
	}
	if err != nil {
		r.l.log.Warn("side table not dropped", "table", r.side.String(), "err", err)
	}
}

// begin reads what the ledger, the catalogue and the lake's schemas say of the
// target, and refuses what a reload would harm.
func (r *reloading) begin(ctx context.Context) (err error) {
	if r.name, err = warehouse.ParseName(r.Target); err != nil {
		return err
	}
	if r.side = r.name; r.Days.All() {
		r.side = r.name.Beside(sideSuffix)
	}
	r.l.patience.tooSlow(r.side.String()) // portions are large, and have their time
	if err := r.readVersions(ctx); err != nil {
		return err
	}
	if err := r.readLedger(ctx); err != nil {
		return err
	}
	if len(r.led.positions[r.Target]) == 0 && r.led.targets[r.Target] == nil {
		return fmt.Errorf("%s has never been loaded; a running loader does that by itself", r.name)
	}
	names := []warehouse.Name{r.name}
	if r.Days.All() {
		names = append(names, r.side, r.name.Beside(oldSuffix))
	}
	columns, err := r.conn.Columns(ctx, names)
	if err != nil {
		return err
	}
	for _, n := range names[1:] {
		if columns[n] != nil { // it may be what a reload that was killed has left, or an analyst's own
			return fmt.Errorf("the table %s is in the way; look what it is, and drop or rename it", n)
		}
	}
	r.existed = columns[r.name] != nil
	if !r.Days.All() {
		if !r.existed {
			return fmt.Errorf("the table %s is gone; without --from and --to it is made anew", r.name)
		}
		return nil
	}
	if own := r.foreign(columns[r.name]); len(own) > 0 {
		return fmt.Errorf("%s has columns that the lake does not know, %v, which a new table would lack; drop them, or reload days with --from and --to, which keeps the table", r.name, own)
	}
	if err := r.readTable(ctx); err != nil {
		return err
	}
	_, err = r.conn.Exec(ctx, warehouse.DeleteDuplicates(r.side, warehouse.Days{}))
	return err
}

// readTable reads what hangs on the present table: compression that the new one
// takes over, and views that would go on showing the old one.
func (r *reloading) readTable(ctx context.Context) (err error) {
	if !r.existed {
		return nil
	}
	if err := r.refuseBoundViews(ctx); err != nil {
		return err
	}
	r.encodings, _, err = r.conn.Like(ctx, r.name, warehouse.Layout{})
	return err
}

func (r *reloading) refuseBoundViews(ctx context.Context) error {
	views, err := r.conn.BoundViews(ctx, r.name)
	if err == nil && len(views) > 0 {
		err = fmt.Errorf("the views %v are bound to the table %s and would go on showing the old one; create them WITH NO SCHEMA BINDING, or reload days with --from and --to, which keeps the table", views, r.name)
	}
	return err
}

// readVersions reads the versions of the target's columns.
func (r *reloading) readVersions(ctx context.Context) error {
	versions, err := r.lake.Schemas(ctx, r.Target)
	if err != nil {
		return err
	}
	r.versions = map[string]lake.CommitSchema{}
	for _, v := range versions {
		if v.Kind == lake.SchemaMirror {
			return fmt.Errorf("%s mirrors a table of a database: `millstream cdc reload SOURCE TABLE` has cdc read that anew, and the loader replaces the mirror", r.name)
		}
		c := lake.CommitSchema{Table: v.Table, Version: v.Version, Fingerprint: v.Fingerprint, Columns: v.FileColumns()}
		r.versions[schema8(v)] = c
	}
	if len(versions) == 0 {
		for _, from := range []string{"identifies", "groups"} {
			source := warehouse.Name{Schema: r.name.Schema, Table: from}
			if latest, _, _ := warehouse.LatestOf(source); latest == r.name {
				return fmt.Errorf("%s is made from %s: reload that", r.name, source)
			}
		}
		return fmt.Errorf("the lake has no table %s; millstream lake files --table T names the files of one", r.name)
	}
	return nil
}

// foreign are the columns of a table that no version of its files has.
func (r *reloading) foreign(existing warehouse.Existing) []string {
	var out []string
	for name := range existing {
		known := false
		for _, v := range r.versions {
			known = known || slices.ContainsFunc(v.Columns, func(c columnOfFile) bool { return c.Name == name })
		}
		if !known {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func (r *reloading) readLedger(ctx context.Context) error {
	positions, err := r.conn.Positions(ctx, r.Target, warehouse.LowWater)
	if err != nil {
		return err
	}
	held, err := r.conn.Held(ctx)
	if err != nil {
		return err
	}
	r.led = newLedger(positions, slices.DeleteFunc(held, func(h warehouse.Held) bool { return h.Target != r.Target }))
	return nil
}

// load stages files in portions. With a table beside the target each portion
// goes into it at once.
func (r *reloading) load(ctx context.Context, files []dueFile) error {
	var portion []dueFile
	var bytes int64
	for i, f := range files {
		r.gotChains[f.chain] = r.gotChains[f.chain] || f.chain.Topic != ""
		portion, bytes = append(portion, f), bytes+f.Bytes
		if i+1 < len(files) && len(portion) < r.l.cfg.Wave.Files && bytes < int64(r.l.cfg.Wave.Bytes) {
			continue
		}
		if err := r.portion(ctx, portion, bytes); err != nil {
			return err
		}
		portion, bytes = nil, 0
	}
	return nil
}

func (r *reloading) portion(ctx context.Context, files []dueFile, bytes int64) error {
	w := &work{load: &load{id: event.ULID(time.Now()), name: r.side, files: files, bytes: bytes}, rules: r.name, started: time.Now()}
	_, faults, err := r.prepare(ctx, []*work{w})
	if err != nil {
		return err
	}
	if len(faults) > 0 {
		return faults[0]
	}
	for _, h := range w.bad {
		if !r.Force {
			return fmt.Errorf("COPY refuses %s: %s; put it back as it was, or leave it out by --force", h.FileKey, h.Error)
		}
		r.out.LeftOut = append(r.out.LeftOut, h.FileKey+": "+h.Error)
		r.leftOut = append(r.leftOut, r.givenUp(h)...)
	}
	for _, f := range files {
		if !slices.ContainsFunc(w.bad, func(h warehouse.Held) bool { return h.FileKey == f.Key }) {
			r.notes(f.Key)
		}
	}
	if r.Days.All() && len(w.shapes) > 0 {
		r.compress(w.shapes[0].columns)
	}
	if !r.Days.All() {
		r.todo = append(r.todo, w)
		return nil
	}
	if err := r.bring(ctx, w); err != nil {
		return err
	}
	r.count(w)
	for _, st := range w.stages {
		if _, err := r.conn.Exec(ctx, st.table.Drop()); err != nil {
			return err
		}
	}
	return nil
}

// notes notes whose rows a file brings.
func (r *reloading) notes(key string) {
	r.brought[key] = true
	for _, replaced := range r.wrote[key].Replaces {
		r.notes(replaced)
	}
}

// bring applies a portion behind the gate. Loads go on while it waits for those
// who use a table.
func (r *reloading) bring(ctx context.Context, w *work) error {
	for try := 1; ; try++ {
		err := r.gated(ctx, func() error { return r.apply(ctx, w) })
		if warehouse.Classify(err) != warehouse.ClassSlow || try == swapTries {
			return err
		}
		if err := r.rollback(ctx); err != nil {
			return err
		}
		if !pause(ctx, r.l.swapPause) {
			return ctx.Err()
		}
	}
}

// compress gives columns the encodings that they have in the present table.
func (r *reloading) compress(columns []warehouse.Column) {
	for i := range columns {
		columns[i].Encoding = warehouse.KeptEncoding(columns[i].Type, r.encodings[columns[i].Name])
	}
}

// givenUp are the rows of millstream.held about a file that the reload goes on
// without: one, or of a compacted file one for each that a commit names.
func (r *reloading) givenUp(h warehouse.Held) []warehouse.Held {
	if c, compacted := r.wrote[h.FileKey]; compacted {
		var out []warehouse.Held
		for _, key := range c.Replaces {
			one := h
			one.FileKey = key
			if k, ok := r.lake.Paths.ParseData(key); ok {
				one.Chain, one.First = warehouse.Chain{Topic: k.Chain.Topic, Part: k.Chain.Partition}, k.First
			}
			out = append(out, r.givenUp(one)...)
		}
		return out
	}
	h.Target, h.Reason, h.Error = r.Target, warehouse.Skipped, "left out by millstream loader reload --force | "+h.Error
	return []warehouse.Held{h}
}

// count adds what a portion did to what the reload did.
func (r *reloading) count(w *work) {
	d, one := &r.done, w.result
	d.Files, d.Bytes = d.Files+one.Files, d.Bytes+one.Bytes
	d.Staged, d.Inserted, d.Duplicates = d.Staged+one.Staged, d.Inserted+one.Inserted, d.Duplicates+one.Duplicates
	d.Deleted += one.Deleted
	if d.MinReceivedAt.IsZero() || one.MinReceivedAt.Before(d.MinReceivedAt) {
		d.MinReceivedAt = one.MinReceivedAt
	}
	if one.MaxReceivedAt.After(d.MaxReceivedAt) {
		d.MaxReceivedAt = one.MaxReceivedAt
	}
}
