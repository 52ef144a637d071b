package batcher

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millstream-data/millstream/internal/dedup"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/wire"
)

// errLost says that another batcher has put the commit that we wanted to put.
var errLost = errors.New("another batcher has committed the range")

// errCommitMissing says that a commit was there and is gone: somebody deletes commits.
var errCommitMissing = errors.New("commit is missing")

// sealed is a range that has ended: what its commit says beside the rows.
type sealed struct {
	*span
	why     cut
	topicID string
	writer  lake.Writer
	dedup   *lake.DedupState
	holds   func(held) // told whenever what the range holds changes
}

// commit makes the range's rows durable and then claims its offsets: the files
// are verified, the dead letters acknowledged and all data objects put before
// the one conditional put that makes them exist. It returns errLost if a twin
// was first. Data objects stay whatever happens: an ambiguous failure may have
// landed.
func (s *sealed) commit(ctx context.Context) (lake.Commit, error) {
	m := s.env.metrics
	start := time.Now()
	stage := func(name string) {
		m.cutSeconds.WithLabelValues(name).Observe(time.Since(start).Seconds())
		start = time.Now()
	}
	files, err := s.build(ctx)
	if err != nil {
		return lake.Commit{}, fmt.Errorf("build: %w", err)
	}
	start = start.Add(min(s.verifying, time.Since(start)))
	stage("build")
	m.cutSeconds.WithLabelValues("verify").Observe(s.verifying.Seconds())
	if err := s.lettersSent(ctx); err != nil {
		return lake.Commit{}, err
	}
	stage("letters")
	c, err := s.putData(ctx, files)
	if err != nil {
		return c, err
	}
	stage("put")
	if err := s.env.putCommit(ctx, c); err != nil {
		return c, err
	}
	stage("commit")
	return c, nil
}

