package wire

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// The state of cdc is a compacted topic of a source, a record for each part
// of it. The types below are the values; FORMAT.md describes them.

// CDCSource is the state of a source as a whole; its key is "source".
type CDCSource struct {
	V      int    `json:"v"`
	System string `json:"system"` // the server's identity, where it has one
	// Timeline is PostgreSQL's; another one means that a standby was promoted.
	Timeline string `json:"timeline,omitempty"`
	Server   string `json:"server"` // its version
	Fence    int64  `json:"fence"`  // grows with each takeover
	T0       string `json:"t0"`     // the last sample's clock, RFC 3339; "" before the first
	Raw      string `json:"raw"`    // what it found: nothing open began before
	Holder   string `json:"holder"` // who held the horizon, for people
	// Owner is the process that wrote this, host and pid, for people.
	Owner string `json:"owner,omitempty"`
}

// CDCTable is the state of a table; its key is "table/<schema.table>".
type CDCTable struct {
	V        int            `json:"v"`
	Page     int64          `json:"page"` // pages handed over since ever
	Schema   CDCTableSchema `json:"schema"`
	Relation string         `json:"relation"`         // identity of the table at the origin
	Rewrite  string         `json:"rewrite"`          // another value: the table was rewritten or truncated
	Leaves   []string       `json:"leaves,omitempty"` // of a partitioned table, with what names their rewrites
	Loaded   bool           `json:"loaded"`           // the first load is complete, or was not wanted
	// CompleteThrough is RFC 3339 in UTC, or "" before the first load is complete.
	CompleteThrough string `json:"complete_through"`
	// DeletesThrough is likewise, or "" if no strategy sees deletes.
	DeletesThrough string `json:"deletes_through,omitempty"`
	Basis          string `json:"basis"`
	// Anchor is the last complete poll's, from which another strategy may
	// begin; nil before the first load is complete.
	Anchor *CDCAnchor `json:"anchor,omitempty"`
	// Planned are the strategies of a table whose configuration names none.
	Planned *CDCPlanned `json:"planned,omitempty"`
	// Stopped says why the table is not read; nil while it is.
	Stopped *CDCStopped `json:"stopped,omitempty"`
	// Paused: an order keeps the table from being read.
	Paused bool `json:"paused,omitempty"`
}

// CDCPlanned is the plan of a table without strategies. It stays as it is until
// For changes: a hash of the table's configuration and columns.
type CDCPlanned struct {
	For        string               `json:"for"`
	Strategies []CDCPlannedStrategy `json:"strategies"`
}

// CDCPlannedStrategy is a strategy in the words of the configuration.
type CDCPlannedStrategy struct {
	Kind      string `json:"kind"`
	Timestamp string `json:"timestamp,omitempty"`
	ID        string `json:"id,omitempty"`
	Publish   string `json:"publish,omitempty"`
	Every     string `json:"every"` // a duration
}

// CDCStopped is why a table is not read, and what mends it.
type CDCStopped struct {
	Code  string `json:"code"`
	Text  string `json:"text"`
	Mend  string `json:"mend,omitempty"`
	Since string `json:"since"` // RFC 3339
}

// The orders that people give a table.
const (
	CDCReload = "reload" // read it all again, under a new key or relation too
	CDCPause  = "pause"
	CDCResume = "resume"
	CDCAccept = "accept" // what stopped it is right: go on
	CDCForget = "forget" // drop the state of a table that is not configured any more
)

// CDCOrder is what somebody wants of a table; its key is
// "order/<schema.table>". The slot's owner tombstones it when it has obeyed.
type CDCOrder struct {
	V     int    `json:"v"`
	Order string `json:"order"`
	At    string `json:"at"` // when it was given, RFC 3339
	By    string `json:"by"` // for people
}

// CDCAnchor is a moment that a table is complete through: nothing that commits
// later began before H, and the ids of all that was open are at or above Xid.
type CDCAnchor struct {
	H   string `json:"h"`
	Xid string `json:"xid,omitempty"`
}

// CDCTableSchema says which version of a table's columns was announced last.
type CDCTableSchema struct {
	Version     int    `json:"version"`
	Fingerprint string `json:"fingerprint"` // of the mark
	Origin      string `json:"origin"`      // of the origin's catalogue
	// Numbers are the origin's numbers of columns, which a rename keeps.
	Numbers map[string]int `json:"numbers,omitempty"`
}

