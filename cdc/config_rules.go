package cdc

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/wire"
)

var (
	strategyName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`) // a part of keys of the state topic
	topicName    = regexp.MustCompile(`^[A-Za-z0-9._-]{1,200}$`)
)

func (t TableConfig) validate(path, name, kind string, largest config.Bytes) error {
	var errs []error
	if _, _, ok := splitTable(kind, name); !ok {
		errs = append(errs, config.Invalid(path, "must be schema.table, or a pattern such as public.*"))
	}
	names := map[string]bool{}
	for i, s := range t.withDefaults().Strategies {
		at := fmt.Sprintf("%s.strategies[%d]", path, i)
		errs = append(errs, s.validate(at, kind, t))
		if names[s.Name] {
			errs = append(errs, config.Invalid(at+".name", "%q names two strategies of the table; give one of them another name", s.Name))
		}
		names[s.Name] = true
	}
	for i, k := range t.Key {
		errs = append(errs, config.NotEmpty(fmt.Sprintf("%s.key[%d]", path, i), k))
		if slices.Index(t.Key, k) != i {
			errs = append(errs, config.Invalid(path+".key", "names %s twice", k))
		}
	}
	if n := t.Topic.Name; n != "" && !topicName.MatchString(n) {
		errs = append(errs, config.Invalid(path+".topic.name", "must match %s (got %q)", topicName, n))
	}
	return errors.Join(append(errs,
		config.NonNegative(path+".topic.partitions", t.Topic.Partitions),
		t.Columns.validate(path+".columns", kind),
		config.OneOf(path+".clock.set_by", t.Clock.SetBy, byApplication, byDatabase),
		zone(path+".clock.zone", t.Clock.Zone),
		config.OneOf(path+".clock.nulls", t.Clock.Nulls, nullsNever, nullsAlways),
		config.Between(path+".load.parallel", t.Load.Parallel, 1, 64),
		config.Positive(path+".overlap.max", t.Overlap.Max),
		config.Between(path+".store.range", t.Store.Range, 10, 1_000_000),
		config.OneOf(path+".values.bigint", t.Values.BigInt, valueNumber, valueAsText),
		config.OneOf(path+".values.infinity", t.Values.Infinity, valueClamp, valueNull),
		config.OneOf(path+".values.oversize", t.Values.Oversize, valueNull, valueCut),
		config.OneOf(path+".values.unknown", t.Values.Unknown, valueAsText, valueRefuse),
		config.Between(path+".limits.string", t.Limits.String, 1, limitString),
		config.Between(path+".limits.json", t.Limits.JSON, 1, 1_000_000),
		config.Between(path+".limits.bytes", t.Limits.Bytes, 1, 1_024_000),
		config.Positive(path+".limits.row", t.Limits.Row),
		config.AtMost(path+".limits.row", t.Limits.Row, "cdc.topics.max_message_bytes", largest),
		config.OneOf(path+".on_rewrite", t.OnRewrite, rewriteReread, rewriteIgnore))...)
}

func (c ColumnsConfig) validate(path, kind string) error {
	var errs []error
	if len(c.Only) > 0 && len(c.Except) > 0 {
		errs = append(errs, config.Invalid(path+".except", "stands beside only, which leaves out all others already; keep one"))
	}
	if len(c.Rename) > 0 && !mysqlFamily(kind) {
		errs = append(errs, config.Invalid(path+".rename", "is for mysql and mariadb; elsewhere the origin tells of renames, or a view can make them"))
	}
	for _, name := range sortedKeys(c.Types) {
		if word := c.Types[name]; !columnType(word) {
			errs = append(errs, config.Invalid(path+".types."+name,
				"must be string, bool, int16, int32, int64, float32, float64, decimal(p,s), date, timestamp, json, bytes or uuid (got %q)", word))
		}
	}
	return errors.Join(errs...)
}

// columnType says whether word can stand in columns.types.
func columnType(word string) bool {
	_, err := wire.ParseLakeType(word)
	return err == nil || word == typeUUID
}

// typeUUID is the one word of columns.types that is no lake type: 16 bytes as text.
const typeUUID = "uuid"

func zone(path, name string) error {
	if _, err := time.LoadLocation(name); err != nil || name == "" || name == "Local" {
		return config.Invalid(path, "must be an IANA zone such as Europe/Berlin (got %q)", name)
	}
	return nil
}

// validate wants s with its defaults filled in.
func (s StrategyConfig) validate(path, kind string, t TableConfig) error {
	errs := []error{
		config.OneOf(path+".kind", s.Kind, kindIncremental, kindBounded, kindXmin, kindReconcile, kindFull),
		s.validatePeriod(path),
		s.validateKeys(path),
	}
	if s.Kind == s.Name {
		return errors.Join(append(errs, s.validateKind(path, kind, t))...)
	}
	if !strategyName.MatchString(s.Name) {
		errs = append(errs, config.Invalid(path+".name", "must match %s (got %q)", strategyName, s.Name))
	}
	return errors.Join(append(errs, s.validateKind(path, kind, t))...)
}

func (s StrategyConfig) validatePeriod(path string) error {
	if s.At == "" {
		errs := []error{config.Positive(path+".every", s.Every), config.NonNegative(path+".max_every", s.MaxEvery)}
		if s.MaxEvery > 0 && s.MaxEvery < s.Every {
			errs = append(errs, config.Invalid(path+".max_every", "must be >= every, which is %v (got %v)", s.Every, s.MaxEvery))
		}
		return errors.Join(errs...)
	}
	if _, err := time.Parse("15:04", s.At); err != nil {
		return config.Invalid(path+".at", `must be a time of day such as "03:00" (got %q)`, s.At)
	}
	if s.Every != 0 || s.MaxEvery != 0 {
		return config.Invalid(path+".at", "stands beside every; keep one")
	}
	return zone(path+".zone", s.Zone)
}

// validateKeys refuses keys that the kind does not have: they would do nothing.
func (s StrategyConfig) validateKeys(path string) error {
	var errs []error
	only := func(key string, set bool, kinds ...string) {
		if set && !slices.Contains(kinds, s.Kind) {
			errs = append(errs, config.Invalid(path+"."+key, "is a key of %s; %s has none", strings.Join(kinds, " and "), s.Kind))
		}
	}
	only("timestamp", len(s.Timestamp) > 0, kindIncremental)
	only("id", s.ID != "", kindIncremental)
	only("column", s.Column != "", kindBounded)
	only("window", s.Window != Window{}, kindBounded)
	only("publish", s.Publish == publishDiff || s.Publish == publishReplace, kindBounded, kindFull, kindReconcile)
	only("digest", s.Digest != wordAuto && s.Digest != "", kindReconcile)
	only("scan", s.Scan != wordAuto && s.Scan != "", kindReconcile)
	return errors.Join(errs...)
}

func (s StrategyConfig) validateKind(path, kind string, t TableConfig) error {
	switch s.Kind {
	case kindIncremental:
		return s.validateIncremental(path)
	case kindBounded:
		errs := []error{config.NotEmpty(path+".column", s.Column), config.OneOf(path+".publish", s.Publish, publishReplace, publishDiff)}
		if s.Window == (Window{}) {
			errs = append(errs, config.Invalid(path+".window", "must be a duration such as 24h, or a number for an integer column"))
		}
		return errors.Join(errs...)
	case kindXmin:
		if kind != kindPostgres {
			return config.Invalid(path+".kind", "xmin is PostgreSQL's; use incremental, reconcile or full")
		}
	case kindReconcile:
		return s.validateReconcile(path, kind, t)
	case kindFull:
		return config.OneOf(path+".publish", s.Publish, publishDiff, publishReplace)
	}
	return nil
}

func (s StrategyConfig) validateIncremental(path string) error {
	var errs []error
	if len(s.Timestamp) == 0 && s.ID == "" {
		errs = append(errs, config.Invalid(path, "must name a column in timestamp, in id, or in both"))
	}
	for i, c := range s.Timestamp {
		if c == "" || slices.Index(s.Timestamp, c) != i {
			errs = append(errs, config.Invalid(path+".timestamp", "must be different columns (got [%s])", s.Timestamp))
		}
	}
	return errors.Join(errs...)
}

func (s StrategyConfig) validateReconcile(path, kind string, t TableConfig) error {
	if kind == kindSQLite {
		return config.Invalid(path+".kind", "SQLite has no digest of a range; use {kind: full, publish: diff}, which reads the local file")
	}
	digests := []string{wordAuto, digestXmin, digestMD5, digestStamp}
	if mysqlFamily(kind) {
		digests = []string{wordAuto, digestMD5, digestStamp, digestCRC32}
	}
	errs := []error{
		config.OneOf(path+".digest", s.Digest, digests...),
		config.OneOf(path+".publish", s.Publish, publishDiff),
		config.OneOf(path+".scan", s.Scan, wordAuto, scanRange, scanHeap),
	}
	if s.Scan == scanHeap && mysqlFamily(kind) {
		errs = append(errs, config.Invalid(path+".scan", "heap is PostgreSQL's; InnoDB's tables are in key order"))
	}
	if s.Digest == digestStamp && !slices.ContainsFunc(t.Strategies, func(o StrategyConfig) bool { return len(o.Timestamp) > 0 }) {
		errs = append(errs, config.Invalid(path+".digest", "stamp needs an incremental strategy with timestamp, whose column it digests"))
	}
	return errors.Join(errs...)
}
