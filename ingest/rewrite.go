package ingest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"hash"
)

// rewriter copies a valid JSON value and applies the rules of the nodes that it is given on the way, in one pass. What
// no rule is about keeps its bytes. It is kept from request to request and allocates nothing once it has grown.
type rewriter struct {
	scan  scanner // of src; it only looks for ends
	src   []byte
	from  int // src is copied up to here
	dst   []byte
	limit int  // bytes that dst may have; beyond them it is cut
	cut   bool // it was
	nodes []*pathNode
	text  []byte
	mac   hash.Hash // HMAC-SHA256 under privacy_hash_key; nil without one
	sum   []byte
	out   []byte
	again bool // what was hashed before stays as it is: dead letters are replayed
}

var masked = []byte(`"***"`)

// run appends the value at [lo, hi) of src to dst, as nodes say.
func (w *rewriter) run(src []byte, lo, hi int, nodes ...*pathNode) {
	w.scan = scanner{b: src, maxDepth: len(src)}
	w.src, w.from = src, lo
	w.nodes = append(w.nodes[:0], nodes...)
	w.value(lo, 0)
	w.flush(hi)
	w.src, w.scan.b = nil, nil
}

// flush copies src up to hi.
func (w *rewriter) flush(hi int) {
	if hi > w.from {
		w.put(w.src[w.from:hi])
		w.from = hi
	}
}

func (w *rewriter) put(b []byte) {
	if room := w.limit - len(w.dst); len(b) > room {
		b, w.cut = b[:max(room, 0)], true
	}
	w.dst = append(w.dst, b...)
}

// value goes through the value at i, to which the nodes from lo on lead, and returns its end.
func (w *rewriter) value(i, lo int) int {
	if c := w.src[i]; (c == '{' || c == '[') && deeper(w.nodes[lo:], c == '{') {
		return w.members(i, lo, c == '{')
	}
	return w.scan.value(i, 0)
}

// members goes through an object or an array. Of a member that is dropped a comma goes, too.
func (w *rewriter) members(i, lo int, object bool) int {
	closing := byte(']')
	if object {
		closing = '}'
	}
	hi, last, kept, gap := len(w.nodes), i+1, false, false // last is the end of what is kept so far
	if i = space(w.src, i+1); w.src[i] == closing {
		return i + 1
	}
	for {
		begin := i
		i = w.enter(i, lo, hi, object)
		end, out, stays := i, []byte(nil), true
		n := acting(w.nodes[hi:])
		if n != nil {
			end = w.scan.value(i, 0)
			out, stays = w.become(n, w.src[i:end])
		}
		switch {
		case !stays && !gap:
			w.flush(last)
			gap = true
		case stays && gap:
			if kept {
				w.put([]byte{','})
			}
			w.from, gap = begin, false
		}
		if n == nil {
			end = w.value(i, hi)
		} else if out != nil {
			w.flush(i)
			w.put(out)
			w.from = end
		}
		if stays {
			kept, last = true, end
		}
		w.nodes = w.nodes[:hi]
		next, done := w.scan.comma(end, closing)
		if done {
			if gap {
				w.from = next - 1
			}
			return next
		}
		i = next
	}
}

// enter pushes the nodes of the member or element at i, and returns the position of its value.
func (w *rewriter) enter(i, lo, hi int, object bool) int {
	if !object {
		for _, n := range w.nodes[lo:hi] {
			if n.every != nil {
				w.nodes = append(w.nodes, n.every)
			}
		}
		return i
	}
	end := w.scan.name(i)
	name := w.plain(w.src[i+1 : end-1])
	for _, n := range w.nodes[lo:hi] {
		w.nodes = n.match(w.nodes, name)
	}
	return w.scan.colon(end)
}

// become returns what takes the place of a value, nil if it stays as it is, and false if it goes. Null and the empty
// text stay: they say nothing, and must not become an id. What a rule cannot take, such as an object where a text was
// expected, goes: nobody can tell what is in it.
func (w *rewriter) become(n *pathNode, raw []byte) (out []byte, stays bool) {
	text, isString := isText(raw)
	text = w.plain(text)
	switch nothing := isNull(raw) || isString && len(text) == 0; {
	case n.action == actDrop:
		return nil, false
	case n.action == actTruncate:
		net, ok := network(text)
		if !ok {
			return nil, false
		}
		w.out = append(net.AppendTo(append(w.out[:0], '"')), '"')
		return w.out, true
	case nothing:
		return nil, true
	case n.action == actMask && (isString || isNumber(raw) || raw[0] != '{' && raw[0] != '[' && !n.identity):
		return masked, true
	case n.action == actMask || !isString && !isNumber(raw):
		return nil, false
	case !isString:
		text = raw
	case n.action == actHashAddr:
		if addr, ok := readAddr(text); ok { // however it is written
			w.text = addr.AppendTo(w.text[:0])
			text = w.text
		}
	}
	if w.again && isDigest(text) {
		return nil, true
	}
	return w.hashed(text), true
}

// isDigest says whether text looks like what hashed writes.
func isDigest(text []byte) bool {
	return len(text) == 2*sha256.Size && len(bytes.Trim(text, hexDigits)) == 0
}

// hashed returns the HMAC of text as a JSON string of 64 hex digits, until the next call.
func (w *rewriter) hashed(text []byte) []byte {
	w.mac.Reset()
	w.mac.Write(text)
	w.sum = w.mac.Sum(w.sum[:0])
	w.out = append(hex.AppendEncode(append(w.out[:0], '"'), w.sum), '"')
	return w.out
}

// plain returns the text of the inside of a JSON string, until the next call.
func (w *rewriter) plain(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	w.text = unescape(w.text[:0], raw)
	return w.text
}
