package local

import (
	"bytes"
	"crypto/md5" //nolint:gosec // S3's ETag is an MD5
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/johannesboyne/gofakes3"
)

// folder is an S3 backend over a folder: an object is the plain file
// <root>/<bucket>/<key>, its metadata the file <root>/.meta/<bucket>/<key>.
// A put is written aside, synced and moved into place in one step, so a crash
// leaves the old object, the new one or none, never a part. gofakes3's own
// file backend writes in place and cannot list from a key on, which chains of
// commits rest on.
type folder struct {
	root string
	mu   sync.RWMutex // held for writing while an object appears or goes
}

type objectMeta struct {
	Size int64             `json:"size"`
	MD5  string            `json:"md5"`
	Meta map[string]string `json:"meta"`
}

func newFolder(root string) (*folder, error) {
	for _, dir := range []string{root, filepath.Join(root, ".tmp"), filepath.Join(root, ".meta")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	left, err := os.ReadDir(filepath.Join(root, ".tmp"))
	if err != nil {
		return nil, err
	}
	for _, e := range left { // of puts that a crash cut off
		if err := os.Remove(filepath.Join(root, ".tmp", e.Name())); err != nil {
			return nil, err
		}
	}
	return &folder{root: root}, nil
}

func (f *folder) file(bucket, key string) string {
	return filepath.Join(f.root, bucket, filepath.FromSlash(key))
}

func (f *folder) metaFile(bucket, key string) string {
	return filepath.Join(f.root, ".meta", bucket, filepath.FromSlash(key))
}

// checkKey refuses keys that a folder cannot hold as themselves.
func checkKey(key string) error {
	for part := range strings.SplitSeq(key, "/") {
		if part == "" || part == "." || part == ".." || len(part) > 255 {
			return gofakes3.ErrorMessagef(gofakes3.ErrInvalidArgument, "the local S3 server cannot hold the key %q", key)
		}
	}
	return nil
}

func (f *folder) ListBuckets() ([]gofakes3.BucketInfo, error) {
	entries, err := os.ReadDir(f.root)
	if err != nil {
		return nil, err
	}
	var out []gofakes3.BucketInfo
	for _, e := range entries {
		if info, err := e.Info(); err == nil && e.IsDir() && gofakes3.ValidateBucketName(e.Name()) == nil {
			out = append(out, gofakes3.BucketInfo{Name: e.Name(), CreationDate: gofakes3.NewContentTime(info.ModTime())})
		}
	}
	return out, nil
}

func (f *folder) CreateBucket(name string) error {
	if err := os.Mkdir(filepath.Join(f.root, name), 0o700); errors.Is(err, fs.ErrExist) {
		return gofakes3.ResourceError(gofakes3.ErrBucketAlreadyExists, name)
	} else if err != nil {
		return err
	}
	return nil
}

func (f *folder) BucketExists(name string) (bool, error) {
	info, err := os.Stat(filepath.Join(f.root, name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && info.IsDir(), err
}

func (f *folder) DeleteBucket(name string) error {
	list, err := f.ListBucket(name, &gofakes3.Prefix{}, gofakes3.ListBucketPage{MaxKeys: 1})
	if err != nil {
		return err
	}
	if len(list.Contents) > 0 {
		return gofakes3.ResourceError(gofakes3.ErrBucketNotEmpty, name)
	}
	return f.ForceDeleteBucket(name)
}

func (f *folder) ForceDeleteBucket(name string) error {
	if err := gofakes3.ValidateBucketName(name); err != nil {
		return gofakes3.BucketNotFound(name)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return errors.Join(os.RemoveAll(filepath.Join(f.root, name)), os.RemoveAll(filepath.Join(f.root, ".meta", name)))
}

func (f *folder) HeadObject(bucket, key string) (*gofakes3.Object, error) {
	obj, err := f.GetObject(bucket, key, nil)
	if err != nil {
		return nil, err
	}
	_ = obj.Contents.Close() // opened for reading only
	obj.Contents = io.NopCloser(bytes.NewReader(nil))
	return obj, nil
}

func (f *folder) GetObject(bucket, key string, want *gofakes3.ObjectRangeRequest) (*gofakes3.Object, error) {
	if err := f.needBucket(bucket); err != nil {
		return nil, err
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	file, err := os.Open(f.file(bucket, key))
	if err != nil {
		return nil, missing(key, err)
	}
	info, err := file.Stat()
	if err != nil || info.IsDir() {
		_ = file.Close() // nothing was read
		return nil, gofakes3.KeyNotFound(key)
	}
	meta, err := f.meta(bucket, key, info.Size())
	if err != nil {
		_ = file.Close() // nothing was read
		return nil, err
	}
	hash, err := hex.DecodeString(meta.MD5)
	if err != nil {
		_ = file.Close() // nothing was read
		return nil, fmt.Errorf("metadata of %s/%s: %w", bucket, key, err)
	}
	span, err := want.Range(info.Size())
	if err != nil {
		_ = file.Close() // nothing was read
		return nil, err
	}
	obj := &gofakes3.Object{Name: key, Metadata: meta.Meta, Size: info.Size(), Hash: hash, Range: span, Contents: file}
	if span != nil {
		obj.Contents = section{io.NewSectionReader(file, span.Start, span.Length), file}
	}
	return obj, nil
}

type section struct {
	io.Reader
	io.Closer
}

// meta reads an object's metadata. If a crash came between metadata and a
// replaced object, sizes may differ; the hash is then taken from the object.
func (f *folder) meta(bucket, key string, size int64) (objectMeta, error) {
	var m objectMeta
	b, err := os.ReadFile(f.metaFile(bucket, key))
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err == nil && m.Size == size {
		return m, nil
	}
	body, err := os.ReadFile(f.file(bucket, key))
	if err != nil {
		return m, err
	}
	sum := md5.Sum(body) //nolint:gosec // S3's ETag is an MD5
	return objectMeta{Size: size, MD5: hex.EncodeToString(sum[:]), Meta: m.Meta}, nil
}

func (f *folder) PutObject(bucket, key string, meta map[string]string, input io.Reader, size int64, cond *gofakes3.PutConditions) (gofakes3.PutObjectResult, error) {
	var none gofakes3.PutObjectResult
	if err := errors.Join(f.needBucket(bucket), checkKey(key)); err != nil {
		return none, err
	}
	tmp, err := os.CreateTemp(filepath.Join(f.root, ".tmp"), "put-")
	if err != nil {
		return none, err
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // gone already after a rename
	hash := md5.New()           //nolint:gosec // S3's ETag is an MD5
	n, err := io.Copy(io.MultiWriter(tmp, hash), input)
	if err == nil && n != size {
		err = gofakes3.ErrIncompleteBody
	}
	if err == nil {
		err = tmp.Sync()
	}
	if closed := tmp.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return none, err
	}
	m, err := json.Marshal(objectMeta{Size: n, MD5: hex.EncodeToString(hash.Sum(nil)), Meta: meta})
	if err != nil {
		return none, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if cond != nil {
		if err := f.checkLocked(bucket, key, cond); err != nil {
			return none, err
		}
	}
	return none, f.placeLocked(bucket, key, tmp.Name(), m)
}

func (f *folder) checkLocked(bucket, key string, cond *gofakes3.PutConditions) error {
	info, err := os.Stat(f.file(bucket, key))
	if errors.Is(err, fs.ErrNotExist) {
		return gofakes3.CheckPutConditions(cond, &gofakes3.ConditionalObjectInfo{})
	} else if err != nil {
		return err
	}
	m, err := f.meta(bucket, key, info.Size())
	if err != nil {
		return err
	}
	hash, err := hex.DecodeString(m.MD5)
	if err != nil {
		return err
	}
	return gofakes3.CheckPutConditions(cond, &gofakes3.ConditionalObjectInfo{Exists: true, Hash: hash})
}

// placeLocked moves a synced file to its key and makes the move durable.
func (f *folder) placeLocked(bucket, key, from string, meta []byte) error {
	to, metaTo := f.file(bucket, key), f.metaFile(bucket, key)
	if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o700), os.MkdirAll(filepath.Dir(metaTo), 0o700)); err != nil {
		return err
	}
	if err := os.WriteFile(metaTo, meta, 0o600); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (f *folder) DeleteObject(bucket, key string) (gofakes3.ObjectDeleteResult, error) {
	var none gofakes3.ObjectDeleteResult
	if err := f.needBucket(bucket); err != nil {
		return none, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range []string{f.file(bucket, key), f.metaFile(bucket, key)} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return none, err
		}
	}
	return none, nil
}

func (f *folder) DeleteMulti(bucket string, keys ...string) (gofakes3.MultiDeleteResult, error) {
	var out gofakes3.MultiDeleteResult
	for _, key := range keys {
		if _, err := f.DeleteObject(bucket, key); err != nil {
			out.Error = append(out.Error, gofakes3.ErrorResultFromError(err))
			continue
		}
		out.Deleted = append(out.Deleted, gofakes3.ObjectID{Key: key})
	}
	return out, nil
}

func (f *folder) CopyObject(srcBucket, srcKey, dstBucket, dstKey string, meta map[string]string) (gofakes3.CopyObjectResult, error) {
	return gofakes3.CopyObject(f, srcBucket, srcKey, dstBucket, dstKey, meta)
}

func (f *folder) needBucket(name string) error {
	ok, err := f.BucketExists(name)
	if err == nil && !ok {
		return gofakes3.BucketNotFound(name)
	}
	return err
}

func missing(key string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return gofakes3.KeyNotFound(key)
	}
	return err
}
