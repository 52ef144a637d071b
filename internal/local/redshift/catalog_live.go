//go:build cgo

package redshift

import (
	"fmt"
	"strings"
	"time"
)

// The columns of the catalogue's tables about sessions, locks and statements, as Redshift has them.
const (
	transactionColumns = "txn_owner VARCHAR, txn_db VARCHAR, xid BIGINT, pid INTEGER, txn_start TIMESTAMP, lock_mode VARCHAR, name VARCHAR, granted BOOLEAN"
	sessionColumns     = "starttime TIMESTAMP, process INTEGER, user_name VARCHAR, db_name VARCHAR, timeout_sec INTEGER"
	recentColumns      = "userid INTEGER, status VARCHAR, starttime TIMESTAMP, duration BIGINT, user_name VARCHAR, db_name VARCHAR, query VARCHAR, pid INTEGER"
	inflightColumns    = "userid INTEGER, slice INTEGER, query BIGINT, label VARCHAR, xid BIGINT, pid INTEGER, starttime TIMESTAMP, text VARCHAR, suspended INTEGER"
	activityColumns    = "datid BIGINT, datname VARCHAR, procpid INTEGER, usesysid INTEGER, usename VARCHAR, current_query VARCHAR, query_start TIMESTAMP"
	historyColumns     = "user_id INTEGER, query_id BIGINT, query_label VARCHAR, transaction_id BIGINT, session_id INTEGER, database_name VARCHAR, query_type VARCHAR, status VARCHAR, " +
		"result_cache_hit BOOLEAN, start_time TIMESTAMP, end_time TIMESTAMP, elapsed_time BIGINT, queue_time BIGINT, execution_time BIGINT, error_message VARCHAR, returned_rows BIGINT, query_text VARCHAR"
	queryColumns = "userid INTEGER, query BIGINT, label VARCHAR, xid BIGINT, pid INTEGER, database VARCHAR, querytxt VARCHAR, starttime TIMESTAMP, endtime TIMESTAMP, aborted INTEGER"
)

// localUser is the one user's id.
const localUser = 100

// liveRelation returns a query for a table of the catalogue that shows what goes on now.
func (s *session) liveRelation(name string) (query string, found bool) {
	switch name {
	case "svv_table_info":
		return s.countedTables()
	case "svv_transactions":
		return s.locksQuery("v.txn_owner, v.txn_db, v.xid, v.pid, v.txn_start, v.lock_mode, CASE WHEN v.name IS NULL THEN 'transactionid' ELSE 'relation' END AS lockable_object_type, " +
			"CAST(t.oid AS INTEGER) AS relation, v.granted"), true
	case "pg_locks":
		return s.locksQuery("t.oid AS relation, 16384 AS database, v.xid AS transaction, v.pid, v.lock_mode AS mode, v.granted"), true
	case "stv_locks":
		return s.locksQuery("t.oid AS table_id, v.txn_start AS last_commit, v.txn_start AS last_update, v.xid AS lock_owner, v.pid AS lock_owner_pid, v.txn_start AS lock_owner_start_ts, "+
			"CAST(NULL AS TIMESTAMP) AS lock_owner_end_ts, CASE WHEN v.granted THEN 'Holding ' ELSE 'Waiting for ' END || v.lock_mode AS lock_status") + " AND t.oid IS NOT NULL", true
	case "stv_sessions":
		return s.sessionRows(sessionColumns, func(o *session, _ *queryRecord) []any {
			return []any{o.connected, o.pid, s.srv.cfg.User, s.srv.cfg.Database, 0}
		}), true
	case "stv_recents":
		return s.sessionRows(recentColumns, func(o *session, r *queryRecord) []any {
			if r == nil {
				return nil
			}
			return []any{localUser, "Running", r.started, time.Since(r.started).Microseconds(), s.srv.cfg.User, s.srv.cfg.Database, r.text, o.pid}
		}), true
	case "stv_inflight":
		return s.sessionRows(inflightColumns, func(o *session, r *queryRecord) []any {
			if r == nil {
				return nil
			}
			return []any{localUser, 0, r.id, r.label, r.xid, o.pid, r.started, r.text, 0}
		}), true
	case "pg_stat_activity":
		return s.sessionRows(activityColumns, func(o *session, r *queryRecord) []any {
			text, started := "<IDLE>", o.connected
			if r != nil {
				text, started = r.text, r.started
			}
			return []any{16384, s.srv.cfg.Database, o.pid, localUser, s.srv.cfg.User, text, started}
		}), true
	case "sys_query_history":
		return s.historyRows(historyColumns, func(r queryRecord) []any {
			took := r.ended.Sub(r.started).Microseconds()
			return []any{localUser, r.id, r.label, r.xid, r.pid, s.srv.cfg.Database, r.kind, r.state, false, r.started, r.ended, took, 0, took, r.failure, r.rows, r.text}
		}), true
	case "stl_query":
		return s.historyRows(queryColumns, func(r queryRecord) []any {
			aborted := 0
			if r.failure != "" {
				aborted = 1
			}
			return []any{localUser, r.id, r.label, r.xid, r.pid, s.srv.cfg.Database, r.text, r.started, r.ended, aborted}
		}), true
	}
	return "", false
}

