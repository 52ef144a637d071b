package cdc

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/millstream-data/millstream/internal/testkit"
)

// Columns that are left out are in no record, and a topic has the name that it
// was given.
func TestColumnsAndTopicOfOnesOwn(t *testing.T) {
	t.Parallel()
	s := setup(t, orders)
	s.insert(1, "secret")
	s.edit(func(src *SourceConfig) {
		c := src.Tables["main.orders"]
		c.Columns.Except = []string{"note"}
		c.Topic.Name = "sold"
		src.Tables["main.orders"] = c
	})
	defer s.run(nil)()
	testkit.Eventually(t, "the row reaches the topic", func() error {
		got := s.records(s.kafka.Names().ChangesPrefix() + "sold")
		for _, r := range got {
			if len(r.Value) > 0 {
				if text := string(r.Value); strings.Contains(text, "secret") || !strings.Contains(text, `"total":"12.30"`) {
					t.Errorf("got %s", text)
				}
				return nil
			}
		}
		return fmt.Errorf("%d records", len(got))
	})
}

func TestColumnsThatCannotBeLeftOut(t *testing.T) {
	t.Parallel()
	rel := relation{columns: []column{{name: "id", notNull: true}, {name: "a"}}, indexes: []index{{[]string{"id"}, true, true}}}
	for code, c := range map[string]ColumnsConfig{
		"column_missing": {Except: []string{"b"}},
		"key_missing":    {Except: []string{"id"}},
		"no_columns":     {Except: []string{"id", "a"}},
	} {
		_, err := barePlan("shop", kindPostgres, "public.t", TableConfig{Columns: c}, rel)
		if r, ok := errors.AsType[*refusal](err); !ok || r.code != code {
			t.Errorf("%+v: got %v, want %s", c, err, code)
		}
	}
	if p, err := barePlan("shop", kindPostgres, "public.t", TableConfig{Columns: ColumnsConfig{Only: []string{"id"}}}, rel); err != nil || len(p.rel.columns) != 1 || len(rel.columns) != 2 {
		t.Errorf("only: got %+v, %v, and %d columns before", p, err, len(rel.columns))
	}
}
