package cdc

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// gateKey carries the position of the primary that a read has to see.
type gateKey struct{}

// gated is ctx for reads that belong to a sample: on a standby they wait until it
// has replayed what the primary had inserted when the sample ended.
func gated(ctx context.Context, lsn string) context.Context {
	if lsn == "" {
		return ctx
	}
	return context.WithValue(ctx, gateKey{}, lsn)
}

// gateStep is how often a standby is asked how far it is.
const gateStep = 20 * time.Millisecond

const (
	gateSQL = `SELECT pg_is_in_recovery(), coalesce(pg_last_wal_replay_lsn() >= $1::pg_lsn, false)`

	// What has been received and replayed lags by nothing, however old it is.
	lagSQL = `SELECT CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
  ELSE coalesce((extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000000)::bigint, 0) END WHERE pg_is_in_recovery()`
)

// await waits until the standby behind c has replayed what ctx is gated by. One
// that is too far behind has its page come again.
func (o *pgOrigin) await(ctx context.Context, c *pgconn.PgConn) error {
	lsn, wanted := ctx.Value(gateKey{}).(string)
	if !wanted || !o.replica {
		return nil
	}
	patience := time.After(o.cfg.Timeouts.Idle)
	for {
		rows, err := pgQuery(ctx, c, gateSQL, lsn)
		if err != nil {
			return err
		}
		v := texts(rows[0])
		switch {
		case v[0] != "t":
			return refuse("standby_promoted", "let horizon_dsn name this server, or take it away", "dsn names a server that is no standby of horizon_dsn's (any more)")
		case v[1] == "t":
			return nil
		}
		select {
		case <-time.After(gateStep):
		case <-patience:
			return fmt.Errorf("%w: the standby has not replayed %s", errBusy, lsn)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lag is how far a standby that pages are read from is behind.
func (o *pgOrigin) lag(ctx context.Context) (time.Duration, error) {
	var out time.Duration
	err := o.with(ctx, func(c *pgconn.PgConn) error {
		rows, err := pgQuery(ctx, c, lagSQL)
		if err == nil && len(rows) > 0 {
			n, _ := strconv.ParseInt(string(rows[0][0]), 10, 64) // the server's own number
			out = time.Duration(n) * time.Microsecond
		}
		return err
	})
	return out, err
}