// locksQuery selects items from the transactions' locks v, joined to the tables t that they are on.
func (s *session) locksQuery(items string) string {
	var rows [][]any
	starts := map[int32]*transaction{}
	for _, o := range s.srv.everySession() {
		if tx := o.transaction.Load(); tx != nil {
			starts[o.pid] = tx
			rows = append(rows, []any{s.srv.cfg.User, s.srv.cfg.Database, tx.xid, o.pid, tx.started, "ExclusiveLock", nil, true})
		}
	}
	for _, l := range s.srv.locks.all() {
		if tx := starts[l.owner]; tx != nil && !strings.Contains(l.table, " ") {
			rows = append(rows, []any{s.srv.cfg.User, s.srv.cfg.Database, tx.xid, l.owner, tx.started, l.mode.lockName(), l.table, l.granted})
		}
	}
	return "SELECT " + items + " FROM (" + rowsQuery(transactionColumns, rows) + ") v LEFT JOIN _rs.tables t ON t.schema_name || '.' || t.table_name = v.name WHERE true"
}

func (s *session) sessionRows(columns string, row func(*session, *queryRecord) []any) string {
	var rows [][]any
	for _, o := range s.srv.everySession() {
		if r := row(o, o.running.Load()); r != nil {
			rows = append(rows, r)
		}
	}
	return rowsQuery(columns, rows)
}

func (s *session) historyRows(columns string, row func(queryRecord) []any) string {
	records := s.srv.history.all()
	rows := make([][]any, len(records))
	for i, r := range records {
		rows[i] = row(r)
	}
	return rowsQuery(columns, rows)
}

// rowsQuery is a query that returns rows under these names and types.
func rowsQuery(columns string, rows [][]any) string {
	if len(rows) == 0 {
		return empty(columns)
	}
	var b strings.Builder
	b.WriteString("SELECT ")
	for i, c := range strings.Split(columns, ", ") {
		name, typ, _ := strings.Cut(c, " ")
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "CAST(c%d AS %s) AS %s", i, typ, quoteIdent(name))
	}
	b.WriteString(" FROM (VALUES ")
	for i, row := range rows {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('(')
		for j, v := range row {
			if j > 0 {
				b.WriteString(", ")
			}
			b.WriteString(sqlValue(v))
		}
		b.WriteByte(')')
	}
	b.WriteString(") r(")
	for i := range rows[0] {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "c%d", i)
	}
	b.WriteString(")")
	return b.String()
}

// sqlValue writes a value as DuckDB reads it.
func sqlValue(v any) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case string:
		return quoteString(v)
	case time.Time:
		return "TIMESTAMP " + quoteString(v.UTC().Format("2006-01-02 15:04:05.000000"))
	default:
		return fmt.Sprint(v)
	}
}
