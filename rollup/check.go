package rollup

import (
	"context"
	"fmt"
	"strings"

	"github.com/millstream-data/millstream/internal/metric"
)

// Check reads the definitions of cfg and compares them with what is in force in
// store, without changing anything. It returns a sentence about what starting a
// worker would do, or an error that names every problem.
func Check(ctx context.Context, cfg Config, store metric.Store) (string, error) {
	set, err := metric.Load(cfg.Definitions)
	if err != nil {
		return "", fmt.Errorf("rollup.definitions: %w", err)
	}
	if len(set.Metrics) == 0 {
		return "", fmt.Errorf("rollup.definitions: %s declares no metric; docs/metrics.md shows how", cfg.Definitions)
	}
	reg, err := store.Current(ctx)
	if err != nil {
		return "", fmt.Errorf("metric_store: %w", err)
	}
	out := fmt.Sprintf("%d metrics", len(set.Metrics))
	if reg.No == 0 || reg.Set.Hash == set.Hash {
		return out, nil
	}
	var fresh, changed, gone []string
	for _, m := range set.Metrics {
		switch v, known := reg.Version(m.Name); {
		case !known:
			fresh = append(fresh, m.Name)
		case v.Def.Hash() != m.Hash():
			changed = append(changed, m.Name)
		}
	}
	for _, v := range reg.Versions {
		if set.Metric(v.Name) == nil {
			gone = append(gone, v.Name)
		}
	}
	for _, part := range []struct {
		names []string
		text  string
	}{{fresh, "new, counted from the start on"}, {changed, "of another meaning, counted anew from the start on"}, {gone, "retired"}} {
		if len(part.names) > 0 {
			out += fmt.Sprintf("; %s: %s", part.text, strings.Join(part.names, ", "))
		}
	}
	return out, nil
}
