// make test runs these with the race detector; real services would change nothing.

//go:build !integration

package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// figures runs a benchmark and reads what it wrote with --json.
func figures(t *testing.T, into any, args ...string) (said string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "figures.json")
	out, err := exec.CommandContext(t.Context(), binary, append(append([]string{"bench"}, args...), "--json", file)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
	return string(b) + "\n" + string(out)
}

func TestBenchBatcherDrainsABacklogAndComparesItWithArrow(t *testing.T) {
	t.Parallel()
	var r struct {
		Ratio  float64
		Rounds []struct{ Rows int64 }
		Paced  struct {
			Latency struct{ Count int }
		} `json:"at_50_percent_of_the_peak"`
		Rebuild struct{ Records float64 } `json:"window_rebuild"`
	}
	said := figures(t, &r, "batcher", "--events", "3000", "--rounds", "1", "--paced", "2s", "--reference", "200ms", "--set", "batcher.cut.age=500ms")
	// Each event has a row in tracks and one in its own table.
	if r.Ratio <= 0 || len(r.Rounds) != 1 || r.Rounds[0].Rows != 6000 || r.Paced.Latency.Count == 0 || r.Rebuild.Records < 3000 {
		t.Errorf("figures %s", said)
	}
}

func TestBenchLoaderLoadsALakeAndComparesItWithDuckDB(t *testing.T) {
	t.Parallel()
	var r struct {
		Rows   int64
		Files  int
		Ratio  float64
		Rounds []struct {
			Reference float64 `json:"reference_seconds"`
		}
		Many struct {
			Loads     int
			FirstHalf struct{ Count int } `json:"visible_first_half"`
			LastHalf  struct{ Count int } `json:"visible_last_half"`
		} `json:"many_tables"`
	}
	said := figures(t, &r, "loader", "--rows", "4000", "--tables", "3", "--rounds", "1", "--many", "6", "--many-for", "1s")
	if r.Rows != 3996 || r.Files != 12 || r.Ratio <= 0 || len(r.Rounds) != 1 || r.Rounds[0].Reference <= 0 || r.Many.Loads != 6 || r.Many.FirstHalf.Count+r.Many.LastHalf.Count != 6 {
		t.Errorf("figures %s", said)
	}
}

func TestBenchPathStartsAnInstallationOfItsOwn(t *testing.T) {
	t.Parallel()
	var r struct {
		Settings []struct {
			Name      string
			Sent      int
			Ratio     float64
			Warehouse struct{ Count int } `json:"accepted_to_warehouse"`
			Frame     struct{ Count int } `json:"accepted_to_frame"`
		}
	}
	said := figures(t, &r, "e2e", "--settings", "dev", "--duration", "2s", "--rate", "20", "--load", "400")
	if len(r.Settings) != 1 || r.Settings[0].Sent != 40 || r.Settings[0].Ratio <= 0 || r.Settings[0].Warehouse.Count != 40 || r.Settings[0].Frame.Count != 40 {
		t.Errorf("figures %s", said)
	}
}
