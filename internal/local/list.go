package local

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/johannesboyne/gofakes3"
)

// ListBucket lists in ascending byte order of keys, from the key after the
// page's marker on, reading only folders that can hold such keys.
func (f *folder) ListBucket(bucket string, prefix *gofakes3.Prefix, page gofakes3.ListBucketPage) (*gofakes3.ObjectList, error) {
	if err := f.needBucket(bucket); err != nil {
		return nil, err
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	l := &lister{folder: f, bucket: bucket, max: 1000, out: gofakes3.NewObjectList()}
	if page.MaxKeys > 0 {
		l.max = min(l.max, int(page.MaxKeys))
	}
	if page.HasMarker {
		l.after = page.Marker
	}
	if prefix != nil && prefix.HasPrefix {
		l.prefix = prefix.Prefix
	}
	if prefix != nil && prefix.HasDelimiter {
		l.delimiter = prefix.Delimiter
	}
	start := l.prefix[:strings.LastIndexByte(l.prefix, '/')+1] // the folder that the prefix names
	if err := l.walk(start); err != nil && !errors.Is(err, fs.SkipAll) {
		return nil, err
	}
	return l.out, nil
}

type lister struct {
	folder    *folder
	bucket    string
	prefix    string
	delimiter string
	after     string
	max       int
	last      string // key or common prefix added last
	out       *gofakes3.ObjectList
}

// walk adds what is below dir, a key prefix that is empty or ends with "/".
func (l *lister) walk(dir string) error {
	entries, err := os.ReadDir(l.folder.file(l.bucket, dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
		if e.IsDir() {
			names[i] += "/" // so that "a/b" sorts after "a.txt", as keys do
		}
	}
	slices.Sort(names)
	for _, name := range names {
		key := dir + name
		isDir := strings.HasSuffix(name, "/")
		if isDir {
			if !strings.HasPrefix(key, l.prefix) && !strings.HasPrefix(l.prefix, key) || l.passed(key) {
				continue
			}
			if err := l.dir(key); err != nil {
				return err
			}
			continue
		}
		if !strings.HasPrefix(key, l.prefix) || key <= l.after {
			continue
		}
		if err := l.object(key); err != nil {
			return err
		}
	}
	return nil
}

// passed says that every key below the folder dir is at or before the marker.
func (l *lister) passed(dir string) bool {
	return l.after != "" && !strings.HasPrefix(l.after, dir) && dir < l.after ||
		l.delimiter == "/" && strings.HasPrefix(dir, l.prefix) && dir <= l.after
}

func (l *lister) dir(key string) error {
	if l.delimiter != "/" || !strings.HasPrefix(key, l.prefix) || key == l.prefix {
		return l.walk(key)
	}
	empty, err := l.empty(key)
	if err != nil || empty {
		return err
	}
	if err := l.room(key); err != nil {
		return err
	}
	l.out.AddPrefix(key)
	return nil
}

// empty says whether no object is below a folder: S3 has no folders, so one
// whose objects are gone does not exist.
func (l *lister) empty(dir string) (bool, error) {
	found := false
	err := filepath.WalkDir(l.folder.file(l.bucket, dir), func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() {
			found = true
			return fs.SkipAll
		}
		return nil
	})
	return !found, err
}

func (l *lister) object(key string) error {
	if l.delimiter != "" && l.delimiter != "/" {
		return gofakes3.ErrorMessagef(gofakes3.ErrInvalidArgument, "the local S3 server lists with the delimiter / only (got %q)", l.delimiter)
	}
	if err := l.room(key); err != nil {
		return err
	}
	info, err := os.Stat(l.folder.file(l.bucket, key))
	if err != nil {
		return err
	}
	m, err := l.folder.meta(l.bucket, key, info.Size())
	if err != nil {
		return err
	}
	hash, err := hex.DecodeString(m.MD5)
	if err != nil {
		return err
	}
	l.out.Add(&gofakes3.Content{
		Key: key, Size: info.Size(), LastModified: gofakes3.NewContentTime(info.ModTime()), ETag: gofakes3.FormatETag(hash),
	})
	return nil
}

// room makes room for one more entry, or ends the page before it.
func (l *lister) room(key string) error {
	if len(l.out.Contents)+len(l.out.CommonPrefixes) >= l.max {
		l.out.IsTruncated, l.out.NextMarker = true, l.last
		return fs.SkipAll
	}
	l.last = key
	return nil
}
