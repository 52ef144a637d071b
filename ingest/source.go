package ingest

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/config"
)

// snapshot is everything of the sources that a request needs, immutable and replaced as a whole. A request loads the
// pointer to it once.
type snapshot struct {
	keys   map[[32]byte]*access
	names  []string  // of the sources, sorted
	loaded time.Time // when it was compiled
	stale  string    // why keys may be missing: the sources could not be read since; empty: none is
}

// access is what a write key opens.
type access struct {
	source        *source
	state         *keyState
	quota         *quota // nil: unlimited
	fingerprint   string
	kind          Kind
	notAfter      time.Time // zero: never
	enabled       bool
	requireOrigin bool
	origins       []string
}

// source is what the hot path needs of a source.
type source struct {
	name   string
	header []byte // name, as a header's value
	skew   bool
	limits limits
	bots   BotPolicy

	plan       *plan       // nil: none
	privacy    *privacy    // nil: no rules
	suppressed *suppressed // nil: nobody
}

// guarded says whether there is anything that must not be kept.
func (s *source) guarded() bool { return s.privacy != nil || s.suppressed != nil }

// guard compiles what must not be kept of a source. Sources with one list share it: lists has those by their files.
func (s *source) guard(path string, from Source, hashKey config.Secret, read *files, lists map[string]*suppressed) (err error) {
	if s.privacy, err = newPrivacy(path, from, hashKey); err != nil || from.SuppressFile == "" {
		return err
	}
	if s.suppressed = lists[from.SuppressFile]; s.suppressed != nil {
		return nil
	}
	list, err := read.read(from.SuppressFile)
	if err != nil {
		return config.Invalid(path+".suppress_file", "must name a file that can be read (%v)", err)
	}
	s.suppressed, err = parseSuppressed(path+".suppress_file", from.SuppressFile, list)
	lists[from.SuppressFile] = s.suppressed
	return err
}

// planned compiles the tracking plan of a source, whose rules are known. key leads the messages.
func (s *source) planned(key, name string, read *files) error {
	p, err := newPlan(name, read)
	if err != nil {
		return planProblems(key, err)
	}
	p.hideNames = s.privacy != nil
	s.plan = p
	return nil
}

// newSnapshot compiles sources, and the files that they name, into what requests use.
func newSnapshot(cfg Config, sources map[string]Source, read *files) (*snapshot, error) {
	out := &snapshot{keys: map[[32]byte]*access{}, names: slices.Sorted(maps.Keys(sources)), loaded: time.Now()}
	var errs []error
	lists := map[string]*suppressed{}
	for _, name := range out.names {
		s := sources[name]
		src := &source{name: name, header: []byte(name), skew: s.SkewCorrection, limits: limitsOf(cfg.Limits, s.Limits), bots: cmp.Or(s.Bots, BotsFlag)}
		errs = append(errs, src.guard("ingest.sources."+name, s, cfg.PrivacyHashKey, read, lists))
		if s.Plan != "" {
			errs = append(errs, src.planned("ingest.sources."+name+".plan", s.Plan, read))
		}
		for _, k := range s.Keys {
			sum, err := k.digest()
			if err != nil {
				return nil, err
			}
			out.keys[sum] = &access{
				source: src, state: &keyState{}, quota: quotaOf(s.Rate), fingerprint: fingerprint(sum), kind: k.Kind, notAfter: k.NotAfter,
				enabled: s.Enabled, requireOrigin: s.RequireOrigin, origins: s.Origins,
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return out, nil
}

// fingerprint is the first 8 hex digits of a key's SHA-256: the only form of a key in logs and records.
func fingerprint(sum [32]byte) string { return hex.EncodeToString(sum[:4]) }

func (k Key) digest() (sum [32]byte, err error) {
	if k.Key != "" {
		return sha256.Sum256([]byte(k.Key.Reveal())), nil
	}
	if n, err := hex.Decode(sum[:], []byte(k.SHA256)); err != nil || n != len(sum) {
		return sum, errors.New("sha256 of a key: must be 64 hex digits")
	}
	return sum, nil
}

// inherit takes over what old knows of the keys that stay.
func (s *snapshot) inherit(old *snapshot, now time.Duration) {
	for sum, a := range s.keys {
		was := old.keys[sum]
		if was == nil {
			continue
		}
		a.state = was.state
		if a.quota != nil && was.quota != nil {
			a.state.events.rescale(now, was.quota.events, a.quota.events)
			a.state.bytes.rescale(now, was.quota.bytes, a.quota.bytes)
		}
	}
}

// find returns what key opens, or nil.
func (s *snapshot) find(key string) *access { return s.keys[sha256.Sum256([]byte(key))] }

// admit says whether a holder of a may send now from origin, which is empty if the request names none.
func (a *access) admit(origin string, pixel bool, now time.Time) *refusal {
	switch {
	case !a.notAfter.IsZero() && now.After(a.notAfter):
		return refuse(codeExpiredKey, "this write key has ended; use the one that replaced it")
	case !a.enabled:
		return refuse(codeSourceDisabled, "this source is switched off; its operator knows why")
	case a.kind == KindServer && !pixel || len(a.origins) == 0:
		return nil
	case origin == "" && !a.requireOrigin:
		return nil
	}
	for _, o := range a.origins {
		if matchOrigin(o, origin) {
			return nil
		}
	}
	return refuse(codeOriginDenied, "this site may not use this write key; its operator can add it to the origins of the source")
}

// matchOrigin compares an origin with a pattern: exactly, or with one leading wildcard for at least one label.
func matchOrigin(pattern, origin string) bool {
	scheme, host, wild := strings.Cut(pattern, "://*.")
	if !wild {
		return pattern == origin
	}
	rest, ok := strings.CutPrefix(origin, scheme+"://")
	return ok && strings.HasSuffix(rest, "."+host) && len(rest) > len(host)+1
}

func validOrigin(o string) bool {
	scheme, host, ok := strings.Cut(o, "://")
	host = strings.TrimPrefix(host, "*.")
	return ok && scheme != "" && host != "" && !strings.ContainsAny(host, "*/? ")
}

// validKey says whether key has the form of a write key.
func validKey(key string) bool {
	if key == "" || len(key) > 128 || key == "v1" {
		return false
	}
	for i := range len(key) {
		if c := key[i]; !isAlnum(c) && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

func isAlnum(c byte) bool { return c-'0' <= 9 || (c|0x20) >= 'a' && (c|0x20) <= 'z' }

// limits are the bounds that decide works with.
type limits struct {
	soft  int
	event int // of an event
	hard  int // of one together with what its batch adds
}

func limitsOf(l Limits, own SourceLimits) limits {
	largest := int(cmp.Or(own.Event, l.Event))
	return limits{soft: int(cmp.Or(own.EventSoft, l.EventSoft)), event: largest, hard: largest + batchRoom}
}

// batchRoom is what a batch's context may add to the largest event.
const batchRoom = 48 << 10
