package serve

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/gorilla/websocket"
)

// have is the state that a client says it has. The zero value has nothing.
type have struct {
	E string `json:"e"`
	Q uint64 `json:"q"`
	H string `json:"h"`
}

type frameKind string

const (
	frameSnap  frameKind = "snap"
	frameDelta frameKind = "d"
	frameOK    frameKind = "ok"
	frameTick  frameKind = "tick"
	frameErr   frameKind = "err"
)

// frameKey says what a frame starts from; the q that it leads to is the view's present one.
type frameKey struct {
	kind frameKind
	p    uint64
}

// frame is one encoded message, shared by all who need it.
type frame struct {
	kind frameKind
	e    string
	q    uint64
	data []byte
	msg  *websocket.PreparedMessage
}

func newFrame(kind frameKind, e string, q uint64, data []byte) *frame {
	msg, err := websocket.NewPreparedMessage(websocket.TextMessage, data)
	if err != nil {
		panic("BUG: prepare message: " + err.Error())
	}
	return &frame{kind: kind, e: e, q: q, data: data, msg: msg}
}

// frame returns what brings a client with h up to date, nil if resuming is false and h is current. The second
// result says whether it was made before.
func (v *view) frame(h have, resuming bool) (*frame, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	t := &v.table
	key := frameKey{kind: frameSnap}
	ours := h.E != "" && h.E == t.epoch() && h.Q <= t.q
	switch {
	case ours && h.Q == t.q && !resuming:
		return nil, false
	case ours && h.Q == t.q && h.H != "" && h.H != t.etagText(): // a client that is wrong about itself
	case ours && h.Q == t.q, resuming && h.H != "" && h.H == t.etagText():
		key.kind = frameOK
	case ours && h.Q >= t.floor && h.Q > 0:
		key = frameKey{kind: frameDelta, p: h.Q}
	}
	if f := v.frames[key]; f != nil {
		return f, true
	}
	var data []byte
	switch key.kind {
	case frameOK:
		data = v.encodeOK()
	case frameDelta:
		data = v.encodeDelta(key.p)
	default:
		data = v.encodeSnap()
	}
	f := newFrame(key.kind, t.epoch(), t.q, data)
	v.frames[key] = f
	return f, false
}

func (v *view) encodeOK() []byte {
	var b bytes.Buffer
	b.WriteString(`{"op":"ok",`)
	v.encodePlace(&b)
	b.WriteByte('}')
	return b.Bytes()
}

func (v *view) encodePlace(b *bytes.Buffer) {
	t := &v.table
	b.WriteString(`"s":"` + v.stream + `","e":"` + t.epoch() + `","q":` + strconv.FormatUint(t.q, 10) + `,"h":"` + t.etagText() + `"`)
}

func (v *view) encodeSnap() []byte {
	var b bytes.Buffer
	b.WriteString(`{"op":"snap",`)
	v.encodePlace(&b)
	b.WriteByte(',')
	v.encodeTable(&b)
	b.WriteByte('}')
	return b.Bytes()
}

// encodeTable writes the members that snapshots and answers over HTTP share.
func (v *view) encodeTable(b *bytes.Buffer) {
	t := &v.table
	b.WriteString(`"keys":` + strconv.Itoa(t.keys) + `,"cols":`)
	b.Write(mustJSON(t.cols))
	b.WriteString(`,"meta":{`)
	v.encodeMeta(b, 0)
	b.WriteString(`},"rows":[`)
	for i, r := range t.order {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(r.enc)
	}
	b.WriteByte(']')
}

func (v *view) encodeMeta(b *bytes.Buffer, after uint64) {
	names := make([]string, 0, len(v.table.meta))
	for name, m := range v.table.meta {
		if m.q > after && (after > 0 || string(m.enc) != "null") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for i, name := range names {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(mustJSON(name))
		b.WriteByte(':')
		b.Write(v.table.meta[name].enc)
	}
}

// encodeDelta writes all that changed after p, merged.
func (v *view) encodeDelta(p uint64) []byte {
	t := &v.table
	var b bytes.Buffer
	b.WriteString(`{"op":"d","s":"` + v.stream + `","p":` + strconv.FormatUint(p, 10) + `,"q":` + strconv.FormatUint(t.q, 10) + `,"h":"` + t.etagText() + `"`)
	n := 0
	for _, r := range t.order {
		if r.q > p {
			b.WriteString(sep(n, `,"set":[`))
			b.Write(r.enc)
			n++
		}
	}
	closeList(&b, n)
	gone := make([][]byte, 0, 8)
	for _, d := range t.deleted {
		if d.q > p {
			gone = append(gone, d.key)
		}
	}
	slices.SortFunc(gone, bytes.Compare)
	for i, key := range gone {
		b.WriteString(sep(i, `,"del":[`))
		b.Write(key)
	}
	closeList(&b, len(gone))
	mark := b.Len()
	b.WriteString(`,"meta":{`)
	before := b.Len()
	v.encodeMeta(&b, p)
	if b.Len() == before {
		b.Truncate(mark)
	} else {
		b.WriteByte('}')
	}
	b.WriteByte('}')
	return b.Bytes()
}

func sep(i int, first string) string {
	if i == 0 {
		return first
	}
	return ","
}

func closeList(b *bytes.Buffer, n int) {
	if n > 0 {
		b.WriteByte(']')
	}
}
