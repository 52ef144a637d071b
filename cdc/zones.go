package cdc

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// zoneMost is how far the newest stamp may be from the clock before its zone is doubted.
const zoneMost = 10 * time.Minute

// zoneMend is what helps where stamps show another zone than UTC.
const zoneMend = "stamps without a zone are taken for UTC: have them written in UTC, use a type with a zone, or add {kind: reconcile} or {kind: full}, which need no stamps"

// zoneDoubt says why the stamps of p seem to show another zone than UTC, "" if
// they do not. ask returns the first cell of the answer, "" without one: what
// cannot be asked raises no doubt.
func zoneDoubt(p *plan, ask func(sql string) string) string {
	if p.stamp < 0 || p.kind == kindSQLite {
		return ""
	}
	c := &p.rel.columns[p.stamp]
	if c.dateOnly || c.lake != "timestamp" || p.cfg.Clock.Zone != "UTC" {
		return ""
	}
	d := dialectOf(p.kind)
	name := d.ident(c.name)
	newest := fmt.Sprintf("SELECT TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), MAX(%s)) FROM %s.%s", name, d.ident(p.rel.schema), d.ident(p.rel.table))
	if p.kind == kindPostgres {
		newest = fmt.Sprintf("SELECT extract(epoch FROM max(%s)::timestamp - (now() AT TIME ZONE 'UTC'))::bigint FROM %s.%s", name, d.ident(p.rel.schema), d.ident(p.rel.table))
	}
	ahead, ok := secondsOf(ask(newest))
	switch {
	case !ok:
		return ""
	case ahead > zoneMost:
		return fmt.Sprintf("the newest %s is %s ahead of the clock: it seems to show another zone than UTC", name, ahead)
	case p.kind == kindPostgres || !strings.HasPrefix(strings.ToLower(c.origin), "datetime"):
		return ""
	}
	// Behind UTC stamps look merely old; those of now would lie between the two clocks.
	behind, ok := secondsOf(ask("SELECT TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', @@global.time_zone))"))
	if !ok || behind >= 0 || ahead > behind+zoneMost {
		return ""
	}
	return fmt.Sprintf("the server's clock shows UTC%s, and the newest %s is older than that: where NOW() writes it, changes are not seen by it", offsetText(behind), name)
}

// doubtZones adds a warning for each strategy of p whose stamps are in doubt. It
// asks only where an index has the newest stamp at hand.
func (s *slot) doubtZones(ctx context.Context, p *plan) {
	for _, name := range sortedKeys(p.own) {
		own := p.own[name]
		if own.stamp < 0 || !own.indexed(own.stamp) {
			continue
		}
		doubt := zoneDoubt(own, func(sql string) string {
			rows, err := s.origin.survey(ctx, sql)
			if err != nil || len(rows) == 0 || len(rows[0]) == 0 {
				return ""
			}
			return rows[0][0]
		})
		if warning := "zone_mismatch: " + doubt + "; " + zoneMend; doubt != "" && !slices.Contains(p.rel.warnings, warning) {
			p.rel.warnings = append(p.rel.warnings, warning)
		}
	}
}

func secondsOf(text string) (time.Duration, bool) {
	secs, err := strconv.ParseInt(text, 10, 64)
	return time.Duration(secs) * time.Second, err == nil
}

// offsetText is the offset of a zone behind UTC, as in -03:30.
func offsetText(behind time.Duration) string {
	minutes := int(-behind.Round(time.Minute) / time.Minute)
	return fmt.Sprintf("-%02d:%02d", minutes/60, minutes%60)
}
