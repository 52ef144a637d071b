package ingest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// The last good configuration of sources is specified in FORMAT.md.
const (
	lastGoodFolder = "sources.last-good"
	lastGoodSet    = "set.json"
)

// goodSet says which files a configuration of sources was made of.
type goodSet struct {
	V     int               `json:"v"`
	File  string            `json:"file"`  // the one with the sources, as it is named in files
	Files map[string]string `json:"files"` // hex of the SHA-256 of each
}

// keepGood makes content the last good configuration in dir. Until set.json is replaced, the one before is whole.
func keepGood(dir, file string, content map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	set := goodSet{V: 1, File: file, Files: map[string]string{}}
	names := []string{lastGoodSet}
	for path, b := range content {
		sum := sha256.Sum256(b)
		name := hex.EncodeToString(sum[:])
		set.Files[path] = name
		names = append(names, name)
		if err := replaceFile(dir, name, b); err != nil {
			return err
		}
	}
	raw, err := json.Marshal(set)
	if err != nil {
		return err
	}
	if err := errors.Join(syncFolder(dir), replaceFile(dir, lastGoodSet, raw), syncFolder(dir)); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if !slices.Contains(names, e.Name()) {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// replaceFile writes a file aside, so that there is never half of one under its name.
func replaceFile(dir, name string, b []byte) error {
	path := filepath.Join(dir, name)
	if err := writeSynced(path+".new", b); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// lastGood returns the name of the file with the sources in the last good configuration, and its files.
func lastGood(dir string) (string, *files, error) {
	raw, err := os.ReadFile(filepath.Join(dir, lastGoodSet))
	if err != nil {
		return "", nil, err
	}
	var set goodSet
	if err := json.Unmarshal(raw, &set); err != nil || set.V != 1 {
		return "", nil, fmt.Errorf("%s: is no version 1 of a last good configuration", filepath.Join(dir, lastGoodSet))
	}
	out := newFiles("")
	out.kept = true
	for path, name := range set.Files {
		b, err := os.ReadFile(filepath.Join(dir, filepath.Base(name)))
		if err != nil {
			return "", nil, err
		}
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != name {
			return "", nil, fmt.Errorf("%s: is damaged", filepath.Join(dir, name))
		}
		out.content[path] = b
	}
	return set.File, out, nil
}
