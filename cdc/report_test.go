package cdc

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/config"
)

// codes returns the codes of all findings of plans.
func codes(plans []SourcePlan) (out []string) {
	for _, p := range plans {
		for _, f := range p.Findings {
			out = append(out, f.Code)
		}
		for _, t := range p.Tables {
			for _, f := range t.Findings {
				out = append(out, f.Code)
			}
		}
	}
	return out
}

// A plan shows key, statements, indexes, promise and mapping, and is the
// configuration that it writes.
func TestPlanShowsHowATableIsRead(t *testing.T) {
	t.Parallel()
	s := setup(t, orders)
	s.insert(1, "a")
	plans, err := Plan(t.Context(), s.cfg)
	if err != nil || len(plans) != 1 || len(plans[0].Tables) != 1 || plans[0].Refused() {
		t.Fatalf("got %+v, %v", plans, err)
	}
	table := plans[0].Tables[0]
	if table.Rows != 1 || !slices.Equal(table.Key, []string{"id"}) || len(table.Columns) != 4 {
		t.Errorf("got %+v", table)
	}
	if len(table.Strategies) != 1 || len(table.Strategies[0].SQL) != 2 || !slices.Contains(table.Strategies[0].Indexes, "orders_updated") {
		t.Errorf("got strategies %+v, want two statements by orders_updated", table.Strategies)
	}
	if !slices.Contains(table.Misses, "deletes") || !slices.Contains(codes(plans), "deletes_unseen") {
		t.Errorf("got misses %v and findings %v, want deletes among them", table.Misses, codes(plans))
	}
	var text, conf bytes.Buffer
	if err := plans[0].WriteText(&text); err != nil || !strings.Contains(text.String(), "incremental timestamp updated_at") {
		t.Errorf("got %v and %s", err, &text)
	}
	if err := plans[0].WriteConfig(&conf, "SHOP_DSN"); err != nil {
		t.Fatal(err)
	}
	again := section{CDC: DefaultConfig()}
	if err := config.Decode("plan.yml", conf.Bytes(), &again); err != nil {
		t.Fatalf("%v in\n%s", err, &conf)
	}
	if got := again.CDC.Sources["shop"].Tables["main.orders"].Strategies; len(got) != 1 || got[0].Timestamp.String() != "updated_at" {
		t.Errorf("written and read again: got %+v in\n%s", got, &conf)
	}
	if _, err := json.Marshal(plans); err != nil {
		t.Error(err)
	}
}

// What cannot be read is refused with the mend, and the rest is warned of.
func TestPlanRefuses(t *testing.T) {
	t.Parallel()
	stamped := "updated_at DATETIME NOT NULL"
	for name, c := range map[string]struct {
		ddl     string
		table   TableConfig
		want    string
		refused bool
	}{
		"key_not_unique": {"CREATE TABLE t (a INT NOT NULL, " + stamped + "); INSERT INTO t VALUES (1, '2026-01-01T00:00:00Z'), (1, '2026-01-01T00:00:00Z')", keyed("a"), "key_not_unique", true},
		"key_null":       {"CREATE TABLE t (a INT, " + stamped + "); INSERT INTO t VALUES (NULL, '2026-01-01T00:00:00Z')", keyed("a"), "key_null", true},
		"null_cursor":    {"CREATE TABLE t (id INTEGER PRIMARY KEY, updated_at DATETIME)", polled("updated_at", ""), "null_cursor", false},
		"unindexed":      {"CREATE TABLE t (id INTEGER PRIMARY KEY, " + stamped + ")", polled("updated_at", ""), "unindexed_cursor", false},
		"reused_id":      {"CREATE TABLE t (id INTEGER PRIMARY KEY)", polled("", "id"), "reused_id", false},
		"autoincrement":  {"CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT)", polled("", "id"), "deletes_unseen", false},
		"journal_mode":   {"CREATE TABLE t (id INTEGER PRIMARY KEY); PRAGMA journal_mode = DELETE", polled("", "id"), "journal_mode", false},
		"random_id":      {"CREATE TABLE t (id TEXT PRIMARY KEY)", polled("", "id"), "random_id", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t, c.ddl)
			s.edit(func(src *SourceConfig) { src.Tables = map[string]TableConfig{"main.t": c.table} })
			plans, err := Plan(t.Context(), s.cfg)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(codes(plans), c.want) || plans[0].Refused() != c.refused {
				t.Errorf("got %v, refused %v, want %s, %v", codes(plans), plans[0].Refused(), c.want, c.refused)
			}
			if name == "autoincrement" && slices.Contains(codes(plans), "reused_id") {
				t.Errorf("got %v, want no reused_id", codes(plans))
			}
		})
	}
}

func keyed(column string) TableConfig {
	c := polled("updated_at", "")
	c.Key = []string{column}
	return c
}

// Every kind of strategy shows what it sends.
func TestEveryStrategyShowsItsStatements(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{kindPostgres, kindMySQL, kindSQLite} {
		rel := relation{
			schema: "s", table: "t", indexes: []index{{[]string{"id"}, true, true}},
			columns: []column{{name: "id", cursor: cursorInteger, notNull: true}, {name: "at", cursor: cursorStamp, notNull: true}},
		}
		for name, c := range map[string]StrategyConfig{
			"timestamp": {Kind: kindIncremental, Timestamp: Columns{"at"}}, "id": {Kind: kindIncremental, ID: "id"},
			"both":    {Kind: kindIncremental, Timestamp: Columns{"at"}, ID: "id"},
			"bounded": {Kind: kindBounded, Column: "at", Window: Window{By: time.Hour}}, "tail": {Kind: kindBounded, Column: "id", Window: Window{N: 10}},
			"reconcile": {Kind: kindReconcile}, "xmin": {Kind: kindXmin}, "diff": {Kind: kindFull, Publish: publishDiff}, "replace": {Kind: kindFull, Publish: publishReplace},
		} {
			if c.Kind == kindXmin && kind != kindPostgres || c.Kind == kindReconcile && kind == kindSQLite {
				continue
			}
			c.Name = name
			p, err := newPlan("shop", kind, "s.t", TableConfig{Strategies: []StrategyConfig{c}}.withDefaults(), rel)
			if err != nil {
				t.Errorf("%s %s: %v", kind, name, err)
				continue
			}
			for _, st := range statementsOf(p.own[name], time.Now()) {
				if !strings.HasPrefix(st.sql.String(), "SELECT ") {
					t.Errorf("%s %s: got %s", kind, name, &st.sql)
				}
			}
		}
	}
}
