package ingest

import (
	"os"
	"path/filepath"
)

// files reads what a configuration of sources names, and remembers the bytes: what is watched, and what is kept as the
// last good configuration, is what was compiled.
type files struct {
	dir     string // of relative paths
	content map[string][]byte
}

func newFiles(dir string) *files { return &files{dir: dir, content: map[string][]byte{}} }

// read returns the bytes of a file, the same each time it is asked for.
func (f *files) read(path string) ([]byte, error) {
	if b, ok := f.content[path]; ok {
		return b, nil
	}
	full := path
	if !filepath.IsAbs(path) {
		full = filepath.Join(f.dir, path)
	}
	b, err := os.ReadFile(full)
	if err != nil {
		return nil, err
	}
	f.content[path] = b
	return b, nil
}
