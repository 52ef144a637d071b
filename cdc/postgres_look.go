package cdc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// The statements of a sample, in their order: each has a snapshot of its own.
const (
	lookClock = `SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint`

	lookOpen = `SELECT l.virtualtransaction, (extract(epoch FROM a.xact_start) * 1000000)::bigint,
  CASE WHEN a.state = 'active' THEN (extract(epoch FROM a.query_start) * 1000000)::bigint END, l.pid, a.usename, a.application_name, a.state
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'virtualxid' AND l.mode = 'ExclusiveLock' AND l.granted AND l.pid <> pg_backend_pid()
  AND (a.pid IS NULL OR ((a.datid IS NULL OR a.datid = (SELECT oid FROM pg_database WHERE datname = current_database()))
    AND a.usesysid IS NOT NULL AND coalesce(a.backend_type, '') <> 'walsender'
    AND NOT coalesce(a.application_name LIKE 'millstream-cdc/%' OR a.usename = ANY($1::name[]), false)))`

	lookStatement = `SELECT (extract(epoch FROM min(query_start)) * 1000000)::bigint FROM pg_stat_activity
WHERE state = 'active' AND backend_type = 'client backend' AND pid <> pg_backend_pid()
  AND datid = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND NOT coalesce(application_name LIKE 'millstream-cdc/%' OR usename = ANY($1::name[]), false)`

	lookPrepared = `SELECT gid FROM pg_prepared_xacts WHERE database = current_database()`

	// A standby has positions of its own only; CASE keeps it from calling what fails there.
	lookPosition = `SELECT pg_snapshot_xmin(pg_current_snapshot())::text, pg_is_in_recovery(),
  CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_insert_lsn()::text END,
  CASE WHEN NOT pg_is_in_recovery() THEN substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END`

	// What lookPosition must not ask, as TestMutations shows: a finished
	// asynchronous commit may lie behind the written position.
	lookWritten = `SELECT pg_snapshot_xmin(pg_current_snapshot())::text, pg_is_in_recovery(), pg_current_wal_lsn()::text, ''`
)

// selfTestEvery is how often it is proved that the server lists what is open.
const selfTestEvery = time.Hour

func (o *pgOrigin) look(ctx context.Context) (reading, error) {
	ctx, cancel := context.WithTimeout(ctx, o.cfg.Timeouts.Statement)
	defer cancel()
	r, err := o.lookNow(ctx)
	if err == nil && r.standby != o.standby {
		o.tested = time.Time{} // promoted: what it lists is another thing now
		r, err = o.lookNow(ctx)
	}
	if err != nil && o.sampler != nil {
		closeConn(o.sampler)
		o.sampler = nil
	}
	if err == nil && (o.replica || o.standby) {
		r.lag, err = o.lag(ctx)
	}
	return r, pgErr("sample", err)
}

func (o *pgOrigin) lookNow(ctx context.Context) (reading, error) {
	var err error
	if o.sampler == nil {
		if o.sampler, err = o.connect(ctx, o.primary); err != nil {
			return reading{}, err
		}
		o.tested = time.Time{}
	}
	if time.Since(o.tested) > selfTestEvery {
		if err := o.selfTest(ctx); err != nil {
			return reading{}, err
		}
		o.tested = time.Now()
	}
	r := reading{mono: time.Since(o.epoch), basis: o.method, system: o.system, server: o.server}
	return r, o.ask(ctx, o.questions(&r))
}

// question is a statement of a sample and what is done with its answer.
type question struct {
	sql    string
	params [][]byte
	answer func(rows [][][]byte) error
}

// questions are what the method asks, in the order that makes it exact: the
// clock before all else, and prepared transactions after the open ones, since a
// transaction moves from one list to the other.
func (o *pgOrigin) questions(r *reading) []question {
	ignored := [][]byte{[]byte(o.ignored())}
	clock := question{lookClock, nil, func(rows [][][]byte) error { r.t0 = micros(rows[0][0]); return nil }}
	open := question{lookOpen, ignored, func(rows [][][]byte) (err error) { r.open, err = o.openNow(rows); return err }}
	statement := question{lookStatement, ignored, func(rows [][][]byte) error { r.statement = micros(rows[0][0]); return nil }}
	prepared := question{lookPrepared, nil, func(rows [][][]byte) error {
		for _, row := range rows {
			r.prepared = append(r.prepared, string(row[0]))
		}
		return nil
	}}
	position := question{lookPosition, nil, func(rows [][][]byte) error {
		v := texts(rows[0])
		r.xid, r.standby, r.lsn, r.timeline = v[0], v[1] == "t", v[2], v[3]
		return nil
	}}
	if o.faults.writtenLSN {
		position.sql = lookWritten
	}
	switch {
	case o.method == basisLookback:
		return []question{clock, position}
	case o.faults.preparedFirst:
		return []question{clock, prepared, open, position}
	case o.method == basisActivity:
		return []question{clock, open, statement, prepared, position}
	}
	return []question{clock, open, prepared, position}
}

