package cdc

import (
	"strings"
	"testing"
)

// Stamps of another zone than UTC are told: those ahead of the clock, and those
// as far behind it as the server's own.
func TestZoneDoubt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ kind, origin, newest, server, want string }{
		{kindPostgres, "timestamp without time zone", "7200", "", "2h0m0s ahead"},
		{kindPostgres, "timestamp without time zone", "-12600", "", ""},
		{kindMariaDB, "datetime", "-12601", "-12600", "UTC-03:30"},
		{kindMariaDB, "datetime", "-5", "-12600", ""},
		{kindMariaDB, "timestamp", "-12601", "-12600", ""},
		{kindMySQL, "datetime(6)", "", "-12600", ""},
		{kindMySQL, "datetime(6)", "-86400", "0", ""},
	} {
		p := &plan{kind: c.kind, stamp: 0, rel: relation{schema: "s", table: "t", columns: []column{{name: "at", origin: c.origin, lake: "timestamp"}}}}
		p.cfg.SetDefaults()
		got := zoneDoubt(p, func(sql string) string {
			if strings.Contains(sql, "CONVERT_TZ") {
				return c.server
			}
			return c.newest
		})
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s %s, %s s from the clock: got %q, want %q in it", c.kind, c.origin, c.newest, got, c.want)
		}
	}
}
