package loader

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/warehouse"
	"github.com/millstream-data/millstream/internal/wire"
)

// work is a load on its way through a session.
type work struct {
	*load
	info      tableInfo
	shapes    []shape // the target's, then that of latest state
	stages    []stage
	mirror    *mirror
	latest    *warehouse.Latest
	bad       []warehouse.Held // files that COPY refuses
	anew      []string         // columns that somebody dropped, and that come again
	started   time.Time
	result    warehouse.Load
	manifests map[string]int // that were put of each schema, for names that differ
	halves    int            // of COPYs that took too long, for the same reason
	trials    int
	refitted  bool           // begun anew for a catalogue that was stale
	rules     warehouse.Name // whose configuration holds, where the table is built beside it
}

// base is the table by whose rules the load goes.
func (w *work) base() warehouse.Name {
	if w.rules != (warehouse.Name{}) {
		return w.rules
	}
	return w.name
}

// stage is a staging table and the files that are in it.
type stage struct {
	table warehouse.Staging
	files []dueFile
	rows  int64
	since time.Time // received_at of the oldest row
}

// targetError is the fault of one load; its group goes on without it.
type targetError struct {
	work   *work
	reason string
	err    error
}

func (e *targetError) Error() string { return e.work.target() + ": " + e.reason + ": " + e.err.Error() }
func (e *targetError) Unwrap() error { return e.err }

// openError is an error during a load that does not say whose fault it is.
type openError struct {
	load    *load
	copying bool // in COPY, so that it may be a file's
	err     error
}

func (e *openError) Error() string { return e.load.target() + ": " + e.err.Error() }
func (e *openError) Unwrap() error { return e.err }

// ownFault sorts an error of a statement of w: those of the cluster or the
// session are everybody's, the rest is w's own.
func ownFault(w *work, err error) error {
	var own *targetError
	var open *openError
	var store *storeError
	if errors.As(err, &own) || errors.As(err, &open) || errors.As(err, &store) {
		return err
	}
	switch class := warehouse.Classify(err); class {
	case warehouse.ClassConflict, warehouse.ClassUnknown, warehouse.ClassBusy, warehouse.ClassDenied, warehouse.ClassRaced:
		return &openError{load: w.load, err: err}
	default:
		return &targetError{work: w, reason: string(class), err: err}
	}
}

// widen is step A: Redshift refuses it inside a transaction, and it must come
// before the rows.
func (s *session) widen(ctx context.Context, w *work) error {
	var statements []string
	for _, sh := range w.shapes {
		for _, c := range sh.widens {
			statements = append(statements, warehouse.Widen(sh.name, c.Name, c.Type))
		}
	}
	if len(statements) == 0 {
		return nil
	}
	if err := s.conn.SetTimeout(ctx, s.l.patience.share(s.l.cfg.DDLTimeout)); err != nil {
		return err
	}
	for _, st := range statements {
		if _, err := s.conn.Exec(ctx, st); err != nil && !warehouse.SameSize(err) {
			if warehouse.Classify(err) == warehouse.ClassSlow {
				err = s.inUse(w, err)
			}
			if err = ownFault(w, err); !s.conn.Closed() { // the next load's COPYs need their time
				err = errors.Join(err, s.conn.SetTimeout(ctx, s.l.timeout))
			}
			return err
		}
		s.l.metrics.widened.Inc()
	}
	return s.conn.SetTimeout(ctx, s.l.timeout)
}

// stage is step B: the files of each fingerprint come into a staging table of
// their own by one COPY.
func (s *session) stage(ctx context.Context, w *work) error {
	for _, files := range w.bySchema() {
		if err := s.fill(ctx, w, files); err != nil {
			err = ownFault(w, err)
			if open, ok := errors.AsType[*openError](err); ok {
				open.copying = true
			}
			return err
		}
	}
	var columns []warehouse.Column
	for _, st := range w.stages {
		columns = append(columns, st.table.Columns...)
	}
	if target, key, ok := w.latestOf(columns); ok {
		w.latest = &warehouse.Latest{Target: target, From: w.name, Key: key, Temp: "new_" + w.id, Staged: w.staged(), Since: w.since()}
	}
	return nil
}

func (w *work) staged() []warehouse.Staging {
	out := make([]warehouse.Staging, len(w.stages))
	for i, st := range w.stages {
		out[i] = st.table
	}
	return out
}

// since is the received_at of the oldest staged row.
func (w *work) since() time.Time {
	out := w.stages[0].since
	for _, st := range w.stages[1:] {
		if st.since.Before(out) {
			out = st.since
		}
	}
	return out
}

