package main

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millstream-data/millstream/cdc"
)

// schemeOf is what the DSN begins with, in the configuration's word.
func schemeOf(dsn string) string {
	src, err := cdc.SourceOf(dsn)
	if err != nil {
		return ""
	}
	return src.Kind
}

func openBenchOrigin(ctx context.Context, dsn string) (benchOrigin, error) {
	switch kind := schemeOf(dsn); kind {
	case "postgres":
		c, err := pgconn.Connect(ctx, dsn)
		if err != nil {
			return nil, fmt.Errorf("--dsn: %w", err)
		}
		return &benchPostgres{c}, nil
	case "mysql", "mariadb":
		conf, err := mysqlDSN(dsn)
		if err != nil {
			return nil, err
		}
		db, err := sql.Open("mysql", conf)
		if err != nil {
			return nil, fmt.Errorf("--dsn: %w", err)
		}
		return &benchMySQL{db}, nil
	}
	return nil, fmt.Errorf("--dsn: must begin with postgres://, mysql:// or mariadb:// (got %q)", strings.SplitN(dsn, ":", 2)[0])
}

// mysqlDSN is user:password@tcp(host:port)/database, as the driver wants it.
func mysqlDSN(dsn string) (string, error) {
	_, rest, _ := strings.Cut(dsn, "://")
	login, place, ok := cutLast(rest, "@")
	host, database, named := strings.Cut(place, "/")
	if !ok || !named {
		return "", fmt.Errorf("--dsn: must be mysql://user:password@host:port/database")
	}
	conf := mysql.NewConfig()
	conf.User, conf.Passwd, _ = strings.Cut(login, ":")
	conf.Net, conf.Addr = "tcp", host
	conf.DBName, _, _ = strings.Cut(database, "?")
	return conf.FormatDSN(), nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// The columns of the table: about 200 bytes a row.
const benchPostgresTable = `DROP TABLE IF EXISTS millstream_bench; CREATE TABLE millstream_bench (id bigint PRIMARY KEY, customer_id int NOT NULL, state text NOT NULL,
  total numeric(12,2) NOT NULL, paid boolean NOT NULL, ref uuid NOT NULL, note text, attributes jsonb NOT NULL, due date, updated_at timestamptz NOT NULL);
INSERT INTO millstream_bench SELECT g, g %% 100000, 'state-' || g %% 7, g %% 100000 / 7.0, g %% 2 = 0, md5(g::text)::uuid, repeat('note ', 8), jsonb_build_object('a', g, 'b', 'some text'),
  date '2026-01-01' + (g %% 365)::int, timestamptz '2026-01-01' + g * interval '1 ms' FROM generate_series(1, %d) g;
CREATE INDEX ON millstream_bench (updated_at, id)`

const benchCDCColumns = "id, customer_id, state, total, paid, ref, note, attributes, due, updated_at"

type benchPostgres struct{ c *pgconn.PgConn }

func (o *benchPostgres) create(ctx context.Context, rows int64) (string, error) {
	if _, err := o.c.Exec(ctx, fmt.Sprintf(benchPostgresTable, rows)).ReadAll(); err != nil {
		return "", fmt.Errorf("create the table: %w", err)
	}
	return "public.millstream_bench", o.ask(ctx, "VACUUM (FREEZE, ANALYZE) millstream_bench")
}

func (o *benchPostgres) stream(ctx context.Context) (string, error) {
	_, err := o.c.CopyTo(ctx, io.Discard, "COPY (SELECT "+benchCDCColumns+" FROM millstream_bench) TO STDOUT")
	return "COPY … TO STDOUT", err
}

func (o *benchPostgres) ask(ctx context.Context, text string) error {
	return o.c.ExecParams(ctx, text, nil, nil, nil, nil).Read().Err
}

func (o *benchPostgres) server(context.Context) string {
	return "PostgreSQL " + o.c.ParameterStatus("server_version")
}

func (o *benchPostgres) drop() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := o.c.Exec(ctx, "DROP TABLE IF EXISTS millstream_bench").ReadAll()
	_ = o.c.Close(ctx) // nothing is open
	return err
}

