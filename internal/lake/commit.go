// Package lake holds the formats and paths of the lake on S3: commit objects
// and the chains that they form, table schemas, and names of tables and
// columns. FORMAT.md describes the objects; golden files pin their bytes.
package lake

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// CommitKind says what a commit does to its chain.
type CommitKind string

// The kinds of commits. All of them move the position.
const (
	KindData  CommitKind = "data"
	KindEmpty CommitKind = "empty" // no rows in the range
	KindLoss  CommitKind = "loss"  // Kafka no longer had the range
)

// Commit claims the offsets [First, Next) of a partition for good and names
// the files that hold their rows. Members are written in this order.
type Commit struct {
	V          int                     `json:"v"`
	Kind       CommitKind              `json:"kind"`
	Reason     string                  `json:"reason,omitempty"` // of KindLoss
	Topic      string                  `json:"topic"`
	TopicID    string                  `json:"topic_id"`
	Partition  int32                   `json:"partition"`
	First      int64                   `json:"first"`
	Next       int64                   `json:"next"`
	Prev       *int64                  `json:"prev"`  // First of the commit before; nil of the first one
	Holes      int64                   `json:"holes"` // offsets that never arrived
	Cut        string                  `json:"cut"`
	Attempt    string                  `json:"attempt"` // ULID; tells our own commit from a twin's
	Accounting []Accounting            `json:"accounting"`
	Schemas    map[string]CommitSchema `json:"schemas"` // by wire.Schema8
	Files      []File                  `json:"files"`
	Marks      []json.RawMessage       `json:"marks"` // see Mark
	Dedup      *DedupState             `json:"dedup,omitempty"`
	CreatedAt  Time                    `json:"created_at"`
	Writer     Writer                  `json:"writer"`
}

// Accounting says what became of the records of one source and day.
// Records = Primary + Duplicates + Rejected + Marks.
type Accounting struct {
	Source     string `json:"source"` // the folder under the prefix
	DT         string `json:"dt"`     // YYYY-MM-DD of received_at (events) or ts_ms (changes), UTC
	Records    int64  `json:"records"`
	Primary    int64  `json:"primary"`
	Duplicates int64  `json:"duplicates"`
	Rejected   int64  `json:"rejected"`
	Marks      int64  `json:"marks"`
}

// CommitSchema is a version of a table's columns that files of the commit have.
type CommitSchema struct {
	Table       string       `json:"table"` // schema.table
	Version     int          `json:"version"`
	Fingerprint string       `json:"fingerprint"`
	Columns     wire.Columns `json:"columns"`
}

// File is a data object. It exists because a commit names it.
type File struct {
	Key           string         `json:"key"`
	Table         string         `json:"table"` // schema.table
	DT            string         `json:"dt"`
	HH            string         `json:"hh"`
	Schema        string         `json:"schema"` // a key of Commit.Schemas
	First         int64          `json:"first"`  // offset of the first row in this file
	Next          int64          `json:"next"`   // offset of the last row + 1
	Rows          int64          `json:"rows"`
	Bytes         int64          `json:"bytes"`
	SHA256        string         `json:"sha256"` // hex
	CRC32C        string         `json:"crc32c"` // base64, as S3 gives it
	MinReceivedAt Time           `json:"min_received_at"`
	MaxReceivedAt Time           `json:"max_received_at"`
	MaxBytes      map[string]int `json:"max_bytes"` // longest value of each string and json column
}

// DedupState lets a successor rebuild the duplicate window.
type DedupState struct {
	WindowMS     int64 `json:"window_ms"`
	MaxRecords   int64 `json:"max_records"`
	Floor        int64 `json:"floor"` // offset from which the window must be read again
	FloorClockMS int64 `json:"floor_clock_ms"`
	ClockMS      int64 `json:"clock_ms"`
	Incomplete   bool  `json:"incomplete,omitempty"`
}

// Writer says who put a commit.
type Writer struct {
	Version    string `json:"version"`
	ID         string `json:"id"`
	Generation int    `json:"generation"`
}

// Mark is a control record of cdc that a commit carries, so that the loader
// needs commits and nothing else. Schema marks are not carried: the schema is
// in Commit.Schemas.
type Mark struct {
	Offset int64  `json:"offset"`
	Target string `json:"target"` // <source>_<schema>.<table>
	event.Poll
}

// Time is a moment with milliseconds in UTC, RFC 3339.
type Time struct{ time.Time }

// MarshalJSON writes three fractional digits and Z.
func (t Time) MarshalJSON() ([]byte, error) {
	return []byte(t.UTC().Format(`"2006-01-02T15:04:05.000Z"`)), nil
}

// UnmarshalJSON reads RFC 3339.
func (t *Time) UnmarshalJSON(b []byte) error {
	v, err := time.Parse(`"`+time.RFC3339Nano+`"`, string(b))
	t.Time = v.UTC()
	return err
}

// Encode returns the commit's bytes: members in the order above, no white
// space. Nil slices and maps are written as empty ones.
func (c Commit) Encode() ([]byte, error) {
	if c.Accounting == nil {
		c.Accounting = []Accounting{}
	}
	if c.Schemas == nil {
		c.Schemas = map[string]CommitSchema{}
	}
	if c.Files == nil {
		c.Files = []File{}
	}
	if c.Marks == nil {
		c.Marks = []json.RawMessage{}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(c); err != nil {
		return nil, fmt.Errorf("encode commit: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// DecodeCommit reads a commit and checks what it says of itself. Members that
// it does not know are ignored; a version above 1 is an error.
func DecodeCommit(b []byte) (Commit, error) {
	var c Commit
	if err := json.Unmarshal(b, &c); err != nil {
		return c, fmt.Errorf("decode commit: %w", err)
	}
	if c.V != 1 {
		return c, fmt.Errorf("decode commit: unknown version %d", c.V)
	}
	if err := c.Validate(); err != nil {
		return c, fmt.Errorf("commit %s/%d/%d: %w", c.Topic, c.Partition, c.First, err)
	}
	return c, nil
}

// Validate checks the arithmetic of a commit: every offset of the range is
// accounted for, each source's primary rows are the rows of its files' primary
// tables, and every file names a schema of the commit.
func (c Commit) Validate() error {
	var errs []error
	if c.Next <= c.First {
		errs = append(errs, fmt.Errorf("next %d is not above first %d", c.Next, c.First))
	}
	var records int64
	for _, a := range c.Accounting {
		records += a.Records
		if a.Records != a.Primary+a.Duplicates+a.Rejected+a.Marks {
			errs = append(errs, fmt.Errorf("accounting of %s on %s does not add up: %+v", a.Source, a.DT, a))
		}
	}
	if records+c.Holes != c.Next-c.First {
		errs = append(errs, fmt.Errorf("%d records and %d holes are not the %d offsets of the range", records, c.Holes, c.Next-c.First))
	}
	for _, f := range c.Files {
		s, ok := c.Schemas[f.Schema]
		if !ok {
			errs = append(errs, fmt.Errorf("file %s: schema %q is not in the commit", f.Key, f.Schema))
		} else if wire.Schema8(s.Fingerprint) != f.Schema || s.Columns.Fingerprint() != s.Fingerprint {
			errs = append(errs, fmt.Errorf("file %s: schema %q is not the fingerprint of its columns", f.Key, f.Schema))
		}
		if f.First < c.First || f.Next > c.Next || f.Rows < 1 {
			errs = append(errs, fmt.Errorf("file %s: rows [%d, %d) are outside the range", f.Key, f.First, f.Next))
		}
	}
	return errors.Join(errs...)
}
