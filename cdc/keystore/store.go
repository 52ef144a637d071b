package keystore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Memory of an open store, beside what one Kafka transaction holds: Pebble takes
// memtables (one is written while another is flushed) out of the cache's bytes.
const (
	cacheBytes    = 40 << 20
	memtableBytes = 8 << 20
)

// ErrLocked means that another process, or another store of this one, has the
// directory open.
var ErrLocked = errors.New("key store is open elsewhere")

// Store holds the keys of the tables of a slot. What is written is seen by reads
// at once, and becomes part of the store by Commit.
type Store struct {
	dir  string
	lock *pebble.Lock
	lost bool

	mu     sync.Mutex // guards all below, and all tables
	db     *pebble.DB
	batch  *pebble.Batch // indexed: what is not committed
	tables map[string]*Table
	failed error
}

// Open opens the store in dir, which it creates. A store that is torn is removed
// and begun anew; Lost tells. It returns ErrLocked while dir is open elsewhere.
func Open(dir string) (*Store, error) {
	return open(filepath.Clean(dir), vfs.Default)
}

func open(dir string, fs vfs.FS) (*Store, error) {
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("key store: %w", err)
	}
	lock, err := pebble.LockDirectory(dir, fs)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrLocked, dir, err)
	}
	s, err := attempt(dir, fs, lock)
	if err != nil {
		if err = clearDir(dir, fs); err == nil {
			s, err = attempt(dir, fs, lock)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("key store %s: %w", dir, err), lock.Close())
		}
		s.lost = true
	}
	return s, nil
}

// attempt opens what is in dir, as it is.
func attempt(dir string, fs vfs.FS, lock *pebble.Lock) (*Store, error) {
	o := options(fs)
	o.Lock = lock
	db, err := pebble.Open(dir, o)
	o.Cache.Unref()
	if err != nil {
		return nil, err
	}
	s := &Store{dir: dir, lock: lock, db: db, batch: db.NewIndexedBatch(), tables: map[string]*Table{}}
	if err := s.load(); err != nil {
		_ = s.batch.Close() // empty
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// clearDir leaves the directory and its lock.
func clearDir(dir string, fs vfs.FS) error {
	names, err := fs.List(dir)
	for _, name := range names {
		if name != "LOCK" {
			err = errors.Join(err, fs.RemoveAll(fs.PathJoin(dir, name)))
		}
	}
	return err
}

// Lost says whether Open found a torn store and began anew.
func (s *Store) Lost() bool { return s.lost }

// load reads what is kept in memory: each table's own record and its ranges.
func (s *Store) load() error {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return err
	}
	defer func() { _ = it.Close() }() // its error is returned below
	for valid := it.First(); valid; {
		k := it.Key()
		if len(k) != 5 || k[4] != partMeta {
			return fmt.Errorf("key store: key %x where a table begins", k)
		}
		t, err := s.loadTable(binary.BigEndian.Uint32(k), it.Value())
		if err != nil {
			return err
		}
		s.tables[t.meta.Name] = t
		valid = it.SeekGE(binary.BigEndian.AppendUint32(nil, t.number+1))
	}
	return it.Error()
}

// Commit makes what was written part of the store, in one batch. An error means
// that the disk is not usable: the store has to be closed.
func (s *Store) Commit() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tables {
		if t.bulk == nil {
			t.store()
		}
	}
	if s.failed != nil {
		return s.failed
	}
	if s.batch.Empty() {
		return nil
	}
	if err := s.batch.Commit(pebble.NoSync); err != nil {
		s.failed = fmt.Errorf("key store %s: %w", s.dir, err)
		return s.failed
	}
	err := s.batch.Close()
	s.batch = s.db.NewIndexedBatch()
	return err
}

// Close makes what is committed durable, and forgets what is not. Tables must
// not be used afterwards.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		return nil
	}
	err := s.batch.Close()
	for _, t := range s.tables {
		if t.bulk != nil {
			err = errors.Join(err, t.bulk.Close())
		}
	}
	err = errors.Join(err, s.db.Flush(), s.db.Close(), s.lock.Close())
	s.db = nil
	return err
}

// Bytes is the store's size on disk, with what compactions have not removed yet.
func (s *Store) Bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(s.db.Metrics().DiskSpaceUsage()) //nolint:gosec // a disk's size
}

func options(fs vfs.FS) *pebble.Options {
	o := &pebble.Options{
		FS:                 fs,
		Cache:              pebble.NewCache(cacheBytes),
		MemTableSize:       memtableBytes,
		FormatMajorVersion: pebble.FormatNewest,
		DisableWAL:         true,
		Logger:             silent{},
	}
	o.EnsureDefaults()
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return o
}

// silent keeps Pebble's own log out of ours; what matters it returns as an error.
type silent struct{}

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}

// Fatalf is called by Pebble where it sees no way on; returning would let it go
// on with a broken invariant.
func (silent) Fatalf(format string, args ...any) { panic(fmt.Sprintf("key store: "+format, args...)) }
