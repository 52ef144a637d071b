package metric

import (
	"context"
	"errors"
	"time"
)

// Errors of a Store on which callers branch.
var (
	// ErrFenced means that somebody claimed the partition later: nothing was written.
	ErrFenced = errors.New("fenced: somebody claimed the partition later")
	// ErrOldSet means that the set offered was in force before and is no more: nothing was written.
	ErrOldSet = errors.New("old set: it was in force before, and a newer one is now")
	// ErrRecreated means that the topic bears the name of one that the store knows and is another.
	ErrRecreated = errors.New("topic_recreated: the topic is not the one whose records the store counted; give the new log a new topic prefix")
	// ErrTerms means that the store was filled under another duplicate window.
	ErrTerms = errors.New("other terms: the store was filled under another duplicate window")
	// ErrFormat means that a newer Millstream has written the store.
	ErrFormat = errors.New("newer format: a newer Millstream has written the store")
)

// Store keeps cells together with the positions that they include. It is safe
// for concurrent use; several processes may use one store at once. Every method
// may fail with an error that is none of the above: then the store is away or
// slow, nothing is known of what a writing method did, and it may be repeated
// (but Commit: see there).
type Store interface {
	// Agree writes terms into a new store. In an older one they must be equal to
	// those written; otherwise the error wraps ErrTerms and names both.
	Agree(ctx context.Context, terms Terms) error

	// Claim makes owner the owner of p and raises p's fence, which shuts out its
	// earlier owner for good. The first claim of a partition inserts its row, at
	// first. A topic id other than the one of the first claim is ErrRecreated.
	// It waits for a commit in flight.
	Claim(ctx context.Context, p Partition, owner string, first Position) (Claim, error)

	// Reclaim tells the outcome of a Commit that failed with an unknown one. It
	// waits for that transaction to end, raises the fence and returns the claim
	// to go on with, whose Next is final: where it is f.Next the flush landed,
	// where it is the old one it did not. ErrFenced means another owner.
	Reclaim(ctx context.Context, c Claim) (Claim, error)

	// Commit writes the rows of f and moves the position of c from c.Next to
	// f.Position.Next, all or nothing. ErrFenced means that c is not the newest
	// claim or its Next not the stored one, and that nothing was written. After
	// any other error the outcome is unknown: call Reclaim.
	Commit(ctx context.Context, c Claim, f Flush) error

	// Load returns the rows of keys as of one instant. A key without a row is
	// absent from the map. Vals of the rows are not filled.
	Load(ctx context.Context, keys []Key) (map[Key]Row, error)

	// Unpublished calls yield with the rows of c's src whose LastOff is at or
	// above c.Published, Vals filled, until it returns false.
	Unpublished(ctx context.Context, c Claim, yield func(Row) bool) error

	// Scan calls yield with every row that lies in one of ranges, Vals filled,
	// range by range and in the order of keys, until it returns false; the
	// snapshot tells the positions and days of the same instant. The row's
	// slices are the caller's. yield must not call the store.
	Scan(ctx context.Context, ranges []Range, yield func(Row) bool) (Snapshot, error)

	// Register puts set in force in one step: metrics that are new or mean
	// something else get a new current version, the versions that they replace
	// and those of metrics that the set lacks are retired. A set that is in
	// force already changes nothing; one that was once is ErrOldSet. Racing
	// registrations follow one another. It returns what is in force, also
	// together with ErrOldSet.
	Register(ctx context.Context, set *Set) (Registered, error)

	// Current returns what is in force; No is 0 in a store without a set.
	Current(ctx context.Context) (Registered, error)

	// Ping returns an error that says why the store cannot be used.
	Ping(ctx context.Context) error

	// Close ends the connections. It may be called twice.
	Close() error
}

// Terms are what every number of a store rests on and therefore cannot change
// in it: the window in which twins are duplicates.
type Terms struct {
	Window     time.Duration
	MaxRecords int64
}

// Partition names a partition of one incarnation of a topic.
type Partition struct {
	Topic   string
	TopicID string
	Part    int32
}

