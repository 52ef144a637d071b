package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/config"
)

func TestReferenceListsEveryKeyWithItsDefault(t *testing.T) {
	t.Parallel()
	want := strings.ReplaceAll(`| key | default | meaning |
|---|---|---|
| 'name' | 'millstream' | what the process is called |
| 'types' | '{}' | type of a column, by path |
| 'tags' | '[a]' | free words |
| 'free' |  | whatever one likes |

## edge

The HTTP edge.

| key | default | meaning |
|---|---|---|
| 'edge.listen' | '127.0.0.1:8080' | address to listen on |
| 'edge.limits.body' | '4MiB' | largest request |
| 'edge.limits.timeout' | '30s' | longest request |
| 'edge.limits.events' | '100' | most events in a request |
| 'edge.limits.port' | '0' | a port |
| 'edge.limits.ratio' | '0.5' | a share \| a part |
| 'edge.tls' | 'false' | whether to encrypt |

## origin

Where rows come from.

| key | default | meaning |
|---|---|---|
| 'origin.sources' | '{}' | databases by name |
| 'origin.sources.<name>.dsn' | '""' | address of the database |
| 'origin.sources.<name>.password' | '""' | its password |
| 'origin.sources.<name>.every' | '10s' | time between two polls |
| 'origin.sources.<name>.tables' | '[]' | what to read |
| 'origin.sources.<name>.tables[].table' | '""' | name of the table |
| 'origin.sources.<name>.tables[].strategy' | 'incremental' | how changes are found |
`, "'", "`")
	if diff := cmp.Diff(want, config.Reference(defaults())); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := config.Table("edge.limits", limits{}); !strings.Contains(got, "| `edge.limits.timeout` | `0s` |") {
		t.Errorf("got %s", got)
	}
}

func TestUndocumentedKeysAreFound(t *testing.T) {
	t.Parallel()
	type part struct {
		A int `yaml:"a" doc:"first"`
		B int `yaml:"b"`
	}
	type whole struct {
		Part part            `yaml:"part"`
		Map  map[string]part `yaml:"map" doc:"parts"`
	}
	if diff := cmp.Diff([]string{"part.b", "map.<name>.b"}, config.Undocumented(whole{})); diff != "" {
		t.Error(diff)
	}
	if got := config.Undocumented(defaults()); got != nil {
		t.Errorf("got %v", got)
	}
}

func TestDumpIsReadBackAndShowsNoSecret(t *testing.T) {
	t.Parallel()
	m := load(t, config.Options{Flags: []config.Flag{{Key: "origin.sources.demo.password", Value: plain}}})
	text, err := config.Dump(m)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), plain) || !strings.Contains(string(text), "[redacted]") {
		t.Errorf("got %s", text)
	}
	again := load(t, config.Options{File: write(t, string(text))})
	m.Origin.Sources = map[string]source{"demo": {DSN: "demo.db", Pass: "[redacted]", Every: m.Origin.Sources["demo"].Every, Tables: []table{}}}
	m.Types = types{}
	same(t, again, m)
}
