package cdc

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// errStaleList is a list of transactions that does not hold one's own: the server
// shows an old one as long as somebody reads it more often than every 100 ms.
var errStaleList = errors.New("information_schema.innodb_trx is kept stale by a monitor that reads it more often than every 100 ms")

const (
	staleTries = 5
	stalePause = 120 * time.Millisecond
)

func (o *mysqlOrigin) look(ctx context.Context) (reading, error) {
	ctx, cancel := context.WithTimeout(ctx, o.cfg.Timeouts.Statement)
	defer cancel()
	r, err := o.lookNow(ctx)
	if err != nil && !errors.Is(err, errStaleList) && o.sampler != nil {
		o.discard(o.sampler)
		o.sampler = nil
	}
	return r, mysqlErr("sample", err)
}

func (o *mysqlOrigin) lookNow(ctx context.Context) (reading, error) {
	if err := o.ready(ctx); err != nil {
		return reading{}, err
	}
	for try := 1; ; try++ {
		r, err := o.ask(ctx)
		if !errors.Is(err, errStaleList) || try == staleTries {
			return r, err
		}
		select {
		case <-time.After(stalePause):
		case <-ctx.Done():
			return r, ctx.Err()
		}
	}
}

// ready connects the sampler and finds its method, once an hour.
func (o *mysqlOrigin) ready(ctx context.Context) error {
	if o.sampler == nil {
		// The server may have been restarted, and ids of connections begin anew
		// then: those of older connections may be others' now.
		o.mu.Lock()
		o.life++
		o.mu.Unlock()
		var err error
		if o.sampler, err = o.connect(ctx, o.primary); err != nil {
			return err
		}
		o.tested = time.Time{}
	}
	if time.Since(o.tested) < selfTestEvery {
		return nil
	}
	if err := o.selfTest(ctx); err != nil {
		return err
	}
	o.tested = time.Now()
	return nil
}

// ask takes the statements of a sample in the order that makes it exact: the
// clock before all else, and what runs before the transactions that come of it.
func (o *mysqlOrigin) ask(ctx context.Context) (reading, error) {
	c := o.sampler
	r := reading{mono: time.Since(o.epoch), basis: o.method, timeline: o.uid, server: o.version()}
	rows, err := c.texts(ctx, "SELECT NOW(6)")
	if err != nil {
		return r, err
	}
	clock, ok := mysqlMicros(rows[0][0])
	if !ok {
		return r, fmt.Errorf("the server's clock shows %q", rows[0][0])
	}
	r.t0 = time.UnixMicro(clock).UTC()
	if o.method == basisProcess {
		own := o.ownIDs()
		lists := []func() error{
			func() error { r.procs.running, err = o.running(ctx, own); return err },
			func() error { r.procs.open, err = o.transactions(ctx, own); return err },
		}
		if o.faults.transactionFirst {
			slices.Reverse(lists)
		}
		for _, list := range lists {
			if err := list(); err != nil {
				return r, err
			}
		}
	}
	if rows, err = c.texts(ctx, "SHOW GLOBAL STATUS LIKE 'Threads_running'"); err != nil || len(rows) == 0 {
		return r, err
	}
	r.threads, err = strconv.Atoi(rows[0][1])
	return r, err
}

// ownIDs are the ids of our sessions at the server that look asks.
func (o *mysqlOrigin) ownIDs() map[int64]bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	own := map[int64]bool{}
	for c := range o.own {
		if c == o.sampler || o.conf == o.primary && c.life == o.life {
			own[c.id] = true
		}
	}
	return own
}

func (o *mysqlOrigin) version() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.server
}

// processes is the view that lists sessions: MySQL's cheaper one where it is.
func processes(c *mysqlConn) string {
	if c.maria {
		return "information_schema.processlist"
	}
	return "performance_schema.processlist"
}

