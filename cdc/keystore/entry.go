package keystore

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strconv"
)

// Version names the version of a row that was published: a transaction id of 32
// bits, or 16 bytes of a hash. Versions compare with ==; the zero one is none.
type Version struct {
	size byte // 4 or 16
	b    [16]byte
}

// ParseVersion reads a version as records' headers write it: a decimal of 32
// bits or 32 hex digits. Of any other text it keeps a hash.
func ParseVersion(s string) Version {
	var v Version
	if n, err := strconv.ParseUint(s, 10, 32); err == nil && len(s) < 32 {
		v.size = 4
		binary.BigEndian.PutUint32(v.b[:], uint32(n))
		return v
	}
	v.size = 16
	if b, err := hex.DecodeString(s); err == nil && len(b) == 16 {
		copy(v.b[:], b)
		return v
	}
	sum := sha256.Sum256([]byte(s))
	copy(v.b[:], sum[:])
	return v
}

// String returns the text that ParseVersion read, unless it was hashed.
func (v Version) String() string {
	if v.size == 4 {
		return strconv.FormatUint(uint64(binary.BigEndian.Uint32(v.b[:])), 10)
	}
	return hex.EncodeToString(v.b[:v.size])
}

// Entry is what the store knows of a key.
type Entry struct {
	Version  Version
	Windowed bool
	Window   int64  // of a windowed entry: the value of the window's column, an integer, days or microseconds
	Row      []byte // the row as it was published, where rows are kept; else nil
}

// The first byte of an entry: the size of its version, and what follows it.
const (
	entryWindow = 1 << 6
	entryRow    = 1 << 7
)

func (e *Entry) append(dst []byte) []byte {
	head := e.Version.size
	if e.Windowed {
		head |= entryWindow
	}
	if e.Row != nil {
		head |= entryRow
	}
	dst = append(append(dst, head), e.Version.b[:e.Version.size]...)
	if e.Windowed {
		dst = binary.BigEndian.AppendUint64(dst, orderedInt(e.Window))
	}
	return append(dst, e.Row...)
}

var errEntry = errors.New("entry of a key store is torn")

func decodeEntry(b []byte) (Entry, error) {
	var e Entry
	if len(b) == 0 {
		return e, errEntry
	}
	head := b[0]
	b = b[1:]
	e.Version.size = head &^ (entryWindow | entryRow)
	if e.Version.size > 16 || len(b) < int(e.Version.size) {
		return e, errEntry
	}
	copy(e.Version.b[:], b[:e.Version.size])
	b = b[e.Version.size:]
	if head&entryWindow != 0 {
		if len(b) < 8 {
			return e, errEntry
		}
		e.Windowed, e.Window = true, int64(binary.BigEndian.Uint64(b)^1<<63) //nolint:gosec // two's complement
		b = b[8:]
	}
	if head&entryRow != 0 {
		e.Row = append([]byte{}, b...)
	} else if len(b) > 0 {
		return e, errEntry
	}
	return e, nil
}

// orderedInt maps integers so that their big-endian bytes compare as they do.
func orderedInt(n int64) uint64 { return uint64(n) ^ 1<<63 } //nolint:gosec // two's complement
