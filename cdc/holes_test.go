package cdc

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// The table of what strategies see is the one in the documentation.
func TestHolesAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/cdc.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := HolesTable(); !strings.Contains(string(text), want) {
		t.Errorf("docs/cdc.md does not have this table:\n%s", want)
	}
}

// Strategies together see what either sees.
func TestPromiseIsTheUnion(t *testing.T) {
	t.Parallel()
	p := &plan{}
	stamp, whole := p.strategyOf(kindIncremental, "updated_at", "", "", 0), p.strategyOf(kindFull, "", "", publishDiff, 0)
	if _, under, misses := promise([]StrategyConfig{stamp}); len(misses) == 0 || len(under) == 0 {
		t.Errorf("a timestamp alone misses %v, sees under conditions %v", misses, under)
	}
	if sees, under, misses := promise([]StrategyConfig{stamp, whole}); len(sees) != len(holes()) || len(under)+len(misses) > 0 {
		t.Errorf("with full: got %v, %v, %v, want everything seen", sees, under, misses)
	}
	stamp.Every, whole.Every = 10*time.Second, 24*time.Hour
	sees, _, _ := promise([]StrategyConfig{stamp, whole})
	for _, want := range []string{"updates that set the stamp: by incremental, within 10s", "deletes: by full, within 24h"} {
		if !slices.Contains(sees, want) {
			t.Errorf("got %q, want %q among them", sees, want)
		}
	}
}