// fill copies files of one fingerprint into a staging table, or, when that takes
// too long, each half of them into one.
func (s *session) fill(ctx context.Context, w *work, files []dueFile) error {
	st := stage{table: staged(w.id, files, w.shapes[0].columns, w.info), files: files}
	if w.halves > 0 {
		st.table.Name += "_" + strconv.Itoa(w.halves)
	}
	err := s.copy(ctx, w, &st)
	switch slow := err != nil && warehouse.Classify(err) == warehouse.ClassSlow; {
	case slow && len(files) > 1:
		s.l.metrics.retries.WithLabelValues(string(warehouse.ClassSlow)).Inc()
		s.l.log.Warn("copy halved", "target", w.target(), "files", len(files), "err", err)
		for _, half := range [][]dueFile{files[:len(files)/2], files[len(files)/2:]} {
			w.halves++
			if err := s.fill(ctx, w, half); err != nil {
				return err
			}
		}
		return nil
	case slow && w.info.kind != kindMirror:
		w.refuse(files[0], err)
		return nil
	case err != nil:
		return err
	}
	if len(st.files) > 0 {
		w.stages = append(w.stages, st)
	}
	return nil
}

// copy fills a staging table. When COPY refuses, or brings other rows than the
// commits promise, the files at fault are found and left out, and noted.
func (s *session) copy(ctx context.Context, w *work, st *stage) error {
	if _, err := s.conn.Exec(ctx, st.table.Create()); err != nil {
		return err
	}
	err := s.copyFiles(ctx, w, st.table, st.table.Name, st.files)
	if err != nil && fileFault(err) {
		if w.info.kind == kindMirror {
			return s.refusedChange(ctx, w, st.files, err)
		}
		st.files, err = s.leaveOutBad(ctx, w, st, err)
	}
	if err != nil {
		return err
	}
	for _, f := range st.files {
		st.rows += f.Rows
		if st.since.IsZero() || f.MinReceivedAt.Before(st.since) {
			st.since = f.MinReceivedAt.Time
		}
	}
	return nil
}

// refusedChange is the fault of a mirror, which must not skip a change.
func (s *session) refusedChange(ctx context.Context, w *work, files []dueFile, cause error) error {
	bad, err := s.named(ctx, files, cause)
	if err != nil {
		return err
	}
	for _, fault := range bad {
		cause = fault
	}
	return &targetError{work: w, reason: reasonFile, err: cause}
}

// errCount says that COPY brought other rows than the commits promise.
var errCount = errors.New("rows are not those of the commits")

// copyFiles puts a manifest of files, copies them and counts the rows.
func (s *session) copyFiles(ctx context.Context, w *work, table warehouse.Staging, into string, files []dueFile) error {
	manifest := wire.Manifest{}
	var want, bytes int64
	for _, f := range files {
		manifest.Entries = append(manifest.Entries, wire.ManifestEntry{
			URL: s.url(f.Key), Mandatory: true, Meta: wire.ManifestMeta{ContentLength: f.Bytes},
		})
		want, bytes = want+f.Rows, bytes+f.Bytes
	}
	key, err := s.putManifest(ctx, w, files[0].Schema, manifest)
	if err != nil {
		return err
	}
	statement, err := s.l.warehouse.Config().Copy(into, s.l.lake.Store.Bucket(), key)
	if err != nil {
		return err
	}
	if _, err := s.conn.Exec(ctx, statement); err != nil {
		return err
	}
	res, err := s.conn.Exec(ctx, warehouse.LastCopyCount)
	if err != nil {
		return err
	}
	s.l.patience.hasCopied(time.Now())
	s.l.metrics.copies.Inc()
	s.l.metrics.copyBytes.Add(float64(bytes))
	got := int64(-1)
	if len(res.Rows) == 1 {
		got, err = strconv.ParseInt(res.Rows[0][0], 10, 64)
	}
	if err != nil || got != want {
		s.l.metrics.countMismatch.Inc()
		return fmt.Errorf("copy %s into %s: %d rows, the commits promise %d: %w", key, table.Name, got, want, errCount)
	}
	// Nobody needs it any more. One of a COPY that fails tells what was copied; gc removes it in the end.
	_ = s.l.lake.Store.Delete(ctx, key)
	return nil
}

// putManifest puts a manifest under a key that nobody has used: an answer that
// was lost, or an earlier COPY of this load, may leave one behind that differs.
func (s *session) putManifest(ctx context.Context, w *work, schema8 string, m wire.Manifest) (string, error) {
	body, err := m.Encode()
	if err != nil {
		return "", err
	}
	for range 3 {
		key := s.l.lake.Paths.Manifest(w.target(), w.manifestID(schema8), schema8)
		if err = s.l.lake.Store.Create(ctx, key, body); err == nil {
			return key, nil
		}
		if !errors.Is(err, objstore.ErrExists) {
			break
		}
	}
	return "", &storeError{fmt.Errorf("put the manifest of %s: %w", w.target(), err)}
}

// storeError is a failure of the object store: no table's fault.
type storeError struct{ error }

func (e *storeError) Unwrap() error { return e.error }

// manifestID is the load's id, and for further manifests of a schema one more.
func (w *work) manifestID(schema8 string) string {
	if w.manifests == nil {
		w.manifests = map[string]int{}
	}
	w.manifests[schema8]++
	if n := w.manifests[schema8]; n > 1 {
		return fmt.Sprintf("%s-%d", w.id, n)
	}
	return w.id
}
