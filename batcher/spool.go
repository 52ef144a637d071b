package batcher

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// spool is the folder of files that wait for their commit.
type spool struct {
	dir  string
	lock *os.File
}

// openSpool takes the folder for this batcher and empties it: what an earlier
// process has left holds nothing durable. It touches Parquet files only, lest a
// slip in the configuration empty another folder.
func openSpool(dir string) (*spool, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("batcher.disk.dir: %w", err)
	}
	s := &spool{dir: dir}
	if err := s.take(); err != nil {
		return nil, err
	}
	left, err := os.ReadDir(dir)
	for _, f := range left {
		if err == nil && filepath.Ext(f.Name()) == ".parquet" {
			err = os.Remove(filepath.Join(dir, f.Name()))
		}
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("empty batcher.disk.dir: %w", err)
	}
	return s, nil
}

// take refuses a folder that another batcher works in: each would take the
// other's files for what is left of a crash.
func (s *spool) take() error {
	f, err := os.OpenFile(filepath.Join(s.dir, "LOCK"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("batcher.disk.dir: %w", err)
	}
	if err := tryLock(f); err != nil {
		var holder [32]byte
		n, _ := f.ReadAt(holder[:], 0)
		_ = f.Close()
		return fmt.Errorf("batcher.disk.dir: %s is in use by the batcher of process %s; stop that one, or give this one a folder of its own", s.dir, holder[:n])
	}
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0) // names the holder; the lock holds without it
	}
	s.lock = f
	return nil
}

// close gives the folder up; it may be called twice.
func (s *spool) close() { _ = s.lock.Close() }