// ask puts all questions in one round trip, each with a Sync and so with a
// snapshot of its own.
func (o *pgOrigin) ask(ctx context.Context, all []question) error {
	p := o.sampler.StartPipeline(ctx)
	for _, q := range all {
		p.SendQueryParams(q.sql, q.params, nil, nil, nil)
		p.SendPipelineSync()
	}
	err := p.Flush()
	for _, q := range all {
		if err != nil {
			break
		}
		var rows [][][]byte
		if rows, err = pgAnswer(p); err == nil {
			err = q.answer(rows)
		}
	}
	return errors.Join(err, p.Close())
}

// pgAnswer reads the rows of a pipeline's next statement, and its Sync.
func pgAnswer(p *pgconn.Pipeline) ([][][]byte, error) {
	res, err := p.GetResults()
	if err != nil {
		return nil, err
	}
	r, ok := res.(*pgconn.ResultReader)
	if !ok {
		return nil, fmt.Errorf("a pipeline's answer is a %T", res)
	}
	out := r.Read()
	if out.Err != nil {
		return nil, out.Err
	}
	_, err = p.GetResults()
	return out.Rows, err
}

func (o *pgOrigin) openNow(rows [][][]byte) ([]openTx, error) {
	var out []openTx
	for _, row := range rows {
		backend, number, _ := strings.Cut(string(row[0]), "/")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("virtual transaction %q: %w", row[0], err)
		}
		tx := openTx{id: txID{backend, n}, who: fmt.Sprintf("pid %s, user %s, %s", row[3], row[4], row[5])}
		if o.method == basisActivity {
			tx.start, tx.query = micros(row[1]), micros(row[2])
		}
		out = append(out, tx)
	}
	return out, nil
}

// ignored is horizon.ignore_users as an array literal.
func (o *pgOrigin) ignored() string {
	quoted := make([]string, len(o.cfg.Horizon.IgnoreUsers))
	for i, u := range o.cfg.Horizon.IgnoreUsers {
		quoted[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(u) + `"`
	}
	return "{" + strings.Join(quoted, ",") + "}"
}

// selfTest chooses the method. An engine that only resembles PostgreSQL may
// list nothing, and a standby lists none of the primary's transactions: then
// there is no horizon but a guess.
func (o *pgOrigin) selfTest(ctx context.Context) error {
	rows, err := pgQuery(ctx, o.sampler, `SELECT pg_is_in_recovery(), coalesce(pg_has_role('pg_read_all_stats', 'USAGE'), false), current_setting('server_version_num')`)
	if err != nil {
		return err
	}
	stats := string(rows[0][1]) == "t"
	o.standby, o.server = string(rows[0][0]) == "t", string(rows[0][2])
	if rows, err = pgQuery(ctx, o.sampler, pgSystem); err == nil && len(rows) > 0 {
		o.system = string(rows[0][0])
	}
	o.method = basis(o.cfg.Horizon.Method)
	if o.cfg.Horizon.Method == "auto" {
		o.method = basisLocks
		if stats {
			o.method = basisActivity
		}
	}
	if o.method == basisActivity && !stats {
		return refuse("no_stats_privilege", fmt.Sprintf("GRANT pg_read_all_stats TO %s, or set horizon.method: auto", quoteIdent(o.conf.User)), "horizon.method activity needs pg_read_all_stats")
	}
	if o.method == basisLookback {
		return nil
	}
	listed := false
	if !o.standby {
		if listed, err = o.lists(ctx); err != nil {
			return err
		}
	}
	if !listed {
		o.method = basisLookback
	}
	return nil
}

// lists opens a transaction beside the sampler's and says whether the sampler sees it.
func (o *pgOrigin) lists(ctx context.Context) (bool, error) {
	conf := o.primary.Copy()
	conf.RuntimeParams = maps.Clone(conf.RuntimeParams)
	conf.RuntimeParams["application_name"] = "millstream-selftest"
	c, err := o.connect(ctx, conf)
	if err != nil {
		return false, err
	}
	defer closeConn(c)
	if _, err := c.Exec(ctx, "BEGIN READ ONLY; SELECT 1").ReadAll(); err != nil {
		return false, err
	}
	rows, err := pgQuery(ctx, c, "SELECT pg_backend_pid()")
	if err != nil {
		return false, err
	}
	pid := string(rows[0][0])
	open, err := pgQuery(ctx, o.sampler, lookOpen, "{}")
	if err != nil {
		return false, err
	}
	// Ended here, or the first sample would find it still open.
	if _, err := c.Exec(ctx, "ROLLBACK").ReadAll(); err != nil {
		return false, err
	}
	return slices.ContainsFunc(open, func(row [][]byte) bool { return string(row[3]) == pid }), nil
}