// running lists the statements that run. Threads of replication are not among
// them: where there are any, the method is another one.
func (o *mysqlOrigin) running(ctx context.Context, own map[int64]bool) ([]runningStatement, error) {
	users := []string{"'system user'"}
	for _, u := range o.cfg.Horizon.IgnoreUsers {
		users = append(users, mysqlText(u))
	}
	rows, err := o.sampler.texts(ctx, "SELECT id, IFNULL(time, 0), user FROM "+processes(o.sampler)+" WHERE user NOT IN ("+strings.Join(users, ", ")+
		") AND command NOT IN ('Sleep', 'Daemon', 'Binlog Dump', 'Binlog Dump GTID')")
	if err != nil {
		return nil, err
	}
	var out []runningStatement
	for _, v := range rows {
		id, err := strconv.ParseInt(v[0], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("thread %q: %w", v[0], err)
		}
		age, err := strconv.ParseInt(v[1], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("age of thread %s: %w", v[0], err)
		}
		if !own[id] {
			out = append(out, runningStatement{thread: id, age: time.Duration(max(age, 0)) * time.Second, who: fmt.Sprintf("thread %d, user %s", id, v[2])})
		}
	}
	return out, nil
}

// transactions lists what is open in InnoDB, and proves that the list is fresh by
// finding in it the very statement that asks: an old list may well hold the
// sampler's session, as it was when it asked before.
func (o *mysqlOrigin) transactions(ctx context.Context, own map[int64]bool) ([]openTrx, error) {
	c := o.sampler
	if err := c.exec(ctx, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"); err != nil {
		return nil, err
	}
	rows, err := c.texts(ctx, "SELECT trx_id, IFNULL(trx_mysql_thread_id, 0), trx_started, IFNULL(INSTR(trx_query, '"+rand.Text()+"'), 0) FROM information_schema.innodb_trx")
	if err = errors.Join(err, c.exec(ctx, "COMMIT")); err != nil {
		return nil, err
	}
	var out []openTrx
	fresh := o.faults.noOwnRow
	for _, v := range rows {
		thread, err := strconv.ParseInt(v[1], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("thread %q of transaction %s: %w", v[1], v[0], err)
		}
		fresh = fresh || thread == c.id && v[3] != "0"
		if !own[thread] {
			out = append(out, openTrx{id: v[0], thread: thread, started: v[2]})
		}
	}
	if !fresh {
		return nil, errStaleList
	}
	return out, nil
}

// selfTest chooses the method. Without PROCESS a session sees itself alone; and
// where rows arrive by replication, they were stamped by transactions of another
// server.
func (o *mysqlOrigin) selfTest(ctx context.Context) error {
	if err := o.identify(ctx); err != nil {
		return err
	}
	// Not the list of transactions itself, which would be an old one right after.
	_, err := o.sampler.texts(ctx, "SELECT 1 FROM "+o.sampler.innodbTables()+" LIMIT 1")
	sees := err == nil
	if err != nil && mysqlCode(err) != mysqlNoPrivilege {
		return err
	}
	switch o.cfg.Horizon.Method {
	case string(basisLookback):
		o.method = basisLookback
		return nil
	case string(basisProcess):
		o.method = basisProcess
		if !sees {
			return refuse("no_process_privilege", "GRANT PROCESS ON *.* TO "+mysqlText(o.primary.User)+"@'%', or set horizon.method: auto", "horizon.method process needs the PROCESS privilege")
		}
		return nil
	}
	o.method = basisLookback
	if !sees {
		return nil
	}
	rows, err := o.sampler.texts(ctx, "SELECT COUNT(*) FROM "+processes(o.sampler)+" WHERE user = 'system user' AND command <> 'Daemon'")
	if err == nil && rows[0][0] == "0" {
		o.method = basisProcess
	}
	return err
}

// identify reads the name that the server keeps for itself.
func (o *mysqlOrigin) identify(ctx context.Context) error {
	rows, err := o.sampler.texts(ctx, "SHOW GLOBAL VARIABLES WHERE variable_name IN ('server_uuid', 'server_uid', 'hostname', 'port', 'server_id')")
	if err != nil {
		return err
	}
	known := map[string]string{}
	for _, v := range rows {
		known[strings.ToLower(v[0])] = v[1]
	}
	for _, name := range []string{"server_uuid", "server_uid"} { // MySQL's; MariaDB's
		if known[name] != "" {
			o.uid = known[name]
			return nil
		}
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(known)) {
		parts = append(parts, known[name])
	}
	o.uid = strings.Join(parts, "/")
	return nil
}
