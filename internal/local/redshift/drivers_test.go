//go:build cgo

package redshift

import (
	"context"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

func TestDrivers(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeExec, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe,
	} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			c := w.in(t).connect(mode)
			ctx := context.Background()
			table := fmt.Sprintf("public.types_%d", mode)
			c.do(`CREATE TABLE ` + table + ` (b BOOLEAN, s SMALLINT, i INTEGER, l BIGINT, r REAL, d DOUBLE PRECISION, n NUMERIC(18,2), v VARCHAR(64), day DATE, at TIMESTAMP, tz TIMESTAMPTZ, j SUPER)`)
			at := time.Date(2026, 11, 21, 6, 15, 2, 113000000, time.UTC)
			for i := range 3 {
				if _, err := c.Exec(ctx, `INSERT INTO `+table+` (b, s, i, l, r, d, n, v, day, at, tz) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
					true, int16(i), int32(7), int64(1)<<40, float32(1.5), 2.25, pgtype.Numeric{Int: big.NewInt(1234), Exp: -2, Valid: true}, "it's", at, at, at); err != nil {
					t.Fatal(err)
				}
			}
			rows, err := c.Query(ctx, `SELECT b, s, i, l, r, d, n, v, day, at, tz FROM `+table+` WHERE l = $1 AND v = $2 ORDER BY s`, int64(1)<<40, "it's")
			if err != nil {
				t.Fatal(err)
			}
			type row struct {
				B   bool
				S   int16
				I   int32
				L   int64
				R   float32
				D   float64
				N   string
				V   string
				Day time.Time
				At  time.Time
				Tz  time.Time
			}
			got, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (row, error) {
				var o row
				var n pgtype.Numeric
				err := r.Scan(&o.B, &o.S, &o.I, &o.L, &o.R, &o.D, &n, &o.V, &o.Day, &o.At, &o.Tz)
				f, _ := n.MarshalJSON()
				o.N, o.Tz = string(f), o.Tz.UTC()
				return o, err
			})
			if err != nil {
				t.Fatal(err)
			}
			day := at.Truncate(24 * time.Hour)
			var want []row
			for i := range 3 {
				want = append(want, row{true, int16(i), 7, 1 << 40, 1.5, 2.25, "12.34", "it's", day, at, at})
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPingAnswersAnEmptyQuery(t *testing.T) {
	t.Parallel()
	c := setup(t).connect()
	if err := c.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := c.one("SELECT 1"); got != "1" {
		t.Errorf("after a ping: got %q", got)
	}
}

func TestServerReportsWhatRedshiftReports(t *testing.T) {
	t.Parallel()
	c := setup(t).connect()
	for name, want := range map[string]string{"server_version": "8.0.2", "client_encoding": "UNICODE", "standard_conforming_strings": ""} {
		if got := c.PgConn().ParameterStatus(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestLargeResultStreamsAfterCommit(t *testing.T) {
	t.Parallel()
	c := setup(t).connect()
	c.do("CREATE TABLE public.n (i INT, v VARCHAR(64))", "INSERT INTO n SELECT 1, 'x'")
	for range 15 {
		c.do("INSERT INTO n SELECT i, v FROM n")
	}
	if got := c.rows("SELECT i, v FROM n"); len(got) != 1<<15 {
		t.Errorf("got %d rows, want %d", len(got), 1<<15)
	}
	var n int
	if err := c.QueryRow(t.Context(), "SELECT count(*) FROM n WHERE v = $1", "x").Scan(&n); err != nil || n != 1<<15 {
		t.Errorf("count: got %d, %v", n, err)
	}
}
