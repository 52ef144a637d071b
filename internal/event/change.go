package event

import "encoding/json"

// Op says what became of a database row, in Debezium's letters.
type Op string

// The operations. A row whose former state is unknown is OpRead: a poller
// cannot tell an insert from an update.
const (
	OpRead   Op = "r"
	OpCreate Op = "c"
	OpUpdate Op = "u"
	OpDelete Op = "d"
)

// Change is one row of a mirrored table at one moment: the payload of
// Debezium's envelope. Before and After are JSON objects or nil; of a deleted
// row Before holds the key columns and After is nil.
type Change struct {
	Before json.RawMessage `json:"before"`
	After  json.RawMessage `json:"after"`
	Source ChangeSource    `json:"source"`
	// Transaction is always null: a poller sees no transactions.
	Transaction json.RawMessage `json:"transaction"`
	Op          Op              `json:"op"`
	// TSMillis, TSMicros and TSNanos are the moment of the read by the
	// poller's clock, since 1970 in UTC.
	TSMillis int64 `json:"ts_ms"`
	TSMicros int64 `json:"ts_us"`
	TSNanos  int64 `json:"ts_ns"`
}

// ChangeSource says where a change comes from and by which read it was seen.
type ChangeSource struct {
	Version   string `json:"version"`
	Connector string `json:"connector"` // postgresql, mysql, mariadb, sqlite
	Name      string `json:"name"`      // the source in the configuration
	TSMillis  int64  `json:"ts_ms"`     // the row's stamp where the database sets it, else the read
	TSMicros  int64  `json:"ts_us"`
	TSNanos   int64  `json:"ts_ns"`
	Snapshot  string `json:"snapshot"` // "true" of a first load, "incremental" of a re-read, else "false"
	DB        string `json:"db"`
	// Sequence is `["<fence>","<page>"]`: it grows with every takeover and
	// every page of the table, and so agrees with the order of offsets.
	Sequence string          `json:"sequence"`
	Schema   string          `json:"schema,omitempty"` // empty of mysql and mariadb, whose schemas are databases
	Table    string          `json:"table"`
	TxID     *int64          `json:"txId"`
	LSN      *int64          `json:"lsn"`
	Xmin     *int64          `json:"xmin"`
	Strategy string          `json:"strategy"`
	Poll     string          `json:"poll"` // ULID
	Adjusted json.RawMessage `json:"adjusted,omitempty"`

	*BinlogSource // mysql and mariadb only
}

// BinlogSource holds the members that readers of Debezium's MySQL and MariaDB
// changes expect. A poller does not read the log, and so leaves them at zero.
type BinlogSource struct {
	ServerID int64   `json:"server_id"`
	GTID     *string `json:"gtid"`
	File     string  `json:"file"`
	Pos      int64   `json:"pos"`
	Row      int64   `json:"row"`
	Thread   *int64  `json:"thread"`
	Query    *string `json:"query"`
}

// TableSchema announces a version of a mirrored table's columns. It precedes,
// in every partition, the first change of its version.
type TableSchema struct {
	V           int               `json:"v"`
	Source      string            `json:"source"`
	Schema      string            `json:"schema"`
	Table       string            `json:"table"`
	Version     int               `json:"version"`
	Fingerprint string            `json:"fingerprint"` // "sha256:" and 64 hex digits; see wire.TableFingerprint
	Key         []string          `json:"key"`
	Cursor      string            `json:"cursor"`  // the column that incremental polls follow, or ""
	Renamed     map[string]string `json:"renamed"` // old name to new name
	Retyped     []string          `json:"retyped"`
	Dropped     []string          `json:"dropped"`
	Columns     []TableColumn     `json:"columns"`
}

// TableColumn is a column of a mirrored table: its origin's type, the form of
// its values in Change.After, and the types that lake and warehouse give it.
type TableColumn struct {
	Name      string `json:"name"`
	Origin    string `json:"origin"`    // the type as the origin's catalogue prints it
	Form      Form   `json:"form"`      // how a value looks in Change.After
	Lake      string `json:"lake"`      // a wire.LakeType
	Warehouse string `json:"warehouse"` // Redshift's type
	Nullable  bool   `json:"nullable"`
	Key       int    `json:"key"` // position in the key from 1, or 0
}

// Form is how a column's values look in Change.After. They are Debezium's
// forms with decimals and intervals as strings.
type Form string

// The forms. Integers since 1970 are in UTC unless the column has no zone.
const (
	FormBool     Form = "bool"
	FormNumber   Form = "number" // floats also as "NaN", "Infinity", "-Infinity"
	FormText     Form = "text"
	FormDays     Form = "days"      // integer days since 1970-01-01
	FormMicros   Form = "micros"    // integer microseconds since 1970, no zone
	FormISO      Form = "iso"       // 2026-11-21T06:15:02.113402Z, no trailing zeros
	FormBase64   Form = "base64"    // standard alphabet, padded
	FormJSONText Form = "json_text" // a string that holds JSON
	FormJSON     Form = "json"      // JSON itself
)

// Poll marks the beginning or the end of a poll in every partition of a
// mirrored table's topic.
type Poll struct {
	V        int        `json:"v"`
	Poll     string     `json:"poll"` // ULID; the same through restarts
	Strategy string     `json:"strategy"`
	Kind     PollKind   `json:"kind"`
	Publish  string     `json:"publish"` // upsert, replace, diff
	State    string     `json:"state"`   // started, completed
	Parts    int        `json:"parts"`   // partitions of the topic
	Rows     int64      `json:"rows"`    // the poll's changes in all partitions
	Live     *int64     `json:"live"`    // keys that the origin has, where counted
	Range    *PollRange `json:"range"`   // of bounded polls
	// CompleteThrough is RFC 3339 in UTC: every transaction that began before
	// it is in what was published so far. Nil until that is known.
	CompleteThrough *string `json:"complete_through"`
	DeletesThrough  *string `json:"deletes_through"`
	Basis           string  `json:"basis"` // activity, locks, process, lock, lookback
	Clock           string  `json:"clock"` // database, application
}

// PollKind is the kind of strategy that a poll runs.
type PollKind string

// The kinds of polls.
const (
	PollLoad        PollKind = "load"
	PollFull        PollKind = "full"
	PollBounded     PollKind = "bounded"
	PollIncremental PollKind = "incremental"
	PollXmin        PollKind = "xmin"
	PollReconcile   PollKind = "reconcile"
	PollBackfill    PollKind = "backfill"
)

// PollRange is the half-open range [Lo, Hi) of a column that a poll covers.
type PollRange struct {
	Column string `json:"column"`
	Lo     string `json:"lo"`
	Hi     string `json:"hi"`
}