// CDCStrategy is the state of a strategy; its key is
// "strategy/<schema.table>/<name>".
type CDCStrategy struct {
	V       int    `json:"v"`
	Meaning string `json:"meaning"` // hash of what its cursors mean
	// H and Cursor are of the last complete poll: nothing that commits later
	// has a stamp below H (but for the skew), nor an id up to Cursor.
	H      string `json:"h"`
	Cursor string `json:"cursor"`
	Column string `json:"column,omitempty"` // that Cursor is a value of
	High   string `json:"high,omitempty"`   // bounded by integers: the largest that a window reached
	// Pending are largest ids with the server's clock read after them: such
	// an id becomes the cursor when all that was open at t0 has ended.
	Pending []CDCPending `json:"pending,omitempty"`
	// Poll is the running poll; nil between polls.
	Poll *CDCPoll `json:"poll,omitempty"`
	// Last is the ULID of the last complete poll, whose overlap still counts.
	Last string `json:"last"`
	// Marked is when a completed poll was last told of, RFC 3339.
	Marked string `json:"marked"`
}

// CDCPending is an id that may become a cursor.
type CDCPending struct {
	Max string `json:"max"`
	T0  string `json:"t0"`
}

// CDCPoll is a poll that has begun.
type CDCPoll struct {
	ID    string `json:"id"`    // ULID
	Phase string `json:"phase"` // stamp, id
	// H, T0 and Cursor become the strategy's when the poll is complete.
	H      string   `json:"h"`
	T0     string   `json:"t0"`
	Cursor string   `json:"cursor"`
	Max    string   `json:"max"`
	Basis  string   `json:"basis"`
	Lo     string   `json:"lo"`             // first stamp that is read
	Keep   string   `json:"keep"`           // rows from this stamp on will be read again
	Until  string   `json:"until"`          // a full page beyond this stamp ends the phase
	After  []string `json:"last,omitempty"` // position within the phase: the last row's cursor and key
	Heap   string   `json:"heap,omitempty"` // file node of the blocks that After counts
	Xid    string   `json:"xid,omitempty"`  // no transaction below it was running at H
	LSN    string   `json:"lsn,omitempty"`  // what a standby must have replayed to be read
	// AfterKey is a key in a record's JSON: behind it goes a poll that compares with the key store.
	AfterKey string `json:"last_key,omitempty"`
	// AfterWindow is that key's value of the window's column.
	AfterWindow int64  `json:"last_window,omitempty"`
	Rows        int64  `json:"rows"`            // published
	Nulls       int64  `json:"nulls,omitempty"` // rows without a stamp that were read
	Live        int64  `json:"live,omitempty"`  // rows that were read, where all of them are
	Pages       int64  `json:"pages"`
	Started     string `json:"started"`        // by the poller's clock, RFC 3339
	Fast        bool   `json:"fast,omitempty"` // it reads new values only and moves no cursor
}

// CDCLoad is the state of a first load or backfill; its key is
// "load/<schema.table>". It is tombstoned when the load is complete.
type CDCLoad struct {
	V      int        `json:"v"`
	Poll   string     `json:"poll"`
	Kind   string     `json:"kind"` // load, backfill
	Rows   int64      `json:"rows"`
	Begun  bool       `json:"begun"` // the mark "started" was published
	Since  string     `json:"since"` // when it was wanted, by the poller's clock
	Ranges []CDCRange `json:"ranges"`
	Split  bool       `json:"split,omitempty"` // the ranges were cut
	// H is what a complete load is complete through.
	H     string `json:"h"`
	Basis string `json:"basis"`
	LSN   string `json:"lsn,omitempty"` // what a standby must have replayed to be read
	// Again is the server's clock that pages have to wait for: those that
	// were read while older transactions were open are read once more.
	Again *CDCAgain `json:"again"`
}

// CDCAgain says whether a load has to be repeated.
type CDCAgain struct {
	T0   string `json:"t0"`
	Must bool   `json:"must"` // pages were read too early
}

// CDCRange is a part of a load: keys in (Lo, Hi], nil meaning no bound. Bounds
// are values of the key's first columns, positions of all.
type CDCRange struct {
	Lo   []string `json:"lo"`
	Hi   []string `json:"hi"`
	Last []string `json:"last"`
	Done bool     `json:"done"`
	// Early: pages of it were read while older transactions were open, so it is
	// read once more.
	Early bool `json:"early,omitempty"`
}

// CDCHash identifies a version of a row: 8 bytes of SHA-256 over its key, and 8
// over key, NUL and version. Of a key the last one counts.
type CDCHash [16]byte

// CDCOverlap is the part of an overlap that a page added; its key is
// "overlap/<schema.table>/<strategy>/<poll>/<page>".
type CDCOverlap struct {
	V   int       `json:"v"`
	Set []CDCHash `json:"-"`
}

