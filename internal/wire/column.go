package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// LakeType is the type of a column in the lake. Decimals carry precision and
// scale: "decimal(18,2)".
type LakeType string

// The types without parameters.
const (
	Bool      LakeType = "bool"
	Int16     LakeType = "int16"
	Int32     LakeType = "int32"
	Int64     LakeType = "int64"
	Float32   LakeType = "float32"
	Float64   LakeType = "float64"
	Timestamp LakeType = "timestamp" // microseconds, UTC
	Date      LakeType = "date"
	String    LakeType = "string"
	JSON      LakeType = "json" // UTF-8 JSON text, destined for SUPER
	Bytes     LakeType = "bytes"
)

// Decimal returns the type of decimals with precision p and scale s.
func Decimal(p, s int) LakeType { return LakeType(fmt.Sprintf("decimal(%d,%d)", p, s)) }

// Decimal returns precision and scale of a decimal type; ok is false for others.
func (t LakeType) Decimal() (p, s int, ok bool) {
	rest, isDecimal := strings.CutPrefix(string(t), "decimal(")
	if !isDecimal {
		return 0, 0, false
	}
	rest, closed := strings.CutSuffix(rest, ")")
	ps, ss, comma := strings.Cut(rest, ",")
	p, err1 := strconv.Atoi(ps)
	s, err2 := strconv.Atoi(ss)
	if !closed || !comma || err1 != nil || err2 != nil || p < 1 || p > 38 || s < 0 || s > p || t != Decimal(p, s) {
		return 0, 0, false
	}
	return p, s, true
}

// ParseLakeType returns the type that s names, or an error that lists them.
func ParseLakeType(s string) (LakeType, error) {
	switch t := LakeType(s); t {
	case Bool, Int16, Int32, Int64, Float32, Float64, Timestamp, Date, String, JSON, Bytes:
		return t, nil
	default:
		if _, _, ok := t.Decimal(); ok {
			return t, nil
		}
	}
	return "", fmt.Errorf("unknown lake type %q; there are bool, int16, int32, int64, float32, float64, decimal(p,s) with p <= 38, timestamp, date, string, json and bytes", s)
}

// Column is a column of a file in the lake.
type Column struct {
	Name string   `json:"name"`
	Type LakeType `json:"type"`
}

// Columns are a file's columns in file order. COPY maps by position, so the
// order is part of the meaning.
type Columns []Column

// Fingerprint is the SHA-256 of the lines name TAB type LF, as "sha256:" and
// 64 hex digits.
func (cs Columns) Fingerprint() string {
	h := sha256.New()
	for _, c := range cs {
		h.Write([]byte(c.Name + "\t" + string(c.Type) + "\n"))
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// Schema8 is the short form of a fingerprint, used in names of files: the
// first eight hex digits.
func Schema8(fingerprint string) string {
	hexDigits := strings.TrimPrefix(fingerprint, "sha256:")
	return hexDigits[:min(8, len(hexDigits))]
}

// Index returns the place of the column named name, or -1.
func (cs Columns) Index(name string) int {
	for i, c := range cs {
		if c.Name == name {
			return i
		}
	}
	return -1
}
