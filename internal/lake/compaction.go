package lake

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/objstore"
)

// Compaction replaces data files of one table and hour by fewer ones with the
// same rows. Readers take what commits name, without Replaces, with Files.
// Generations of an hour count from 1; a later one may replace what an earlier
// one has written. Members are written in this order.
type Compaction struct {
	V          int      `json:"v"`
	Table      string   `json:"table"` // schema.table
	DT         string   `json:"dt"`
	HH         string   `json:"hh"`
	Generation int      `json:"generation"`
	Replaces   []string `json:"replaces"` // keys; committed files, or Files of earlier generations
	Files      []File   `json:"files"`    // First and Next span the offsets of all partitions in the file
	Rows       int64    `json:"rows"`
	Lineage    string   `json:"lineage"` // as Lineage.Sum, of the rows of Replaces and of Files alike

	PutAt time.Time `json:"-"` // by the store's clock; set by what reads compactions
}

// Hour is the folder whose files the compaction replaces.
func (c Compaction) Hour() Hour {
	schema, table, _ := strings.Cut(c.Table, ".")
	return Hour{schema, table, c.DT, c.HH}
}

// Encode returns the compaction's bytes: members in the order above, no white space.
func (c Compaction) Encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(c); err != nil {
		return nil, fmt.Errorf("encode compaction: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// DecodeCompaction reads a compaction and checks what it says of itself.
// Members that it does not know are ignored; a version above 1 is an error.
func DecodeCompaction(b []byte) (Compaction, error) {
	var c Compaction
	if err := json.Unmarshal(b, &c); err != nil {
		return c, fmt.Errorf("decode compaction: %w", err)
	}
	if c.V != 1 {
		return c, fmt.Errorf("decode compaction: unknown version %d", c.V)
	}
	if err := c.Validate(); err != nil {
		return c, fmt.Errorf("compaction of %s, generation %d: %w", c.Hour(), c.Generation, err)
	}
	return c, nil
}

// Validate checks the arithmetic of a compaction: the rows of its files are its
// rows, all files are of its hour, and nothing is named twice.
func (c Compaction) Validate() error {
	var errs []error
	if _, _, err := SplitTable(c.Table); err != nil {
		errs = append(errs, err)
	}
	if c.Generation < 1 {
		errs = append(errs, fmt.Errorf("generation %d is not above 0", c.Generation))
	}
	if len(c.Replaces) == 0 || len(c.Files) == 0 {
		errs = append(errs, fmt.Errorf("%d files are replaced by %d", len(c.Replaces), len(c.Files)))
	}
	if digits, ok := strings.CutPrefix(c.Lineage, "sha256:"); !ok || len(digits) != 2*sha256.Size {
		errs = append(errs, fmt.Errorf("lineage %q is no SHA-256", c.Lineage))
	}
	var rows int64
	seen := map[string]bool{}
	for _, key := range c.Replaces {
		if seen[key] {
			errs = append(errs, fmt.Errorf("%s is named twice", key))
		}
		seen[key] = true
		if !strings.Contains(key, "/"+c.Hour().folder()) {
			errs = append(errs, fmt.Errorf("replaced file %s is not of this hour", key))
		}
	}
	for _, f := range c.Files {
		if seen[f.Key] {
			errs = append(errs, fmt.Errorf("%s is named twice", f.Key))
		}
		seen[f.Key] = true
		rows += f.Rows
		if f.Table != c.Table || f.DT != c.DT || f.HH != c.HH || f.Rows < 1 || f.Bytes < 1 {
			errs = append(errs, fmt.Errorf("file %s is empty or of %s %s %s", f.Key, f.Table, f.DT, f.HH))
		}
	}
	if rows != c.Rows {
		errs = append(errs, fmt.Errorf("its files have %d rows, it has %d", rows, c.Rows))
	}
	return errors.Join(errs...)
}

// Lineage tells which rows there are: the SHA-256 over a line for each row,
// partition TAB offset LF in decimal digits, in the order of (_partition, _offset).
type Lineage struct {
	h    hash.Hash
	line []byte
}

// NewLineage returns the lineage of no rows.
func NewLineage() *Lineage { return &Lineage{h: sha256.New()} }

// Add adds the next row.
func (l *Lineage) Add(partition, offset int64) {
	l.line = strconv.AppendInt(l.line[:0], partition, 10)
	l.line = append(l.line, '\t')
	l.line = strconv.AppendInt(l.line, offset, 10)
	l.line = append(l.line, '\n')
	l.h.Write(l.line)
}

// Sum returns the lineage of the rows so far.
func (l *Lineage) Sum() string { return "sha256:" + hex.EncodeToString(l.h.Sum(nil)) }

// Compactions returns the compactions of an hour, by generation.
func (l *Lake) Compactions(ctx context.Context, h Hour) ([]Compaction, error) {
	return sound(l.compactions(ctx, l.Paths.compactionsOf(h)))
}

// CompactionsOf returns the compactions of a table, by hour and generation; of
// one day if dt is not empty.
func (l *Lake) CompactionsOf(ctx context.Context, schema, table, dt string) ([]Compaction, error) {
	folder := l.Paths.Compactions(schema, table)
	if dt != "" {
		folder += "dt=" + dt + "/"
	}
	return sound(l.compactions(ctx, folder))
}

func sound(all []Compaction, faults []error, err error) ([]Compaction, error) {
	return all, errors.Join(err, errors.Join(faults...))
}

// compactions reads all that is in a folder; faults are what is not the
// compaction that its key names.
func (l *Lake) compactions(ctx context.Context, folder string) (all []Compaction, faults []error, err error) {
	keys, err := l.Store.List(ctx, folder, "", 0)
	if err != nil {
		return nil, nil, err
	}
	out, bad := make([]Compaction, len(keys)), make([]error, len(keys))
	err = each(ctx, len(keys), func(ctx context.Context, i int) (err error) {
		var fault *FormatError
		if out[i], err = l.readCompaction(ctx, keys[i].Key); errors.As(err, &fault) {
			bad[i], err = err, nil
		}
		out[i].PutAt = keys[i].Modified
		return err
	})
	for i, c := range out {
		if bad[i] != nil {
			faults = append(faults, bad[i])
		} else {
			all = append(all, c)
		}
	}
	return all, faults, err
}

// readCompaction reads a compaction and compares it with its key.
func (l *Lake) readCompaction(ctx context.Context, key string) (Compaction, error) {
	b, err := l.Store.Get(ctx, key)
	if err != nil {
		return Compaction{}, err
	}
	c, err := DecodeCompaction(b)
	if err != nil {
		return c, &FormatError{fmt.Errorf("%s: %w", key, err)}
	}
	if want := l.Paths.Compaction(c.Hour(), c.Generation); want != key {
		return c, &FormatError{fmt.Errorf("%s: holds the compaction of %s, generation %d", key, c.Hour(), c.Generation)}
	}
	return c, nil
}

// CreateCompaction puts a compaction. It returns objstore.ErrExists when its
// generation is another's; one of our own that had landed is no error.
func (l *Lake) CreateCompaction(ctx context.Context, c Compaction) error {
	if err := c.Validate(); err != nil {
		panic("BUG: compaction of " + c.Hour().String() + ": " + err.Error())
	}
	b, err := c.Encode()
	if err != nil {
		return err
	}
	key := l.Paths.Compaction(c.Hour(), c.Generation)
	err = l.Store.Create(ctx, key, b)
	if !errors.Is(err, objstore.ErrExists) {
		return err
	}
	if there, read := l.Store.Get(ctx, key); read == nil && bytes.Equal(there, b) {
		return nil
	}
	return err
}

// Effective returns the files that readers take: of committed, which are the
// files of one table that commits name, those that no compaction replaces, and
// of the compactions' files the same. The order is that of keys.
func Effective(committed []File, compactions []Compaction) []File {
	replaced := map[string]bool{}
	all := slices.Clone(committed)
	for _, c := range compactions {
		all = append(all, c.Files...)
		for _, key := range c.Replaces {
			replaced[key] = true
		}
	}
	all = slices.DeleteFunc(all, func(f File) bool { return replaced[f.Key] })
	slices.SortFunc(all, func(a, b File) int { return strings.Compare(a.Key, b.Key) })
	return all
}