// MarshalJSON writes the set as base64.
func (o CDCOverlap) MarshalJSON() ([]byte, error) {
	flat := make([]byte, 0, len(o.Set)*len(CDCHash{}))
	for _, h := range o.Set {
		flat = append(flat, h[:]...)
	}
	return fmt.Appendf(nil, `{"v":%d,"set":"%s"}`, o.V, base64.StdEncoding.EncodeToString(flat)), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (o *CDCOverlap) UnmarshalJSON(b []byte) error {
	var raw struct {
		V   int    `json:"v"`
		Set []byte `json:"set"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	const size = len(CDCHash{})
	if len(raw.Set)%size != 0 {
		return fmt.Errorf("overlap: %d bytes are no whole number of hashes", len(raw.Set))
	}
	o.V, o.Set = raw.V, make([]CDCHash, len(raw.Set)/size)
	for i := range o.Set {
		copy(o.Set[i][:], raw.Set[i*size:])
	}
	return nil
}

// CDCKey is the key of a record of cdc's state.
type CDCKey struct {
	Part     string // source, table, strategy, load, overlap, schema, order
	Table    string // schema.table
	Strategy string
	Poll     string // of an overlap
	Number   int64  // page of the table for an overlap, version of a schema
}

// The parts of cdc's state.
const (
	CDCPartSource   = "source"
	CDCPartTable    = "table"
	CDCPartStrategy = "strategy"
	CDCPartLoad     = "load"
	CDCPartOverlap  = "overlap"
	CDCPartSchema   = "schema"
	CDCPartOrder    = "order"
)

// Append appends the key's text to dst. Names keep their dots; "%" and "/" in
// them become %25 and %2F.
func (k CDCKey) Append(dst []byte) []byte {
	dst = append(dst, k.Part...)
	put := func(s string) { dst = append(append(dst, '/'), s...) }
	switch k.Part {
	case CDCPartTable, CDCPartLoad, CDCPartOrder:
		put(escapeMember(k.Table))
	case CDCPartStrategy:
		put(escapeMember(k.Table))
		put(escapeMember(k.Strategy))
	case CDCPartOverlap:
		put(escapeMember(k.Table))
		put(escapeMember(k.Strategy))
		put(k.Poll)
		put(strconv.FormatInt(k.Number, 10))
	case CDCPartSchema:
		put(escapeMember(k.Table))
		put(strconv.FormatInt(k.Number, 10))
	}
	return dst
}

// ParseCDCKey reads a key that Append wrote.
func ParseCDCKey(s string) (CDCKey, error) {
	p := strings.Split(s, "/")
	k := CDCKey{Part: p[0]}
	want := map[string]int{CDCPartSource: 1, CDCPartTable: 2, CDCPartLoad: 2, CDCPartStrategy: 3, CDCPartOverlap: 5, CDCPartSchema: 3, CDCPartOrder: 2}[k.Part]
	if want == 0 || len(p) != want {
		return k, fmt.Errorf("cdc state key %q: unknown", s)
	}
	if len(p) > 1 {
		k.Table = unescapeMember(p[1])
	}
	number := ""
	switch k.Part {
	case CDCPartStrategy:
		k.Strategy = unescapeMember(p[2])
	case CDCPartOverlap:
		k.Strategy, k.Poll, number = unescapeMember(p[2]), p[3], p[4]
	case CDCPartSchema:
		number = p[2]
	}
	if number != "" {
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return k, fmt.Errorf("cdc state key %q: %w", s, err)
		}
		k.Number = n
	}
	return k, nil
}

func escapeMember(s string) string {
	return strings.NewReplacer("%", "%25", "/", "%2F").Replace(s)
}

func unescapeMember(s string) string {
	return strings.NewReplacer("%2F", "/", "%25", "%").Replace(s)
}

// CDCRecord is any value of cdc's state but the body of a schema mark.
type CDCRecord interface {
	CDCSource | CDCTable | CDCStrategy | CDCLoad | CDCOverlap | CDCOrder
}

// EncodeCDCRecord returns the bytes of a value of cdc's state.
func EncodeCDCRecord[T CDCRecord](v T) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode cdc state: %w", err)
	}
	return b, nil
}

// DecodeCDCRecord reads a value of cdc's state. A version above 1 is an error;
// members that it does not know are ignored.
func DecodeCDCRecord[T CDCRecord](b []byte) (T, error) {
	var (
		out   T
		probe struct {
			V int `json:"v"`
		}
	)
	if err := json.Unmarshal(b, &probe); err != nil {
		return out, fmt.Errorf("decode cdc state: %w", err)
	}
	if probe.V != 1 {
		return out, fmt.Errorf("decode cdc state: unknown version %d", probe.V)
	}
	if err := json.Unmarshal(b, &out); err != nil {
		return out, fmt.Errorf("decode cdc state: %w", err)
	}
	return out, nil
}
