package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestBenchBatcherDrainsABacklogAndComparesItWithArrow(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "figures.json")
	out, err := exec.CommandContext(t.Context(), binary, "bench", "batcher", "--events", "3000", "--rounds", "1", "--paced", "2s",
		"--reference", "200ms", "--set", "batcher.cut.age=500ms", "--json", file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var r struct {
		Ratio  float64
		Rounds []struct{ Rows int64 }
		Paced  struct {
			Latency struct{ Count int }
		} `json:"at_50_percent_of_the_peak"`
		Rebuild struct{ Records float64 } `json:"window_rebuild"`
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	// Each event has a row in tracks and one in its own table.
	if r.Ratio <= 0 || len(r.Rounds) != 1 || r.Rounds[0].Rows != 6000 || r.Paced.Latency.Count == 0 || r.Rebuild.Records < 3000 {
		t.Errorf("figures %s\n%s", b, out)
	}
}
