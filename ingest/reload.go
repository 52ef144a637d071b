package ingest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/internal/config"
)

// sourcesFile is the document that ingest.sources_file names.
type sourcesFile struct {
	Sources map[string]Source `yaml:"sources" doc:"who may send: a source is an app, and the warehouse's schema"`

	check func(map[string]Source) error
}

// Validate is for the configuration loader, which says where in the file a key stands.
func (f *sourcesFile) Validate() error { return f.check(f.Sources) }

// CheckSources reads the sources of cfg and the files that they name, and says what it saw.
func CheckSources(cfg Config) (string, error) {
	snap, _, err := compile(cfg)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d with %d keys", len(snap.names), len(snap.keys)), nil
}

// SourceNames returns the names of the sources of cfg, wherever they stand, in order.
func SourceNames(cfg Config) ([]string, error) {
	snap, _, err := compile(cfg)
	if err != nil {
		return nil, err
	}
	return snap.names, nil
}

// compile makes a snapshot of the sources as they are now.
func compile(cfg Config) (*snapshot, *files, error) {
	if cfg.SourcesFile == "" {
		read := newFiles("")
		snap, err := newSnapshot(cfg, cfg.Sources, read)
		return snap, read, err
	}
	read := newFiles(filepath.Dir(cfg.SourcesFile))
	snap, err := compileFile(cfg, cfg.SourcesFile, filepath.Base(cfg.SourcesFile), read)
	return snap, read, err
}

// compileFile makes a snapshot of the sources in the file called name among those of read; where leads the messages.
func compileFile(cfg Config, where, name string, read *files) (*snapshot, error) {
	raw, err := read.read(name)
	if err != nil {
		return nil, config.Invalid("ingest.sources_file", "must be a file that can be read: %s", err)
	}
	var snap *snapshot
	doc := sourcesFile{check: func(sources map[string]Source) error {
		err := validateSources(sources)
		if err == nil {
			snap, err = newSnapshot(cfg, sources, read)
		}
		return inFile(err)
	}}
	if err := config.Decode(where, raw, &doc); err != nil {
		if !strings.Contains(err.Error(), where) { // what is not there has no line
			err = fmt.Errorf("%s: %w", where, err)
		}
		return nil, err
	}
	return snap, nil
}

// inFile gives key paths as they are in the file of the sources. What lies in another file keeps its place as text.
func inFile(err error) error {
	var ke *config.KeyError
	joined, several := err.(interface{ Unwrap() []error })
	switch {
	case err == nil:
		return nil
	case several:
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, inFile(e))
		}
		return errors.Join(all...)
	case errors.As(err, &ke) && ke.Error() == err.Error() && ke.Where == "":
		return config.Invalid(strings.TrimPrefix(ke.Path, "ingest."), "%s", strings.ReplaceAll(ke.Problem, "ingest.sources", "sources"))
	}
	return errors.New(err.Error())
}

// firstSources returns the snapshot to start with: that of the configuration or, if its file is broken or away, the
// last good one, which is stale.
func (s *Server) firstSources() (*snapshot, *files, error) {
	snap, read, err := compile(s.cfg)
	s.sight = read.sight(err, time.Now())
	if err == nil || s.cfg.SourcesFile == "" {
		return snap, read, err
	}
	dir := s.lastGoodDir()
	name, kept, keptErr := lastGood(dir)
	if keptErr == nil {
		snap, keptErr = compileFile(s.cfg, filepath.Join(dir, lastGoodSet)+" "+name, name, kept)
	}
	if keptErr != nil {
		return nil, nil, fmt.Errorf("%w\nthere is no last good configuration to start with instead: %w; mend %s and start again", err, keptErr, s.cfg.SourcesFile)
	}
	snap.stale = staleness(err)
	s.log.Error("the sources file is broken; this start uses the last good one", "file", s.cfg.SourcesFile, "kept", dir, "err", err)
	return snap, nil, nil
}

// watchable is the end of New: what was read is kept, and what is in force can be seen.
func (s *Server) watchable(reg prometheus.Registerer, read *files) {
	registerSources(reg, s.sources.Load)
	switch {
	case s.sources.Load().stale != "":
		s.metrics.reloadFailures.Inc()
	case s.cfg.SourcesFile != "":
		s.keepGood(read)
	}
}

func (s *Server) lastGoodDir() string { return filepath.Join(s.cfg.DataDir, lastGoodFolder) }

// staleness is the sentence about a table of keys that may lack some.
func staleness(err error) string {
	return "The sources could not be read again, and the last good ones are in force: " + strings.ReplaceAll(err.Error(), "\n", "; ") + "."
}

// watchSources reads the sources again when their files change, and when somebody asks for it, until ctx ends.
func (s *Server) watchSources(ctx context.Context) {
	tick := time.NewTicker(s.lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.hangup:
			if s.cfg.SourcesFile == "" {
				s.log.Warn("the sources stand in the main configuration, which is read at the start only")
				continue
			}
			s.reload(true)
		case <-tick.C:
			if s.cfg.SourcesFile != "" && s.sight.changed() && s.settled(ctx) {
				s.reload(false)
			}
		}
	}
}

// settled waits until the files change no more: half a file may look like a whole one with fewer sources. Who writes
// for longer than two seconds is read in the midst of it, and again afterwards.
func (s *Server) settled(ctx context.Context) bool {
	const pause, most = 100 * time.Millisecond, 20
	was := s.sight.now()
	wait := time.NewTicker(min(pause, s.lookEvery))
	defer wait.Stop()
	for range most {
		select {
		case <-ctx.Done():
			return false
		case <-wait.C:
		}
		is := s.sight.now()
		if maps.EqualFunc(was, is, sameFile) {
			return true
		}
		was = is
	}
	return true
}

// reload compiles the sources anew and puts the snapshot in force, or says why the old one stays.
func (s *Server) reload(asked bool) {
	snap, read, err := compile(s.cfg)
	var needs []topicNeed
	if err == nil {
		needs = s.cfg.topicNeeds(snap, s.producer.cfg.Names())
		if err = s.producer.takes(needs); err != nil {
			err = fmt.Errorf("%s: %w", s.cfg.SourcesFile, err)
		}
	}
	now := read.sight(err, time.Now())
	same := now.problem == s.sight.problem && maps.Equal(now.sums, s.sight.sums)
	s.sight = now
	if same && !asked {
		return
	}
	old := s.sources.Load()
	if err != nil {
		stale := *old
		stale.stale = staleness(err)
		s.sources.Store(&stale)
		s.metrics.reloadFailures.Inc()
		s.log.Error("the sources were not reloaded; the last good ones stay in force", "file", s.cfg.SourcesFile, "err", err)
		return
	}
	snap.inherit(old, s.clock())
	for _, name := range snap.names {
		s.metrics.zero(name)
	}
	s.sources.Store(snap)
	s.producer.need(needs)
	s.log.Info("sources reloaded", "file", s.cfg.SourcesFile, "sources", len(snap.names), "keys", len(snap.keys))
	s.keepGood(read)
}

// keepGood keeps what was compiled for a start with a broken file.
func (s *Server) keepGood(read *files) {
	if err := keepGood(s.lastGoodDir(), filepath.Base(s.cfg.SourcesFile), read.content); err != nil {
		s.log.Error("the sources were not kept; a start with a broken file would fail", "folder", s.lastGoodDir(), "err", err)
	}
}
