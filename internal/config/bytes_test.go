package config_test

import (
	"encoding/json"
	"math"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/millstream-data/millstream/internal/config"
)

func TestParseBytes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]config.Bytes{
		"0": 0, "1": 1, "1500": 1500, "1500B": 1500, "64KiB": 64 * config.KiB, "64 MiB": 64 * config.MiB, " 2GiB ": 2 * config.GiB,
		"3TiB": 3 * config.TiB, "-1": -1, "-2KiB": -2048, "9223372036854775807": math.MaxInt64, "8388607TiB": 8388607 * config.TiB,
	} {
		if got, err := config.ParseBytes(text); err != nil || got != want {
			t.Errorf("%q: got %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MiB", "64MB", "64M", "64k", "1.5GiB", "1e3", "0x10", "64mib", "8388608TiB", "9223372036854775808", "--1"} {
		if got, err := config.ParseBytes(text); err == nil {
			t.Errorf("%q: got %d, want an error", text, got)
		}
	}
}

func FuzzParseBytes(f *testing.F) {
	for _, s := range []string{"0", "64MiB", "-1KiB", "1 B", "99999999TiB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := config.ParseBytes(s)
		if err != nil {
			return
		}
		if again, err := config.ParseBytes(b.String()); err != nil || again != b {
			t.Errorf("%q is %d, printed %s, read back %d, %v", s, b, b, again, err)
		}
	})
}

func TestBytesTravelAsText(t *testing.T) {
	t.Parallel()
	type holder struct {
		B config.Bytes `yaml:"b" json:"b"`
	}
	for b, text := range map[config.Bytes]string{64 * config.MiB: "64MiB", 1536 * config.KiB: "1536KiB", 1000: "1000", 0: "0", -config.GiB: "-1GiB"} {
		if b.String() != text {
			t.Errorf("%d prints %s, want %s", int64(b), b, text)
		}
		y, err := yaml.Marshal(holder{b})
		if err != nil {
			t.Fatal(err)
		}
		j, err := json.Marshal(holder{b})
		if err != nil {
			t.Fatal(err)
		}
		var fromYAML, fromJSON holder
		if err := yaml.Unmarshal(y, &fromYAML); err != nil || fromYAML.B != b {
			t.Errorf("yaml %s: got %v, %v", y, fromYAML, err)
		}
		if err := json.Unmarshal(j, &fromJSON); err != nil || fromJSON.B != b {
			t.Errorf("json %s: got %v, %v", j, fromJSON, err)
		}
	}
}