// build closes every file. Schemas are agreed upon first, side by side, since
// each new one costs a round trip.
func (s *sealed) build(ctx context.Context) ([]finished, error) {
	parts := make([]*part, 0, len(s.parts))
	for _, p := range s.parts {
		parts = append(parts, p)
	}
	slices.SortFunc(parts, comparePart)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for _, p := range parts {
		if p.chunk == nil || len(p.chunk.wants()) == 0 {
			continue
		}
		g.Go(func() error {
			_, err := s.extend(gctx, p)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var out []finished
	sum := s.load.held
	for _, p := range parts {
		before := p.holds()
		if err := p.flush(ctx, s.span); err != nil {
			return nil, err
		}
		if err := p.close(s.span); err != nil {
			return nil, err
		}
		p.chunk, p.mirror = nil, nil // their builders would stay until the commit
		sum = sum.minus(before).plus(p.holds())
		s.holds(sum)
		out = append(out, p.done...)
	}
	return out, nil
}

func comparePart(a, b *part) int {
	if c := strings.Compare(a.name(), b.name()); c != 0 {
		return c
	}
	if a.key.hour != b.key.hour {
		return int(a.key.hour - b.key.hour)
	}
	return a.key.version - b.key.version
}

// extend registers what a part's chunk wants. If cdc has got the table's name
// meanwhile, the range is given up, and its records meet the table as it is.
func (s *span) extend(ctx context.Context, p *part) (schema lake.Schema, err error) {
	var taken error
	sh, wants := p.chunk.shape, p.chunk.wants()
	err = s.env.retry(ctx, "schema of "+p.name(), func(ctx context.Context) (err error) {
		schema, err = s.env.registry.extend(ctx, p.name(), sh.fixed, sh.fixedPaths, wants)
		if errors.Is(err, errOtherKind) {
			taken, err = err, nil
		}
		return err
	})
	return schema, errors.Join(err, taken)
}

// putData puts the files and returns the commit that names them.
func (s *sealed) putData(ctx context.Context, files []finished) (lake.Commit, error) {
	keys := make([]string, len(files))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8) // the client has a bound of its own
	for i, f := range files {
		g.Go(func() (err error) {
			keys[i], err = s.putFile(gctx, f)
			return err
		})
	}
	err := g.Wait()
	c := s.body()
	if len(files) == 0 {
		c.Kind = lake.KindEmpty
	}
	for i, f := range files {
		f.file.Key = keys[i]
		c.Files = append(c.Files, f.file)
		if _, named := c.Schemas[f.file.Schema]; !named { // tables of one shape share an entry
			c.Schemas[f.file.Schema] = lake.CommitSchema{
				Table: f.schema.Table, Version: f.schema.Version, Fingerprint: f.schema.Fingerprint, Columns: f.schema.FileColumns(),
			}
		}
	}
	return c, err
}

// putFile puts one data object. If its key is taken by the same bytes, an
// earlier attempt had landed; by other ones, they are another's orphan, and the
// file gets a key of its own. No key is ever overwritten.
func (s *sealed) putFile(ctx context.Context, f finished) (string, error) {
	hour, err := time.Parse("2006-01-02 15", f.file.DT+" "+f.file.HH)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	schema, table, err := lake.SplitTable(f.file.Table)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	key := s.env.lake.Paths.Data(schema, table, hour, s.id.Topic, s.id.Partition, f.file.First, f.file.Next, f.file.Schema)
	meta := objstore.Meta{SHA256: f.file.SHA256, CRC32C: f.file.CRC32C}
	body, err := os.Open(f.path)
	if err != nil {
		return "", fmt.Errorf("open spool: %w", err)
	}
	defer func() { _ = body.Close() }()
	for _, key := range []string{key, s.env.lake.Paths.Rescue(key, s.attempt)} {
		err := s.env.retry(ctx, "put "+key, func(ctx context.Context) error {
			if _, err := body.Seek(0, 0); err != nil {
				return err
			}
			return s.env.lake.Store.CreateFrom(ctx, key, body, f.file.Bytes, meta)
		})
		if err == nil {
			return key, nil
		}
		if !errors.Is(err, objstore.ErrExists) {
			return "", err
		}
		var info objstore.Info
		err = s.env.retry(ctx, "head "+key, func(ctx context.Context) (err error) {
			info, err = s.env.lake.Store.Head(ctx, key)
			return err
		})
		if err != nil {
			return "", err
		}
		if info.Size == f.file.Bytes && info.Meta.SHA256 == f.file.SHA256 {
			return key, nil
		}
	}
	return "", fmt.Errorf("put %s: both keys are taken by other bytes", key)
}

// body is the commit without its files.
func (s *sealed) body() lake.Commit {
	c := lake.Commit{
		V: 1, Kind: lake.KindData, Topic: s.id.Topic, TopicID: s.topicID, Partition: s.id.Partition,
		First: s.first, Next: s.next, Prev: s.prev, Holes: s.next - s.first - s.load.records, Cut: string(s.why), Attempt: s.attempt,
		Schemas: map[string]lake.CommitSchema{}, Marks: s.marks, Dedup: s.dedup, CreatedAt: lake.Time{Time: time.Now()}, Writer: s.writer,
	}
	for _, a := range s.account {
		c.Accounting = append(c.Accounting, *a)
	}
	slices.SortFunc(c.Accounting, func(a, b lake.Accounting) int {
		return strings.Compare(a.Source+"\x00"+a.DT, b.Source+"\x00"+b.DT)
	})
	return c
}

// putCommit claims a range. After an unknown outcome it says the same again; a
// key that is taken is read, and the attempt in it tells whether it was us.
func (e *env) putCommit(ctx context.Context, c lake.Commit) error {
	b, err := c.Encode()
	if err != nil {
		return err
	}
	if err := c.Validate(); err != nil {
		panic("BUG: commit " + c.Topic + ": " + err.Error())
	}
	key := e.lake.Paths.Commit(c.Topic, c.Partition, c.First)
	err = e.retry(ctx, "put "+key, func(ctx context.Context) error { return e.lake.Store.Create(ctx, key, b) })
	if !errors.Is(err, objstore.ErrExists) {
		return err
	}
	var winner lake.Commit
	err = e.retry(ctx, "get "+key, func(ctx context.Context) (err error) {
		winner, err = e.lake.Commit(ctx, lake.ChainID{Topic: c.Topic, Partition: c.Partition}, c.First)
		return err
	})
	switch {
	case errors.Is(err, objstore.ErrNotFound):
		return fmt.Errorf("%s: %w", key, errCommitMissing)
	case err != nil:
		return err
	case winner.Attempt == c.Attempt:
		e.metrics.conflicts.WithLabelValues("own").Inc()
		return nil
	}
	e.metrics.conflicts.WithLabelValues("lost").Inc()
	return fmt.Errorf("%s: %w", key, errLost)
}

// committed counts what a commit has made visible.
func (e *env) committed(c lake.Commit, opened time.Time) {
	kind := "events"
	if strings.HasPrefix(c.Topic, e.topics.ChangesPrefix()) {
		kind = "mirror"
	}
	for _, f := range c.Files {
		e.metrics.rows.WithLabelValues(kind).Add(float64(f.Rows))
		e.metrics.files.WithLabelValues(kind).Inc()
		e.metrics.fileBytes.WithLabelValues(kind).Observe(float64(f.Bytes))
		e.metrics.fileRows.WithLabelValues(kind).Observe(float64(f.Rows))
	}
	e.metrics.records.WithLabelValues(c.Topic, string(outHole)).Add(float64(c.Holes))
	e.metrics.commits.WithLabelValues(c.Topic, c.Cut).Inc()
	e.metrics.commitAge.WithLabelValues(c.Topic, fmt.Sprint(c.Partition)).Set(time.Since(opened).Seconds())
	e.metrics.lastCommit.SetToCurrentTime()
}

func dedupState(cfg dedup.Config, w *dedup.Window, next int64, incomplete bool) *lake.DedupState {
	st := w.State(next)
	return &lake.DedupState{
		WindowMS: cfg.Window.Milliseconds(), MaxRecords: cfg.MaxRecords,
		Floor: st.Floor, FloorClockMS: st.FloorClockMS, ClockMS: st.ClockMS, Incomplete: incomplete,
	}
}

// isEvents says whether a topic is that of events.
func isEvents(t wire.Topics, topic string) bool { return topic == t.Events() }
