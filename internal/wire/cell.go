package wire

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// CellKind is the first member of a key on the topic of cells.
type CellKind string

// The kinds of records on the topic of cells.
const (
	CellValue     CellKind = "c" // the current absolute value of a partial cell
	CellDay       CellKind = "d" // the state of a day in a zone
	CellWatermark CellKind = "w" // how far a partition has been read
	CellSet       CellKind = "s" // the set of definitions has changed
)

// CellKey is the key of a partial cell: c:revenue:3:Europe/Berlin:20541:5b1f2c0e9a77d310:7:1.
type CellKey struct {
	Metric  string
	Version int
	Zone    string // IANA name; "" for fine cells
	Bucket  int64  // days since 1970-01-01; quarters of an hour for fine cells
	Tuple   uint64 // XXH64 of the dimension values; 0 is the total
	Src     int    // origin of the partial; 0 is the lake
	Rev     int
}

// Append appends the key's text to dst.
func (k CellKey) Append(dst []byte) []byte {
	zone := k.Zone
	if zone == "" {
		zone = "-"
	}
	tuple := "0"
	if k.Tuple != 0 {
		tuple = fmt.Sprintf("%016x", k.Tuple)
	}
	return fmt.Appendf(dst, "c:%s:%d:%s:%d:%s:%d:%d", k.Metric, k.Version, zone, k.Bucket, tuple, k.Src, k.Rev)
}

// ParseCellKey reads a key that Append wrote. Another spelling of a key is an
// error: a compacted topic would keep both.
func ParseCellKey(s string) (CellKey, error) {
	p := strings.Split(s, ":")
	if len(p) != 8 || p[0] != string(CellValue) {
		return CellKey{}, fmt.Errorf("cell key %q: want c:metric:version:zone:bucket:tuple:src:rev", s)
	}
	k := CellKey{Metric: p[1], Zone: p[3]}
	if k.Zone == "-" {
		k.Zone = ""
	}
	var err error
	num := func(s string, base, bits int) (v int64) {
		if err == nil {
			v, err = strconv.ParseInt(s, base, bits)
		}
		return v
	}
	k.Version = int(num(p[2], 10, 32))
	k.Bucket = num(p[4], 10, 64)
	k.Src = int(num(p[6], 10, 32))
	k.Rev = int(num(p[7], 10, 32))
	if err == nil {
		k.Tuple, err = strconv.ParseUint(p[5], 16, 64)
	}
	if err != nil {
		return CellKey{}, fmt.Errorf("cell key %q: %w", s, err)
	}
	var buf [128]byte
	if string(k.Append(buf[:0])) != s {
		return CellKey{}, fmt.Errorf("cell key %q: not as it is written", s)
	}
	return k, nil
}

// Cell is the value of a partial cell. A reader takes it if Off is greater
// than what it holds for the key, so repetition and disorder do no harm.
type Cell struct {
	V     int      `json:"v"`
	Vals  []string `json:"vals"`  // dimension values; empty for the total
	N     int64    `json:"n"`     // events
	Bad   int64    `json:"bad"`   // events without a usable value
	State []byte   `json:"state"` // the aggregator's state, base64; see internal/metric/FORMAT.md
	Off   int64    `json:"off"`   // offset of the last record in it
	At    int64    `json:"at"`    // unix ms of its commit
}

// Day is the state of a day in a zone; its key is d:<zone>:<YYYY-MM-DD>.
type Day struct {
	V        int            `json:"v"`
	State    string         `json:"state"` // open, sealed
	Revision int            `json:"revision"`
	SealedAt string         `json:"sealed_at,omitempty"` // RFC 3339, UTC
	Late     int64          `json:"late"`
	Bases    map[string]int `json:"bases,omitempty"` // "metric:version" to base revision
}

// Watermark says how far a partition has been read; its key is w:<topic>:<partition>.
type Watermark struct {
	V    int   `json:"v"`
	Next int64 `json:"next"` // the committed position
	End  int64 `json:"end"`  // the end offset that the last fetch saw
	WM   int64 `json:"wm"`   // unix ms up to which the cells include everything
}

// Set says that definitions or their states have changed; its key is s:set.
type Set struct {
	V     int `json:"v"`
	Set   int `json:"set"`
	State int `json:"state"`
}

// DayKey returns the key of a day in a zone; day is YYYY-MM-DD.
func DayKey(zone, day string) []byte { return []byte("d:" + zone + ":" + day) }

// WatermarkKey returns the key of a partition's watermark.
func WatermarkKey(topic string, partition int32) []byte {
	return fmt.Appendf(nil, "w:%s:%d", topic, partition)
}

// SetKey returns the key of the record that tells of a new set of definitions.
func SetKey() []byte { return []byte("s:set") }

// ParseWatermarkKey reads a key that WatermarkKey wrote.
func ParseWatermarkKey(s string) (topic string, partition int32, err error) {
	rest, ok := strings.CutPrefix(s, "w:")
	i := strings.LastIndexByte(rest, ':')
	if !ok || i < 0 {
		return "", 0, fmt.Errorf("watermark key %q: want w:topic:partition", s)
	}
	n, err := strconv.ParseInt(rest[i+1:], 10, 32)
	if err != nil {
		return "", 0, fmt.Errorf("watermark key %q: %w", s, err)
	}
	if n < 0 || rest[i+1:] != strconv.FormatInt(n, 10) {
		return "", 0, fmt.Errorf("watermark key %q: %q is no partition", s, rest[i+1:])
	}
	return rest[:i], int32(n), nil
}

// ParseDayKey reads a key that DayKey wrote.
func ParseDayKey(s string) (zone, day string, err error) {
	rest, ok := strings.CutPrefix(s, "d:")
	i := strings.LastIndexByte(rest, ':')
	if !ok || i < 0 {
		return "", "", fmt.Errorf("day key %q: want d:zone:day", s)
	}
	if _, err := time.Parse(time.DateOnly, rest[i+1:]); err != nil {
		return "", "", fmt.Errorf("day key %q: want the day as YYYY-MM-DD: %w", s, err)
	}
	return rest[:i], rest[i+1:], nil
}

// CellRecord is any value on the topic of cells.
type CellRecord interface{ Cell | Day | Watermark | Set }

// EncodeCellRecord returns the bytes of a value on the topic of cells. A cell
// without dimension values or state is written with an empty list and string.
func EncodeCellRecord[T CellRecord](v T) ([]byte, error) {
	if c, ok := any(&v).(*Cell); ok {
		if c.Vals == nil {
			c.Vals = []string{}
		}
		if c.State == nil {
			c.State = []byte{}
		}
	}
	b, err := marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode cell record: %w", err)
	}
	return b, nil
}

// DecodeCellRecord reads a value on the topic of cells. A version above 1 is
// an error; members that it does not know are ignored.
func DecodeCellRecord[T CellRecord](b []byte) (T, error) {
	var (
		out   T
		probe struct {
			V int `json:"v"`
		}
	)
	if err := json.Unmarshal(b, &probe); err != nil {
		return out, fmt.Errorf("decode cell record: %w", err)
	}
	if probe.V != 1 {
		return out, fmt.Errorf("decode cell record: unknown version %d", probe.V)
	}
	if err := json.Unmarshal(b, &out); err != nil {
		return out, fmt.Errorf("decode cell record: %w", err)
	}
	return out, nil
}
