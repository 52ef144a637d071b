package loader

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/millstream-data/millstream/internal/warehouse"
)

// maxBadFiles is how many files of one load are taken for bad by themselves;
// with more the target is held: the fault is then not the files'.
const maxBadFiles = 8

// fileFault says that an error of COPY may be that of one file.
func fileFault(err error) bool {
	return errors.Is(err, errCount) || warehouse.Classify(err) == warehouse.ClassTarget && !warehouse.IsCode(err, "42501", "42P01")
}

// fileError is what COPY said of one file.
type fileError struct {
	key   string
	noted string // what Redshift notes of it beside its answer
	err   error
}

func (e *fileError) Error() string { return fmt.Sprintf("file %s: %s", e.key, told(e.err)) }
func (e *fileError) Unwrap() error { return e.err }

// told is an error in the server's own words, with its code.
func told(err error) string {
	code, words := warehouse.Reason(err)
	if code != "" {
		words = code + " " + words
	}
	if file, ok := errors.AsType[*fileError](err); ok && file.noted != "" && !strings.Contains(words, file.noted) {
		words += " | " + file.noted
	}
	return words
}

// leaveOutBad finds the files that COPY refuses, notes them, and copies the
// others.
func (s *session) leaveOutBad(ctx context.Context, w *work, st *stage, cause error) ([]dueFile, error) {
	good := st.files
	for err := cause; err != nil; {
		if !fileFault(err) {
			return nil, err
		}
		bad, blameErr := s.blame(ctx, w, st, good, err)
		if blameErr != nil {
			return nil, blameErr
		}
		for _, f := range good {
			if fault := bad[f.Key]; fault != nil {
				w.refuse(f, fault)
			}
		}
		if w.tooMany(len(w.bad)) {
			return nil, &targetError{work: w, reason: reasonFile, err: cause}
		}
		good = slices.DeleteFunc(slices.Clone(good), func(f dueFile) bool { return bad[f.Key] != nil })
		if _, err := s.conn.Exec(ctx, st.table.Drop()); err != nil {
			return nil, err
		}
		if len(good) == 0 {
			return nil, nil
		}
		if _, err := s.conn.Exec(ctx, st.table.Create()); err != nil {
			return nil, err
		}
		err = s.copyFiles(ctx, w, st.table, st.table.Name, good)
	}
	return good, nil
}

// tooMany says that so many bad files are not by themselves at fault. Those that
// are held already have been.
func (w *work) tooMany(bad int) bool { return bad > maxBadFiles && len(w.repair) == 0 }

// refuse notes a file that is left out.
func (w *work) refuse(f dueFile, fault error) {
	reason := reasonFile
	switch {
	case errors.Is(fault, errCount):
		reason = reasonCount
	case warehouse.Classify(fault) == warehouse.ClassSlow:
		reason = string(warehouse.ClassSlow)
	case warehouse.Classify(fault) == warehouse.ClassUnknown:
		reason = reasonUnknown
	}
	w.bad = append(w.bad, warehouse.Held{Target: w.target(), Chain: f.chain, First: f.first, FileKey: f.Key, Reason: reason, Error: told(fault), Attempts: 1})
}

// blame returns the files among files that COPY refuses, with its words: those
// that Redshift names, else those that a search finds. cause is what it said of
// all of them.
func (s *session) blame(ctx context.Context, w *work, st *stage, files []dueFile, cause error) (map[string]error, error) {
	bad, err := s.named(ctx, files, cause)
	if err != nil || len(bad) > 0 {
		return bad, err
	}
	return s.bisect(ctx, w, st, files, cause)
}

// named asks Redshift which of files it has refused. Its views come first, as
// they name the column too, then its answer.
func (s *session) named(ctx context.Context, files []dueFile, cause error) (map[string]error, error) {
	if errors.Is(cause, errCount) {
		return nil, nil
	}
	notes, err := s.conn.LoadErrors(ctx)
	if err != nil {
		return nil, err
	}
	_, words := warehouse.Reason(cause)
	bad := map[string]error{}
	for _, e := range append(notes, warehouse.LoadError{Words: words}) {
		var about []dueFile
		for _, f := range files {
			if e.Names(s.url(f.Key)) {
				about = append(about, f)
			}
		}
		if len(about) != 1 { // a name that was cut may be that of several
			continue
		}
		noted := e.Words
		if e.Column != "" {
			noted = fmt.Sprintf("column %s %s: %s", e.Column, e.ColumnType, e.Words)
		}
		bad[about[0].Key] = &fileError{key: about[0].Key, noted: noted, err: cause}
		return bad, nil // older notes are of COPYs before this one
	}
	return bad, nil
}

// url is how a manifest names an object.
func (s *session) url(key string) string { return "s3://" + s.l.lake.Store.Bucket() + "/" + key }

// bisect returns the files among files that COPY refuses by themselves, with
// its words; cause is what it said of all of them.
func (s *session) bisect(ctx context.Context, w *work, st *stage, files []dueFile, cause error) (map[string]error, error) {
	if len(files) == 1 {
		return map[string]error{files[0].Key: cause}, nil
	}
	bad := map[string]error{}
	for _, half := range [][]dueFile{files[:len(files)/2], files[len(files)/2:]} {
		trial := st.table
		w.trials++
		trial.Name = fmt.Sprintf("try_%s_%d", w.id, w.trials)
		if _, err := s.conn.Exec(ctx, trial.Create()); err != nil {
			return nil, err
		}
		err := s.copyFiles(ctx, w, trial, trial.Name, half)
		s.l.metrics.bisects.Inc()
		if err != nil && !fileFault(err) {
			return nil, err
		}
		if _, dropErr := s.conn.Exec(ctx, trial.Drop()); dropErr != nil {
			return nil, dropErr
		}
		if err == nil {
			continue
		}
		found, err := s.bisect(ctx, w, st, half, err)
		if err != nil {
			return nil, err
		}
		maps.Copy(bad, found)
		if w.tooMany(len(bad)) {
			return nil, &targetError{work: w, reason: reasonFile, err: cause}
		}
	}
	return bad, nil
}
