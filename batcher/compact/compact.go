package compact

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/parquetout"
)

// Options say what is worth a compaction and how files are written.
type Options struct {
	Grace    time.Duration // after an hour's end, for late events
	MinFiles int           // more small files than so many
	Small    int64         // bytes; larger files stay as they are
	MaxBytes int64         // of a file, estimated
	Parquet  parquetout.Options
	Dir      string // spool; a folder of the compactor's own; Round removes Parquet files in it
}

// Deps are what a Compactor works with; they stay the caller's.
type Deps struct {
	Lake      *lake.Lake
	Log       *slog.Logger
	Compacted prometheus.Counter // files replaced; nil: nobody counts
	Orphans   prometheus.Gauge   // data objects that nobody names, seen by the last round; nil: nobody counts
}

// Compactor compacts a lake. It is not safe for concurrent use, but any number
// of them may work on one lake.
type Compactor struct {
	o       Options
	d       Deps
	settled map[lake.Hour]settled // hours that were not worth it when they were last looked at
}

// settled is what an hour looked like when there was nothing to do.
type settled struct {
	objects int
	bytes   int64
	newest  int64
	orphans int
}

// New returns a Compactor.
func New(o Options, d Deps) *Compactor {
	return &Compactor{o: o, d: d, settled: map[lake.Hour]settled{}}
}

// Scope bounds a round; empty members bound nothing.
type Scope struct {
	Table string    // schema.table
	DT    string    // day
	Since time.Time // hours that ended since
}

// Result is one compaction.
type Result struct {
	Hour        lake.Hour
	Generation  int
	Replaced    int
	Files       int
	Rows        int64
	BytesBefore int64
	BytesAfter  int64
}

const (
	attemptTime = time.Hour // for one compaction
	orphanAge   = time.Hour // below it, somebody may be about to name an object
)

// Round compacts each hour of scope that is worth it, once, and reports each
// compaction to done. An hour that fails is left for the next round; its error
// is among those returned.
func (c *Compactor) Round(ctx context.Context, scope Scope, now time.Time, done func(Result)) error {
	if err := c.emptySpool(); err != nil {
		return err
	}
	tables, err := c.tables(ctx, scope)
	if err != nil {
		return err
	}
	for h := range c.settled {
		if h.End().Before(scope.Since) {
			delete(c.settled, h)
		}
	}
	var errs []error
	orphans := 0
	for _, t := range tables {
		days, err := c.d.Lake.Days(ctx, t[0], t[1])
		if err != nil {
			return err
		}
		if len(days) == 0 && scope.Table != "" {
			return fmt.Errorf("table %s: the lake has no data of it", scope.Table)
		}
		for _, dt := range days {
			if scope.DT != "" && dt != scope.DT || dt < scope.Since.UTC().Format(time.DateOnly) {
				continue
			}
			n, err := c.day(ctx, t[0], t[1], dt, scope.Since, now, done)
			orphans += n
			errs = append(errs, err)
			if ctx.Err() != nil {
				return errors.Join(errs...)
			}
		}
	}
	if c.d.Orphans != nil {
		c.d.Orphans.Set(float64(orphans))
	}
	return errors.Join(errs...)
}

// emptySpool removes what a crash has left: files of Parquet and no others, lest
// a slip in the configuration empty another folder.
func (c *Compactor) emptySpool() error {
	if err := os.MkdirAll(c.o.Dir, 0o750); err != nil {
		return fmt.Errorf("make spool: %w", err)
	}
	left, err := filepath.Glob(filepath.Join(c.o.Dir, "*.parquet"))
	for _, path := range left {
		err = errors.Join(err, os.Remove(path))
	}
	if err != nil {
		return fmt.Errorf("empty spool: %w", err)
	}
	return nil
}

func (c *Compactor) tables(ctx context.Context, scope Scope) ([][2]string, error) {
	if scope.Table == "" {
		return c.d.Lake.Tables(ctx)
	}
	schema, table, err := lake.SplitTable(scope.Table)
	return [][2]string{{schema, table}}, err
}

