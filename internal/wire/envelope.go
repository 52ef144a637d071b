package wire

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/millstream-data/millstream/internal/event"
)

// envelopeBytes is what an envelope takes beside its rows, a little generously.
const envelopeBytes = 768

// AppendChange appends the value of a change, in the order of members that
// Debezium writes. Before, After and Adjusted must be valid JSON; they are
// copied as they are. It is written by hand since it runs for every row of a
// load: encoding/json takes four times as long.
func AppendChange(dst []byte, c event.Change) ([]byte, error) {
	var err error
	if dst == nil {
		dst = make([]byte, 0, len(c.Before)+len(c.After)+len(c.Source.Adjusted)+envelopeBytes)
	}
	dst = appendRaw(append(dst, `{"before":`...), c.Before)
	dst = appendRaw(append(dst, `,"after":`...), c.After)
	if dst, err = appendSource(append(dst, `,"source":`...), &c.Source); err != nil {
		return dst, fmt.Errorf("encode change: %w", err)
	}
	dst = appendRaw(append(dst, `,"transaction":`...), c.Transaction)
	if dst, err = appendText(append(dst, `,"op":`...), string(c.Op)); err != nil {
		return dst, fmt.Errorf("encode change: %w", err)
	}
	return append(appendTimes(dst, c.TSMillis, c.TSMicros, c.TSNanos), '}'), nil
}

func appendSource(dst []byte, s *event.ChangeSource) ([]byte, error) {
	var err error
	text := func(lead, value string) {
		if err == nil {
			dst, err = appendText(append(dst, lead...), value)
		}
	}
	text(`{"version":`, s.Version)
	text(`,"connector":`, s.Connector)
	text(`,"name":`, s.Name)
	dst = appendTimes(dst, s.TSMillis, s.TSMicros, s.TSNanos)
	text(`,"snapshot":`, s.Snapshot)
	text(`,"db":`, s.DB)
	text(`,"sequence":`, s.Sequence)
	if s.Schema != "" {
		text(`,"schema":`, s.Schema)
	}
	text(`,"table":`, s.Table)
	dst = appendNumber(append(dst, `,"txId":`...), s.TxID)
	dst = appendNumber(append(dst, `,"lsn":`...), s.LSN)
	dst = appendNumber(append(dst, `,"xmin":`...), s.Xmin)
	text(`,"strategy":`, s.Strategy)
	text(`,"poll":`, s.Poll)
	if len(s.Adjusted) > 0 {
		dst = append(append(dst, `,"adjusted":`...), s.Adjusted...)
	}
	if s.BinlogSource != nil && err == nil {
		dst, err = appendBinlog(dst, s.BinlogSource)
	}
	return append(dst, '}'), err
}

// appendBinlog appends the members of MySQL and MariaDB.
func appendBinlog(dst []byte, b *event.BinlogSource) ([]byte, error) {
	members, err := marshal(b)
	if err != nil {
		return dst, err
	}
	return append(append(dst, ','), members[1:len(members)-1]...), nil
}

func appendTimes(dst []byte, ms, us, ns int64) []byte {
	dst = strconv.AppendInt(append(dst, `,"ts_ms":`...), ms, 10)
	dst = strconv.AppendInt(append(dst, `,"ts_us":`...), us, 10)
	return strconv.AppendInt(append(dst, `,"ts_ns":`...), ns, 10)
}

func appendRaw(dst []byte, v json.RawMessage) []byte {
	if v == nil {
		return append(dst, "null"...)
	}
	return append(dst, v...)
}

func appendNumber(dst []byte, v *int64) []byte {
	if v == nil {
		return append(dst, "null"...)
	}
	return strconv.AppendInt(dst, *v, 10)
}

// appendText writes printable ASCII itself, and leaves the rest to encoding/json.
func appendText(dst []byte, s string) ([]byte, error) {
	dst = append(dst, '"')
	for i := range len(s) {
		switch b := s[i]; {
		case b == '"' || b == '\\':
			dst = append(dst, '\\', b)
		case b >= ' ' && b < 0x7f:
			dst = append(dst, b)
		default:
			text, err := marshal(s)
			return append(dst[:len(dst)-escapedLen(s[:i])-1], text...), err
		}
	}
	return append(dst, '"'), nil
}

// escapedLen is how many bytes appendText has written for s.
func escapedLen(s string) int {
	n := len(s)
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			n++
		}
	}
	return n
}
