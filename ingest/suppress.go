package ingest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
	"slices"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

const suppressedMessage = "events of this person are not kept"

// suppressed is the ids of a suppress_file, as the first half of their SHA-256, in the order of its leading bits. A
// line takes 16 bytes and its share of starts, 2 to 4; to look one up reads two places in memory.
type suppressed struct {
	shift  uint // of the leading bits
	starts []uint32
	ids    [][16]byte
}

// parseSuppressed reads ids, one a line, plain or as sha256:HEX. Empty lines and those that begin with # are nothing.
// name and key are for errors, which never show a line.
func parseSuppressed(key, name string, file []byte) (*suppressed, error) {
	ids := make([][16]byte, 0, bytes.Count(file, []byte{'\n'})+1)
	n := 0
	for line := range bytes.Lines(file[skipBOM(file):]) {
		n++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		sum, problem := idSum(line)
		if problem != "" {
			return nil, config.Invalid(key, "%s (%s, line %d)", problem, name, n)
		}
		ids = append(ids, [16]byte(sum[:16]))
	}
	return newSuppressed(ids), nil
}

// idSum returns the SHA-256 of the id that a line names, or what is wrong with the line.
func idSum(line []byte) (sum [sha256.Size]byte, problem string) {
	digest, hashed := bytes.CutPrefix(line, []byte("sha256:"))
	switch {
	case hashed && len(digest) == hex.EncodedLen(len(sum)):
		if _, err := hex.Decode(sum[:], digest); err == nil {
			return sum, ""
		}
		fallthrough
	case hashed:
		return sum, "must have 64 hex digits after sha256:"
	case len(line) > event.MaxName:
		return sum, fmt.Sprintf("must name one id a line, of at most %d bytes", event.MaxName)
	case !utf8.Valid(line) || bytes.IndexByte(line, 0) >= 0:
		return sum, "must be UTF-8"
	}
	return sha256.Sum256(line), ""
}

func newSuppressed(ids [][16]byte) *suppressed {
	slices.SortFunc(ids, func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) })
	ids = slices.Compact(ids)
	lead := max(bits.Len(uint(len(ids)))-2, 1) // two to four ids to a start
	s := &suppressed{shift: uint(32 - lead), starts: make([]uint32, 1<<lead+1), ids: ids}
	for _, id := range ids {
		s.starts[s.lead(id)+1]++
	}
	for i := range len(s.starts) - 1 {
		s.starts[i+1] += s.starts[i]
	}
	return s
}

func (s *suppressed) lead(id [16]byte) uint32 { return binary.BigEndian.Uint32(id[:]) >> s.shift }

// has says whether an id is listed.
func (s *suppressed) has(id []byte) bool {
	sum := sha256.Sum256(id)
	key := [16]byte(sum[:16])
	at := s.lead(key)
	return slices.Contains(s.ids[s.starts[at]:s.starts[at+1]], key)
}

// isListed says whether an event names a listed id, as its own or, an alias, as that of before. Each occurrence counts,
// for a dead letter would hold them all.
func (rq *request) isListed(ev *eventIndex) bool {
	list := rq.access.source.suppressed
	if list == nil {
		return false
	}
	for _, m := range rq.idx.top[ev.top.lo:ev.top.hi] {
		if m.field != fieldUserID && m.field != fieldAnonymousID && m.field != fieldPreviousID {
			continue
		}
		raw := m.val.of(rq.body.b)
		text, ok := isText(raw)
		if ok {
			text = rq.arena.unescaped(text)
		} else if isNumber(raw) {
			text = raw
		}
		if len(text) > 0 && list.has(text) {
			return true
		}
	}
	return false
}

// tells says whether the sender may know who is listed: the holder of a public key may not.
func (rq *request) tells() bool { return rq.access.kind == KindServer && rq.kind != routePixel }

// hide puts a dead letter in the place of the record i, which was made like others: how an event is answered, now and
// when it is repeated, would tell who is listed.
func (rq *request) hide(i int) {
	m, id := &rq.made[i], []byte(nil)
	if m.given {
		id = rq.records[i].Headers[4].Value
	}
	rq.records[i] = rq.forgotten(event.CodeSuppressed, suppressedMessage, id, int(m.event))
	m.dead = true
	rq.hidden++
}

// forgotten is the dead letter of a listed event, which says that there was one, and how large.
func (rq *request) forgotten(code event.Code, message string, messageID []byte, at int) kgo.Record {
	return rq.letter(wire.Rejected{
		Stage: event.StageIngest, Code: code, Message: message, Source: rq.access.source.name, ID: rq.srv.ids.UUIDv7(rq.received),
		MessageID: string(messageID), ReceivedAt: rq.received, RequestID: rq.id, Index: at,
		Redacted: true, Size: rq.idx.events[at].span.len(),
	})
}