// day compacts the hours of a table and day. It returns how many objects it saw
// that nobody names.
func (c *Compactor) day(ctx context.Context, schema, table, dt string, since, now time.Time, done func(Result)) (orphans int, err error) {
	objects, _, err := c.d.Lake.Objects(ctx, schema, table, dt)
	if err != nil {
		return 0, err
	}
	worth := c.worth(objects, since, now)
	var keys []lake.DataKey
	for h, all := range worth {
		if s, ok := c.settled[h]; ok && s == look(all, s.orphans) {
			orphans += s.orphans
			delete(worth, h)
			continue
		}
		for _, o := range all {
			keys = append(keys, o.DataKey)
		}
	}
	if len(worth) == 0 {
		return orphans, nil
	}
	compactions, err := c.d.Lake.CompactionsOf(ctx, schema, table, dt)
	if err != nil {
		return orphans, fmt.Errorf("%s.%s on %s: %w", schema, table, dt, err)
	}
	named, err := c.d.Lake.Committed(ctx, keys)
	if err != nil {
		return orphans, err
	}
	var errs []error
	for _, h := range slices.SortedFunc(maps.Keys(worth), func(a, b lake.Hour) int { return cmp.Compare(a.HH, b.HH) }) {
		s := hourState{paths: c.d.Lake.Paths, hour: h, objects: worth[h], named: named}
		for _, k := range compactions {
			if k.Hour() == h {
				s.compactions = append(s.compactions, k)
			}
		}
		n := s.orphans(now)
		orphans += n
		r, err := c.hour(ctx, s)
		switch {
		case errors.Is(err, objstore.ErrExists):
			c.d.Log.Info("another compactor was first", "hour", h.String())
		case err != nil:
			errs = append(errs, fmt.Errorf("compact %s: %w", h, err))
		case r.Generation == 0:
			c.settled[h] = look(s.objects, n)
		default:
			if c.d.Compacted != nil {
				c.d.Compacted.Add(float64(r.Replaced))
			}
			done(r)
		}
	}
	return orphans, errors.Join(errs...)
}

// look notes what an hour looks like.
func look(objects []lake.Object, orphans int) settled {
	s := settled{objects: len(objects), orphans: orphans}
	for _, o := range objects {
		s.bytes += o.Size
		s.newest = max(s.newest, o.Modified)
	}
	return s
}

// hour compacts one hour, if that is worth it now that commits are known.
func (c *Compactor) hour(ctx context.Context, s hourState) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	if len(s.small(c.o.Small)) <= c.o.MinFiles {
		return Result{}, nil
	}
	versions, err := c.d.Lake.Schemas(ctx, s.hour.Name())
	if err != nil {
		return Result{}, err
	}
	inputs, schema, err := s.pick(c.o, versions)
	if err != nil || len(inputs) == 0 {
		return Result{}, err
	}
	generation := 1
	if n := len(s.compactions); n > 0 {
		generation = s.compactions[n-1].Generation + 1
	}
	id := event.ULID(time.Now())
	m := &merge{c: c, hour: s.hour, generation: generation, attempt: id[len(id)-8:], schema: schema, inputs: inputs}
	defer m.drop()
	out := lake.Compaction{V: 1, Table: s.hour.Name(), DT: s.hour.DT, HH: s.hour.HH, Generation: generation}
	if out.Files, out.Lineage, err = m.run(ctx); err != nil {
		return Result{}, err
	}
	r := Result{Hour: s.hour, Generation: generation, Replaced: len(inputs), Files: len(out.Files)}
	var rows int64
	for _, in := range inputs {
		out.Replaces = append(out.Replaces, in.file.Key)
		rows += in.file.Rows
		r.BytesBefore += in.file.Bytes
	}
	for _, f := range out.Files {
		out.Rows += f.Rows
		r.BytesAfter += f.Bytes
	}
	slices.Sort(out.Replaces)
	if out.Rows != rows {
		return Result{}, fmt.Errorf("%w: %d rows were read, %d are in what was written", errUnequal, rows, out.Rows)
	}
	r.Rows = rows
	return r, c.d.Lake.CreateCompaction(ctx, out)
}

// errUnequal says that what was written is not what was read.
var errUnequal = errors.New("rows differ")

// compareKeys orders rows by (_partition, _offset).
func compareKeys(a, b rowKey) int {
	return cmp.Or(cmp.Compare(a.partition, b.partition), cmp.Compare(a.offset, b.offset))
}

// rowKey is where a row is from.
type rowKey struct{ partition, offset int64 }
