//go:build cgo

package models

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/millstream-data/millstream/internal/testkit"
)

func TestModelsKeeperBuildsWhatIsDue(t *testing.T) {
	t.Parallel()
	k := setup(t, map[string]string{"daily": daily, "best": "SELECT MAX(revenue) AS best FROM daily", "broken": "SELECT (", "asked": "-- refresh: manual\nSELECT 1 AS n"})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := NewKeeper(k.builder, testkit.Log(t)).Run(ctx, k.gate); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	testkit.Eventually(t, "what is due is built, inputs first", func() error {
		if got := k.query("SELECT model FROM millstream.models WHERE built_at IS NOT NULL ORDER BY built_at, model"); got != "models.best models.daily" && got != "models.daily models.best" {
			return fmt.Errorf("built: %s", got)
		}
		return nil
	})
	cancel()
	wg.Wait()
	if got := k.query("SELECT best FROM models.best"); got != "30.00" {
		t.Errorf("best: %s", got)
	}
}

func TestModelsRivalIsNotShown(t *testing.T) {
	t.Parallel()
	k := setup(t, map[string]string{"daily": daily})
	k.ok(k.build()["daily"])
	rival := sync.OnceFunc(func() {
		made := "models." + strings.Fields(k.tables())[1]
		k.exec("DROP TABLE " + made)
		k.exec("CREATE TABLE " + made + " AS SELECT 1 AS n")
	})
	k.builder.client.Trace = func(s string) {
		if s == "BEGIN" && k.tables() != "daily" {
			rival()
		}
	}
	p, s := k.look()
	k.builder.Build(t.Context(), k.gate, p, s, p.Models, func(r Result) {
		if r.Outcome != OutcomePutOff || !errors.Is(r.Err, errRival) {
			t.Errorf("%s: %v", r.Outcome, r.Err)
		}
	})
	if got := k.query("SELECT COUNT(*) FROM models.daily"); got != "3" || strings.Contains(k.tables(), "old") {
		t.Errorf("%s rows are shown; tables %s", got, k.tables())
	}
}
