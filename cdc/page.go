package cdc

import (
	"time"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// page is what one statement in one snapshot read.
type page struct {
	rows []row
	last []string // position of the last row; nil without rows
	full bool     // as much as was asked for: more may follow
	// looked is about how many rows were looked at, where that is more than came.
	looked int
	past   bool  // the last row lies beyond query.until
	bytes  int64 // of keys and values
	at     time.Time
	took   time.Duration

	// What strategies that compare with the key store add.
	lastKey    string    // of a full page: the last row's key
	lastWindow int64     // and its value of the window's column
	live       int       // rows at the origin that the page covers
	anew       bool      // reconcile: the page begins with the first range
	ranges     []matched // reconcile: ranges whose keys agree once the page is published
}

// add appends a row and says whether the page ends with it, as q wants.
func (pg *page) add(r row, q query) bool {
	pg.rows = append(pg.rows, r)
	pg.bytes += int64(len(r.key) + len(r.after))
	pg.full = len(pg.rows) == q.limit || q.bytes > 0 && pg.bytes >= q.bytes
	return pg.full
}

// row is a row as it will be published.
type row struct {
	key      []byte
	after    []byte
	adjusted []byte // JSON object, or nil
	told     []adjustment
	version  string
	hash     wire.CDCHash
	xmin     int64 // 0 where there is none
	stamp    int64 // micros since 1970 of the stamp column; 0 if unknown
	keep     bool  // will be read again by the next poll
	fresh    bool  // it was published
	rejects  []reject
	tooLarge bool // the row itself is not carried

	op     event.Op // "" until the key store is asked, and OpRead where it is not
	before []byte   // JSON object, or nil
	met    bool     // its key was published before
	same   bool     // and this version of it
	texts  []string // of queryRange: the key in the origin's text
}

// adjustment is a value that is not carried as it is, which source.adjusted tells.
type adjustment struct {
	column string
	reason string // null, changed, or a code of the dead letters
}

const (
	adjustedNull    = "null"    // no counterpart
	adjustedChanged = "changed" // replaced by the nearest that can be carried
)

// reject is a value of a row that cannot be carried as it is.
type reject struct {
	column   string
	code     event.Code
	original []byte
}

// pager finds the size of pages by the time that they take.
type pager struct {
	cfg  PageConfig
	size int
}

func (g *pager) limit() int {
	if g.size == 0 {
		g.size = g.cfg.Start
	}
	return g.size
}

// took adapts the size after a page: one that took too long or is too large
// makes the next ones smaller.
func (g *pager) took(pg *page) {
	n, large := max(len(pg.rows), pg.looked), g.cfg.Bytes > 0 && pg.bytes >= int64(g.cfg.Bytes)
	switch {
	case pg.took > 2*g.cfg.Target:
		g.halve()
	case large:
		g.size = max(min(len(pg.rows), g.limit()), 1)
	case pg.took < g.cfg.Target/2 && n >= g.limit():
		g.size = min(g.size+g.size/4, g.cfg.Max)
	}
}

func (g *pager) halve() { g.size = max(g.limit()/2, g.cfg.Min) }