// Position is how far a partition has been counted.
type Position struct {
	Next         int64 // the next offset to count
	ClockMS      int64 // the largest record timestamp below Next, unix ms
	DedupFloor   int64 // the first offset that the duplicate window at Next needs
	FloorClockMS int64 // ClockMS at DedupFloor
	WatermarkMS  int64 // unix ms up to which the cells include everything that Kafka held
	Published    int64 // rows with LastOff below it are on the topic of cells
}

// Claim is the right to write one partition's rows, until somebody claims it
// later.
type Claim struct {
	Partition
	Position
	Owner  string
	Src    int   // the number that stands for the partition in keys; from 1
	Fence  int64 // raised with each claim
	Starts map[VersionID]int64
}

// VersionID names one meaning of a metric.
type VersionID struct{ Metric, Ver int }

// Key names a partial cell. It is comparable.
type Key struct {
	Metric int
	Ver    int
	Zone   string // IANA name; "" for fine cells
	Bucket int64  // days since 1970-01-01 of that zone; quarters of an hour since 1970 for fine cells
	Dim    uint64 // DimHash of the values; 0 is the total
	Src    int    // origin; 0 is the lake
	Rev    int    // revision of the day that the row belongs to; from 1, of lake rows from 0
}

// Version returns the version that the cell belongs to.
func (k Key) Version() VersionID { return VersionID{k.Metric, k.Ver} }

// Row is a partial cell: what one origin contributes, as an absolute value.
type Row struct {
	Key
	Vals    []string // values in the order of the metric's By; empty for the total
	N       int64    // events counted, those of minus included
	Bad     int64    // matching events without a usable value
	State   []byte   // see FORMAT.md
	LastOff int64    // offset of the last record in it
}

// Flush is what one Commit applies.
type Flush struct {
	Position Position
	// Rows replace what the store holds under their keys. Their Src must be the
	// claim's. Vals are written where the store does not know Dim yet.
	Rows []Row
	// Starts tell for versions new to this partition the first offset that the
	// rows include. A start that is known already stays.
	Starts map[VersionID]int64
}

// Range selects the rows of one version in one grain with From <= Bucket < To.
type Range struct {
	VersionID
	Zone     string // "" for fine cells
	From, To int64
}

// Snapshot is what belongs to the rows of a Scan.
type Snapshot struct {
	At        time.Time // by the store's clock, UTC
	Positions []SrcPosition
	Starts    map[int]map[VersionID]int64 // by src
	Days      map[DayID]Day               // days that have a state; others are open
	Bases     map[DayVersion]int          // base revisions that are not 0
}

// SrcPosition is the position of one origin.
type SrcPosition struct {
	Src   int
	Topic string
	Part  int32
	Position
}

// DayID names a day of a zone.
type DayID struct {
	Zone string
	Day  int64
}

// DayVersion names the day of one version of a metric.
type DayVersion struct {
	VersionID
	DayID
}

// Day is the state of a day of a zone.
type Day struct {
	Sealed   bool
	Revision int // 0 while it is open
	SealedAt time.Time
	FromS    int64 // the bounds with which it was sealed, unix seconds
	ToS      int64
}

// VersionState tells what a version is used for.
type VersionState string

// The states of a version.
const (
	VersionBuilding VersionState = "building" // counted, and not yet complete
	VersionCurrent  VersionState = "current"  // what the metric's name means
	VersionRetired  VersionState = "retired"  // kept, no longer counted
)

// Version is one meaning of a metric's name.
type Version struct {
	VersionID
	Name  string
	State VersionState
	Def   *Metric // as it was written when the version began; titles may be newer in Registered.Set
}

// Registered is the set of definitions in force and the versions behind it.
type Registered struct {
	No       int // of the set; rises by one with each set put in force
	Set      *Set
	Versions []Version // every version that is not retired, in the order of the set
}

// Version returns the current version of the metric called name.
func (r Registered) Version(name string) (Version, bool) {
	for _, v := range r.Versions {
		if v.Name == name && v.State == VersionCurrent {
			return v, true
		}
	}
	return Version{}, false
}
