package lake

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Hour names the data files of one table and hour: its folder.
type Hour struct {
	Schema, Table string
	DT, HH        string // YYYY-MM-DD, HH; UTC
}

// Name is the table as schema.table.
func (h Hour) Name() string { return h.Schema + "." + h.Table }

// End is when the hour is over, by the clock that dt and hh were taken from.
func (h Hour) End() time.Time {
	t, err := time.Parse("2006-01-02 15", h.DT+" "+h.HH)
	if err != nil {
		panic("BUG: hour " + h.folder() + ": " + err.Error()) // ParseData and DecodeCompaction let no other one in
	}
	return t.Add(time.Hour)
}

func (h Hour) folder() string {
	return fmt.Sprintf("%s/%s/dt=%s/hh=%s/", h.Schema, h.Table, h.DT, h.HH)
}

func (h Hour) String() string { return h.Name() + " " + h.DT + " " + h.HH }

// DataKey is what the key of a data object says: a batcher's, which belongs to
// a chain, or a compaction's.
type DataKey struct {
	Key string
	Hour
	Schema8 string

	Chain       ChainID // of a batcher's
	First, Next int64
	Rescue      string // first digits of the attempt, if the key of First and Next was taken

	Generation, N int // of a compaction's; Generation is 0 of a batcher's
	Attempt       string
}

// Compacted says whether a compaction wrote the object.
func (k DataKey) Compacted() bool { return k.Generation > 0 }

const compactedPrefix = "compact-"

var (
	hourKey    = regexp.MustCompile(`^([^/]+)/([^/]+)/dt=(\d{4}-\d\d-\d\d)/hh=(\d\d)/([^/]+)\.parquet$`)
	batched    = regexp.MustCompile(`^([A-Za-z0-9._-]+)-(\d{1,10})-(\d{1,19})-(\d{1,19})-([0-9a-f]{8})(?:-r([0-9a-z]{1,8}))?$`)
	compactedR = regexp.MustCompile(`^` + compactedPrefix + `(\d{1,8})-(\d{1,8})-([0-9a-z]{8})-([0-9a-f]{8})$`)
)

// ParseData reads the key of a data object; ok is false for every key that
// neither Data, Rescue nor Compacted can have made.
func (p Paths) ParseData(key string) (k DataKey, ok bool) {
	rest, under := strings.CutPrefix(key, p.Prefix+"/")
	m := hourKey.FindStringSubmatch(rest)
	if !under || m == nil || bookkeeping[m[1]] {
		return k, false
	}
	k.Key, k.Hour = key, Hour{m[1], m[2], m[3], m[4]}
	if _, err := time.Parse("2006-01-02 15", k.DT+" "+k.HH); err != nil {
		return k, false
	}
	name := m[5]
	if c := compactedR.FindStringSubmatch(name); c != nil {
		k.Generation, k.N, k.Attempt, k.Schema8 = number[int](c[1]), number[int](c[2]), c[3], c[4]
		return k, k.Generation > 0
	}
	b := batched.FindStringSubmatch(name)
	if b == nil {
		return k, false
	}
	part, err := strconv.ParseInt(b[2], 10, 32)
	k.Chain, k.First, k.Next, k.Schema8, k.Rescue = ChainID{b[1], int32(part)}, number[int64](b[3]), number[int64](b[4]), b[5], b[6]
	return k, err == nil && k.First >= 0 && k.Next > k.First
}

// number reads digits that a pattern has found; what does not fit is -1.
func number[T int | int64](digits string) T {
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return -1
	}
	return T(n)
}