type benchMySQL struct{ db *sql.DB }

func (o *benchMySQL) create(ctx context.Context, rows int64) (string, error) {
	const digits = "(SELECT 0 d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)"
	for _, text := range []string{
		"DROP TABLE IF EXISTS millstream_bench",
		"CREATE TABLE millstream_bench (id bigint PRIMARY KEY, customer_id int NOT NULL, state varchar(20) NOT NULL, total decimal(12,2) NOT NULL, paid boolean NOT NULL, ref char(32) NOT NULL, note text, attributes json NOT NULL, due date, updated_at timestamp(6) NOT NULL)",
	} {
		if _, err := o.db.ExecContext(ctx, text); err != nil {
			return "", fmt.Errorf("create the table: %w", err)
		}
	}
	const block = 100_000
	for from := int64(0); from < rows; from += block {
		if _, err := o.db.ExecContext(ctx, `INSERT INTO millstream_bench SELECT g, g % 100000, CONCAT('state-', g % 7), g % 100000 / 7, g % 2 = 0, MD5(g), REPEAT('note ', 8),
JSON_OBJECT('a', g, 'b', 'some text'), DATE '2026-01-01' + INTERVAL g % 365 DAY, TIMESTAMP '2026-01-01 00:00:00' + INTERVAL g * 1000 MICROSECOND
FROM (SELECT ? + 1 + a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d AS g FROM `+digits+` a, `+digits+` b, `+digits+` c, `+digits+` e, `+digits+` f) n WHERE g <= ?`, from, rows); err != nil {
			return "", fmt.Errorf("fill the table: %w", err)
		}
	}
	for _, text := range []string{"CREATE INDEX changed ON millstream_bench (updated_at)", "ANALYZE TABLE millstream_bench"} {
		if _, err := o.db.ExecContext(ctx, text); err != nil {
			return "", err
		}
	}
	var name string
	err := o.db.QueryRowContext(ctx, "SELECT DATABASE()").Scan(&name)
	return name + ".millstream_bench", err
}

func (o *benchMySQL) stream(ctx context.Context) (string, error) {
	rows, err := o.db.QueryContext(ctx, "SELECT "+benchCDCColumns+" FROM millstream_bench")
	if err != nil {
		return "", err
	}
	defer func() { _ = rows.Close() }() // rows.Err tells
	cells := make([]sql.RawBytes, strings.Count(benchCDCColumns, ",")+1)
	into := make([]any, len(cells))
	for i := range cells {
		into[i] = &cells[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return "", err
		}
	}
	return "one streamed SELECT through the same driver", rows.Err()
}

func (o *benchMySQL) ask(ctx context.Context, text string) error {
	var cell sql.RawBytes
	rows, err := o.db.QueryContext(ctx, text)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err tells
	for rows.Next() {
		if err := rows.Scan(&cell); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (o *benchMySQL) server(ctx context.Context) string {
	var v string
	if err := o.db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&v); err != nil {
		return "unknown"
	}
	return v
}

func (o *benchMySQL) drop() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := o.db.ExecContext(ctx, "DROP TABLE IF EXISTS millstream_bench")
	_ = o.db.Close() // nothing is open
	return err
}

// cpuOf is the CPU time of a process so far in seconds, 0 where the kernel does not tell.
func cpuOf(c *child) float64 {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, err1 := strconv.ParseFloat(fields[11], 64)
	system, err2 := strconv.ParseFloat(fields[12], 64)
	if err1 != nil || err2 != nil {
		return 0
	}
	return (user + system) / 100 // USER_HZ is 100 on every Linux
}

// profile writes a CPU profile of so long to a file.
func (r *roleProcess) profile(ctx context.Context, file string, long time.Duration) error {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }() // a profile of nobody's data
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", r.admin, int(long.Seconds()))
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_, err = io.Copy(out, resp.Body)
			_ = resp.Body.Close() // it was read
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond): // it listens soon after its start
		}
	}
}
