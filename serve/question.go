package serve

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Question is what a view answers. Canonical fills in defaults and orders lists, so that equal questions have
// equal keys.
type Question struct {
	Metric  string            `json:"metric"`
	Version int               `json:"ver,omitempty"`
	By      []string          `json:"by,omitempty"`
	Where   map[string]Filter `json:"where,omitempty"`
	Range   string            `json:"range,omitempty"`
	Grain   string            `json:"grain,omitempty"`
	TZ      string            `json:"tz,omitempty"`
	Compare string            `json:"compare,omitempty"`
	Order   string            `json:"order,omitempty"`
	Limit   int               `json:"limit,omitempty"`
}

// Filter holds the values of one dimension that count, or those that do not.
type Filter struct {
	In  []string
	Not []string
}

// MarshalJSON writes a list of values, or {"not": [...]}.
func (f Filter) MarshalJSON() ([]byte, error) {
	if len(f.Not) > 0 {
		return json.Marshal(map[string][]string{"not": f.Not})
	}
	return json.Marshal(f.In)
}

// UnmarshalJSON reads what MarshalJSON writes, and a single text as a list of one.
func (f *Filter) UnmarshalJSON(b []byte) error {
	b = bytes.TrimSpace(b)
	switch {
	case len(b) > 0 && b[0] == '{':
		var not struct {
			Not []string `json:"not"`
		}
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&not); err != nil {
			return err
		}
		*f = Filter{Not: not.Not}
	case len(b) > 0 && b[0] == '"':
		var one string
		if err := json.Unmarshal(b, &one); err != nil {
			return err
		}
		*f = Filter{In: []string{one}}
	default:
		var in []string
		if err := json.Unmarshal(b, &in); err != nil {
			return err
		}
		*f = Filter{In: in}
	}
	return nil
}

// admits says whether v counts.
func (f Filter) admits(v string) bool {
	if len(f.Not) > 0 {
		return !slices.Contains(f.Not, v)
	}
	return slices.Contains(f.In, v)
}

func (f Filter) sorted() Filter {
	return Filter{In: sortedSet(f.In), Not: sortedSet(f.Not)}
}

// and returns the filter that admits what both admit.
func (f Filter) and(g Filter) Filter {
	switch {
	case len(f.Not) > 0 && len(g.Not) > 0:
		return Filter{Not: sortedSet(append(slices.Clone(f.Not), g.Not...))}
	case len(f.Not) > 0:
		f, g = g, f
	}
	in := []string{}
	for _, v := range f.In {
		if g.admits(v) {
			in = append(in, v)
		}
	}
	return Filter{In: sortedSet(in)}
}

func sortedSet(list []string) []string {
	if list == nil {
		return nil
	}
	out := slices.Clone(list)
	slices.Sort(out)
	return slices.Compact(out)
}

