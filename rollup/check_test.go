package rollup

import (
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/dedup"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/testkit"
)

func TestCheckTellsWhatAStartWouldChange(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	if saw, err := Check(t.Context(), b.cfg, b.store); err != nil || saw != "6 metrics" {
		t.Fatalf("%q, %v", saw, err)
	}
	w := b.start(b.store)
	b.send(order("1", 1))
	b.reach(b.store)
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	b.define(strings.Replace(strings.Replace(shop, "basket:", "cart:", 1), "max: properties.total", "min: properties.total", 1))
	want := "6 metrics; new, counted from the start on: cart; of another meaning, counted anew from the start on: biggest; retired: basket"
	if saw, err := Check(t.Context(), b.cfg, b.store); err != nil || saw != want {
		t.Fatalf("%q, %v", saw, err)
	}
	b.define("version: 1\n")
	if _, err := Check(t.Context(), b.cfg, b.store); err == nil || !strings.Contains(err.Error(), "declares no metric") {
		t.Fatalf("got %v", err)
	}
}

func TestBadConfigNamesEveryKey(t *testing.T) {
	t.Parallel()
	_, err := New(Config{}, Deps{Kafka: kafka.DefaultConfig(), Dedup: dedup.DefaultConfig(), Log: testkit.Log(t), Registry: prometheus.NewRegistry()})
	for _, key := range []string{"definitions", "group", "flush.interval", "flush.cells", "memory.fetch", "memory.deltas", "memory.cells", "publish.large", "publish.large_every", "revoke_budget", "session_timeout"} {
		if err == nil || !strings.Contains(err.Error(), "rollup."+key+":") {
			t.Errorf("nothing about rollup.%s in %v", key, err)
		}
	}
	if missing := config.Undocumented(struct {
		Rollup Config `yaml:"rollup" doc:"x"`
	}{}); len(missing) > 0 {
		t.Errorf("no doc tag: %v", missing)
	}
	if _, ok := errors.AsType[*config.KeyError](err); !ok {
		t.Errorf("%T is no KeyError", err)
	}
}
