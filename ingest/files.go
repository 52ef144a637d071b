package ingest

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"
)

// files reads what a configuration of sources names, and remembers the bytes: what is watched, and what is kept as the
// last good configuration, is what was compiled.
type files struct {
	dir     string // of relative paths
	content map[string][]byte
	seen    map[string]os.FileInfo // by full path, as it was before it was read; nil: it could not be asked for
	kept    bool                   // content is all that there is
}

func newFiles(dir string) *files {
	return &files{dir: dir, content: map[string][]byte{}, seen: map[string]os.FileInfo{}}
}

// read returns the bytes of a file, the same each time it is asked for.
func (f *files) read(path string) ([]byte, error) {
	if b, ok := f.content[path]; ok {
		return b, nil
	}
	if f.kept {
		return nil, fmt.Errorf("open %s: %w", path, fs.ErrNotExist)
	}
	full := path
	if !filepath.IsAbs(path) {
		full = filepath.Join(f.dir, path)
	}
	f.seen[full] = stat(full) // before it is read: a change in between is seen afterwards
	b, err := os.ReadFile(full)
	if err != nil {
		return nil, err
	}
	f.content[path] = b
	return b, nil
}

// stat returns nil for what cannot be asked for.
func stat(path string) os.FileInfo {
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	return info
}

// sight is what an attempt to read the sources has seen.
type sight struct {
	seen    map[string]os.FileInfo
	sums    map[string][sha256.Size]byte
	problem string
	again   bool // look again, whatever the files' times say
}

// sight ends the reading. A file that was written a moment ago can be written once more without a change of its time,
// and one that could not be read may become readable by one of its folder's.
func (f *files) sight(err error, now time.Time) sight {
	out := sight{seen: f.seen, sums: map[string][sha256.Size]byte{}}
	for path, b := range f.content {
		out.sums[path] = sha256.Sum256(b)
	}
	for _, info := range f.seen {
		out.again = out.again || info == nil || now.Sub(info.ModTime()).Abs() < 3*time.Second
	}
	out.again = out.again || len(f.content) < len(f.seen)
	if err != nil {
		out.problem = err.Error()
	}
	return out
}

// now is how the files are now.
func (s sight) now() map[string]os.FileInfo {
	out := map[string]os.FileInfo{}
	for path := range s.seen {
		out[path] = stat(path)
	}
	return out
}

// changed says whether a file was touched or replaced since.
func (s sight) changed() bool { return s.again || !maps.EqualFunc(s.seen, s.now(), sameFile) }

func sameFile(was, is os.FileInfo) bool {
	if was == nil || is == nil {
		return was == nil && is == nil
	}
	return was.ModTime().Equal(is.ModTime()) && was.Size() == is.Size() && os.SameFile(was, is)
}
