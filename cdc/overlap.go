package cdc

import (
	"crypto/sha256"

	"github.com/millstream-data/millstream/internal/wire"
)

// half is 64 bits of a SHA-256. Two keys that share theirs cost a repetition;
// only two versions of one key that share it would hide a change.
type half [8]byte

// rowHash names a version of a row: half of it is the key's, half the version's.
func rowHash(key []byte, version string) wire.CDCHash {
	var out wire.CDCHash
	k := sha256.Sum256(key)
	v := sha256.Sum256(append(append(append(make([]byte, 0, len(key)+1+len(version)), key...), 0), version...))
	copy(out[:8], k[:])
	copy(out[8:], v[:])
	return out
}

func halves(h wire.CDCHash) (key, version half) { return half(h[:8]), half(h[8:]) }

// overlap remembers, of keys that will be read again since transactions were
// open, the version that was published last. Only the last one: a row whose
// version is a hash may become again what it was.
type overlap struct {
	max  int
	old  map[half]half // of the last complete poll
	next map[half]half // of the running one
	keys []wire.CDCKey // the state's records of old
	mine []wire.CDCKey // the state's records of next
}

func newOverlap(limit int) *overlap {
	return &overlap{max: limit, old: map[half]half{}, next: map[half]half{}}
}

// known says whether h is the version of its key that was published last, as
// far as that is remembered.
func (o *overlap) known(h wire.CDCHash) bool {
	key, version := halves(h)
	if was, ok := o.next[key]; ok {
		return was == version
	}
	was, ok := o.old[key]
	return ok && was == version
}

// add remembers h for the poll after this one. It reports whether the state
// needs to be told, and whether there was room: without it the row goes out
// again.
func (o *overlap) add(h wire.CDCHash) (fresh, room bool) {
	key, version := halves(h)
	was, ok := o.next[key]
	if ok && was == version {
		return false, true
	}
	if !ok && len(o.next) >= o.max {
		return false, false
	}
	o.next[key] = version
	return true, true
}

// addOld remembers h as if the last complete poll had, for a poll in between
// that moves no cursor.
func (o *overlap) addOld(h wire.CDCHash) (fresh, room bool) {
	key, version := halves(h)
	if _, ok := o.old[key]; !ok && len(o.old) >= o.max {
		return false, false
	}
	o.old[key] = version
	return true, true
}

// replace corrects what is remembered of a key that a load has published in
// between. It reports whether anything was.
func (o *overlap) replace(h wire.CDCHash) bool {
	key, version := halves(h)
	_, inNext := o.next[key]
	if inNext {
		o.next[key] = version
	}
	_, inOld := o.old[key]
	if inOld {
		o.old[key] = version
	}
	return inNext || inOld
}

// unread returns what the old poll remembered and the new one did not meet. A
// poll that ends before the last row has to carry it on.
func (o *overlap) unread() []wire.CDCHash {
	var out []wire.CDCHash
	for key, version := range o.old {
		if _, met := o.next[key]; !met && len(o.next)+len(out) < o.max {
			out = append(out, join(key, version))
		}
	}
	return out
}

func join(key, version half) wire.CDCHash {
	var h wire.CDCHash
	copy(h[:8], key[:])
	copy(h[8:], version[:])
	return h
}

// turn makes the running poll the last complete one and returns the records
// that the state no longer needs.
func (o *overlap) turn() []wire.CDCKey {
	gone := o.keys
	o.old, o.keys = o.next, o.mine
	o.next, o.mine = map[half]half{}, nil
	return gone
}

func (o *overlap) size() int { return len(o.old) + len(o.next) }
