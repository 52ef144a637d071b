package warehouse

import (
	"strings"
	"testing"
	"time"
)

func TestTablesAndGrantsAreValidated(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.DSN = "postgres://m@localhost:5439/m"
	cfg.Grants = []string{"analysts", "role:", ""}
	cfg.Tables = map[string]TableConfig{"orders": {}, "app.a": {Dedupe: "3 days"}, "app.b": {Dedupe: "0s"}, "app.c": {Dedupe: "off", SortKey: []string{"x"}}}
	err := cfg.Validate()
	for _, want := range []string{"warehouse.tables: must name tables as schema.table", "app.a.dedupe", "app.b.dedupe", "warehouse.grants[1]", "warehouse.grants[2]"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is missing in %v", want, err)
		}
	}
	if err != nil && strings.Contains(err.Error(), "app.c") {
		t.Errorf("a good table is refused: %v", err)
	}
}

func TestWindowIsNeverShorterThanThatOfTheBatcher(t *testing.T) {
	t.Parallel()
	c := Config{Tables: map[string]TableConfig{"app.a": {Dedupe: "72h"}, "app.b": {Dedupe: "1h"}, "app.c": {Dedupe: "off"}, "app.d": {Dedupe: "window"}}}
	day := 24 * time.Hour
	for table, want := range map[string]time.Duration{"a": 3 * day, "b": day, "c": 0, "d": day, "e": day} {
		if got := c.Window(Name{"app", table}, day); got != want {
			t.Errorf("%s: %s, want %s", table, got, want)
		}
	}
}