// key names the question: the first 128 bits of the SHA-256 of its canonical JSON.
func (q Question) key() string {
	b, err := json.Marshal(q)
	if err != nil {
		panic("BUG: encode question: " + err.Error())
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// Limits of a question.
const (
	maxBy         = 4
	maxLimit      = 500
	defaultLimit  = 50
	maxFilterVals = 200
	maxTextBytes  = 512
)

// Words of a question.
const (
	grainTotal = "total"
	grain15m   = "15m"
	grainHour  = "hour"
	grainDay   = "day"

	compareNone     = "none"
	comparePrevDay  = "prev_day"
	comparePrevWeek = "prev_week"
	comparePrevYear = "prev_year"

	orderValueDesc = "value_desc"
	orderValueAsc  = "value_asc"
	orderKey       = "key"
)

// subject is what a question is checked against: the parts of a definition that it may name.
type subject struct {
	name  string
	ver   int
	dims  []string
	zones []string
	fine  bool // quarters of an hour are kept
}

// canonical checks q against the metric that it names and returns its canonical form.
func (q Question) canonical(m subject) (Question, error) {
	q.Metric, q.Version = m.name, m.ver
	q.By = sortedSet(q.By)
	if len(q.By) > maxBy {
		return q, fault(codeBadRequest, "by", "by has %d dimensions; at most %d are answered", len(q.By), maxBy)
	}
	for _, d := range q.By {
		if !slices.Contains(m.dims, d) {
			return q, unknownDimension(m, d, "by")
		}
	}
	if err := q.canonicalWhere(m); err != nil {
		return q, err
	}
	q.Range = orElse(q.Range, "today")
	q.Grain = orElse(q.Grain, grainTotal)
	q.TZ = orElse(q.TZ, m.zones[0])
	q.Compare = orElse(q.Compare, compareNone)
	q.Order = orElse(q.Order, orderValueDesc)
	if q.Limit == 0 {
		q.Limit = defaultLimit
	}
	if q.Limit < 1 || q.Limit > maxLimit {
		return q, fault(codeBadRequest, "limit", "limit must be between 1 and %d (got %d)", maxLimit, q.Limit)
	}
	for _, w := range []struct {
		field, is string
		allowed   []string
	}{
		{"grain", q.Grain, []string{grainTotal, grain15m, grainHour, grainDay}},
		{"compare", q.Compare, []string{compareNone, comparePrevDay, comparePrevWeek, comparePrevYear}},
		{"order", q.Order, []string{orderValueDesc, orderValueAsc, orderKey}},
	} {
		if !slices.Contains(w.allowed, w.is) {
			return q, fault(codeBadRequest, w.field, "%s is one of %s (got %q)", w.field, strings.Join(w.allowed, ", "), w.is)
		}
	}
	return q, q.checkZone(m)
}

func (q *Question) canonicalWhere(m subject) error {
	if len(q.Where) == 0 {
		q.Where = nil
		return nil
	}
	where := make(map[string]Filter, len(q.Where))
	for d, f := range q.Where {
		if !slices.Contains(m.dims, d) {
			return unknownDimension(m, d, "where")
		}
		if len(f.In)+len(f.Not) > maxFilterVals {
			return fault(codeBadRequest, "where", "a filter holds at most %d values", maxFilterVals)
		}
		for _, v := range append(slices.Clone(f.In), f.Not...) {
			if len(v) > maxTextBytes {
				return fault(codeBadRequest, "where", "a value of a filter has at most %d bytes", maxTextBytes)
			}
		}
		where[d] = f.sorted()
	}
	q.Where = where
	return nil
}

// checkZone refuses what the cells cannot answer: another zone than the declared ones, or quarters of an hour,
// without fine cells.
func (q Question) checkZone(m subject) error {
	if err := checkZoneName(q.TZ); err != nil {
		return err
	}
	if _, err := parsePeriod(q.Range); err != nil {
		return err
	}
	if m.fine {
		return nil
	}
	if !slices.Contains(m.zones, q.TZ) || q.Grain == grain15m || q.Grain == grainHour {
		return fault(codeZoneNotKept, "tz", "%s keeps whole days of %s only", m.name, strings.Join(m.zones, ", "))
	}
	return nil
}

func unknownDimension(m subject, d, field string) error {
	if len(m.dims) == 0 {
		return fault(codeUnknownDimension, field, "%s has no dimension %q; it has none", m.name, d)
	}
	return fault(codeUnknownDimension, field, "%s has no dimension %q; it has %s", m.name, d, strings.Join(m.dims, ", "))
}

func orElse(v, def string) string {
	if v == "" {
		return def
	}
	return v
}

// withLocks ANDs the filters of a token into q: they become part of its identity, so that tokens with other locks
// never share a frame. A metric without a locked dimension is refused, for an unfiltered number would leak.
func (q Question) withLocks(m subject, locks map[string]Filter) (Question, error) {
	if len(locks) == 0 {
		return q, nil
	}
	where := make(map[string]Filter, len(q.Where)+len(locks))
	maps.Copy(where, q.Where)
	for d, lock := range locks {
		if !slices.Contains(m.dims, d) {
			return q, fault(codeForbiddenMetric, "metric", "the token is locked to some values of %s, which %s does not have", d, m.name)
		}
		if f, ok := where[d]; ok {
			where[d] = f.and(lock)
		} else {
			where[d] = lock.sorted()
		}
	}
	q.Where = where
	return q, nil
}
