package warehouse

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/wire"
)

func TestVarcharClasses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		longest int
		want    string
	}{
		{"note", 0, "VARCHAR(64)"},
		{"note", 32, "VARCHAR(64)"},
		{"note", 33, "VARCHAR(256)"},
		{"note", 20000, "VARCHAR(65535)"},
		{"note", 65535, "VARCHAR(65535)"},
		{"id", 1, "VARCHAR(256)"},
		{"user_id", 1, "VARCHAR(256)"},
	} {
		if got := TargetType(c.name, wire.String, c.longest).SQL(); got != c.want {
			t.Errorf("%s of %d bytes: %s, want %s", c.name, c.longest, got, c.want)
		}
	}
}

func TestWidenedHoldsTheLongestAndNeverNarrows(t *testing.T) {
	t.Parallel()
	for _, width := range []int{1, 64, 100, 256, 4096, 65535} {
		for longest := 0; longest <= 65535; longest += 13 {
			to, need := Widened(width, longest)
			if need != (longest > width) {
				t.Fatalf("Widened(%d, %d): need %v", width, longest, need)
			}
			if need && (to.Width < longest || to.Width <= width) {
				t.Fatalf("Widened(%d, %d) = %d", width, longest, to.Width)
			}
		}
	}
}

func TestTypesReadFromCatalogueAndOrigin(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]Type{
		"character varying":           {Kind: Varchar},
		"VARCHAR(c)":                  {Kind: Varchar},
		"VARCHAR(36)":                 {Kind: Varchar, Width: 36},
		"NUMERIC(10,2)":               {Kind: Numeric, Precision: 10, Scale: 2},
		"numeric(10, 2)":              {Kind: Numeric, Precision: 10, Scale: 2},
		"timestamp without time zone": {Kind: Timestamp},
		"TIMESTAMPTZ":                 {Kind: TimestampTZ},
		"double precision":            {Kind: Double},
		"geometry":                    {Kind: "GEOMETRY"},
	} {
		if diff := cmp.Diff(want, ParseType(in)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", in, diff)
		}
	}
}

func TestColumnThatWouldCutOrRoundDoesNotFit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		lake wire.LakeType
		sql  string
		want bool
	}{
		{wire.Float64, "bigint", false},
		{wire.Int64, "integer", false},
		{wire.Int32, "bigint", true},
		{wire.Int64, "bigint", true},
		{wire.Decimal(18, 2), "numeric(10,2)", false},
		{wire.Decimal(18, 2), "numeric(38,1)", false},
		{wire.Decimal(18, 2), "numeric(38,9)", true},
		{wire.String, "integer", false},
		{wire.String, "time", true},
		{wire.JSON, "super", true},
		{wire.Timestamp, "date", false},
		{wire.Timestamp, "timestamptz", true},
		{wire.Bool, "boolean", true},
	} {
		if got := Fits(c.lake, ParseType(c.sql)); got != c.want {
			t.Errorf("%s into %s: %v, want %v", c.lake, c.sql, got, c.want)
		}
	}
}

func TestQuotingSurvivesQuotesAndBackslashes(t *testing.T) {
	t.Parallel()
	if got, want := Ident(`a"b`), `"a""b"`; got != want {
		t.Errorf("Ident: %s, want %s", got, want)
	}
	if got, want := Literal(`it's \'`), `'it''s \\'''`; got != want {
		t.Errorf("Literal: %s, want %s", got, want)
	}
	if _, err := DefaultConfig().Copy("s", "b", "a'b"); err == nil {
		t.Error("COPY took a key with a quote")
	}
	if got := cut("aé", 2); got != "a" {
		t.Errorf("cut went through a rune: %q", got)
	}
}

func TestPasswordStaysSecret(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.DSN, cfg.Password, cfg.SSLMode = "postgres://u@127.0.0.1:1/db", "hunter2", "disable"
	c, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.Connect(t.Context()); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("connect: %v", err)
	}
	cfg.DSN = "postgres://u:hunter2@h/db"
	if err := cfg.Validate(); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("validate: %v", err)
	}
}
