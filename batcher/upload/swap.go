package upload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/warehouse"
)

// Suffixes of tables that are being made and that were replaced; the upload's
// id follows, so that nobody else's table has the name.
const (
	suffixNew = "__new_"
	suffixOld = "__old_"
)

// Time that the last transaction waits for those who hold the table, how often,
// and the pause between: all loads wait behind the gate meanwhile.
const (
	swapWait  = 5 * time.Second
	swapTries = 6
	swapPause = 20 * time.Second
	// settleWait is how long the outcome of a lost connection is asked for.
	settleWait = 2 * time.Minute
)

type relation struct{ oid, kind string }

// relations reads what the schema holds, by name.
func (l *load) relations(ctx context.Context) (map[string]relation, error) {
	res, err := l.conn.Exec(ctx, "SELECT c.relname, c.relkind, c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'v') AND n.nspname = "+warehouse.Literal(l.name.Schema))
	if err != nil {
		return nil, err
	}
	out := map[string]relation{}
	for _, row := range res.Rows {
		out[row[0]] = relation{row[2], row[1]}
	}
	return out, nil
}

// guard keeps an upload from replacing what no upload has made, and from
// leaving views behind that show the table that was replaced.
func (l *load) guard(ctx context.Context, there map[string]relation) error {
	if _, exists := there[l.name.Table]; !exists {
		return nil
	}
	res, err := l.conn.Exec(ctx, "SELECT 1 FROM millstream.loads WHERE kind = 'upload' AND target = "+warehouse.Literal(l.name.String())+" LIMIT 1")
	if err != nil {
		return err
	}
	if len(res.Rows) == 0 {
		return fmt.Errorf("%s is there already, and no upload has made it: choose another name by --as, add the rows by --append, or DROP TABLE %s", l.name, l.name.SQL())
	}
	views, err := l.conn.BoundViews(ctx, l.name)
	if err != nil || len(views) == 0 {
		return err
	}
	return fmt.Errorf("%s would go on showing the old rows of %s: create it WITH NO SCHEMA BINDING, then upload again", strings.Join(views, ", "), l.name)
}

// run copies the parts and shows them in one transaction.
func (l *load) run(ctx context.Context, u *Uploader, parts []part, manifest string) error {
	staging, err := l.stage(ctx, u, parts, manifest)
	if err != nil {
		return err
	}
	if !l.append {
		return l.replace(ctx, staging, parts)
	}
	return l.gated(ctx, func() error {
		// Nothing is deleted: it takes the lock that the rows need, however long they take.
		if err := l.exec(ctx, warehouse.WriteLock(l.name), l.history(parts)); err != nil {
			return err
		}
		if err := l.conn.SetTimeout(ctx, l.gate.Statement); err != nil {
			return err
		}
		return l.exec(ctx, l.into(l.name, staging))
	})
}

// replace fills a table beside the one that is shown, and swaps them.
func (l *load) replace(ctx context.Context, staging warehouse.Staging, parts []part) error {
	before, err := l.relations(ctx)
	if err != nil {
		return err
	}
	beside, old := l.name.Beside(suffixNew+l.id), l.name.Beside(suffixOld+l.id)
	if err := l.exec(ctx, slices.Concat(l.cfg.CreateSchema(l.name.Schema), l.leftovers(before), []string{
		l.cfg.CreateTable(beside, l.columns, warehouse.Layout{Style: "AUTO"}), l.into(beside, staging),
	})...); err != nil {
		return err
	}
	shown, exists := before[l.name.Table]
	statements, grants := []string{warehouse.RenameTable(beside, l.name.Table)}, l.cfg.GrantTable(l.name)
	if exists {
		statements = slices.Insert(statements, 0, warehouse.RenameTable(l.name, old.Table))
		if grants, err = l.conn.Grants(ctx, l.name); err != nil {
			return err
		}
	}
	err = l.gated(ctx, func() error {
		now, err := l.relations(ctx)
		if err != nil {
			return err
		}
		if _, mine := now[beside.Table]; !mine || now[l.name.Table] != shown {
			return fmt.Errorf("another upload of %s runs: wait for it, then run this one again", l.name)
		}
		return l.exec(ctx, slices.Concat(statements, grants, []string{l.history(parts)})...)
	})
	if err != nil {
		l.drop(ctx, beside)
		return err
	}
	if exists {
		l.drop(ctx, old)
	}
	return nil
}

// drop drops a table of this upload. What it leaves, the next upload drops.
func (l *load) drop(ctx context.Context, n warehouse.Name) {
	if err := l.conn.SetTimeout(ctx, swapWait); err == nil {
		_ = l.exec(ctx, warehouse.DropTable(n))
	}
}

// leftovers drops what uploads of the table that were interrupted have left.
func (l *load) leftovers(there map[string]relation) (statements []string) {
	for _, table := range slices.Sorted(maps.Keys(there)) {
		id := table[max(0, len(table)-len(l.id)):]
		mine := table == l.name.Beside(suffixNew+id).Table || table == l.name.Beside(suffixOld+id).Table
		if mine && there[table].kind == "r" && strings.Trim(id, "0123456789abcdefghjkmnpqrstvwxyz") == "" {
			statements = append(statements, warehouse.DropTable(warehouse.Name{Schema: l.name.Schema, Table: table}))
		}
	}
	return statements
}

// gated runs do behind the gate. Whoever holds the table is waited for a little,
// several times; loads go on between.
func (l *load) gated(ctx context.Context, do func() error) error {
	for try := 1; ; try++ {
		behind := false
		err := l.gate.Do(ctx, l.conn, warehouse.AnyFence, func() error {
			behind = true
			if err := l.conn.SetTimeout(ctx, l.wait); err != nil {
				return err
			}
			return do()
		})
		class := warehouse.Classify(err)
		if err == nil {
			return nil
		}
		if class == warehouse.ClassUnknown {
			return l.settle(ctx, err)
		}
		if l.conn.InTransaction() {
			if err := errors.Join(err, l.exec(ctx, "ROLLBACK")); l.conn.Closed() {
				return err
			}
		}
		switch {
		case !behind, class != warehouse.ClassSlow && class != warehouse.ClassConflict:
			return err
		case try == swapTries:
			who, _ := l.conn.Blocker(ctx, l.name)
			return fmt.Errorf("%s is in use, nothing was changed: %s; run the upload again afterwards: %w", l.name, cmp.Or(who, "end the transactions that read it"), err)
		}
		if err := l.pause(ctx, swapPause); err != nil {
			return err
		}
	}
}

// pause waits for d, or until ctx ends.
// settle finds out what became of a transaction whose answer was lost: behind
// the gate, where the old session's has ended, the history has the upload or not.
func (l *load) settle(ctx context.Context, lost error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleWait)
	defer cancel()
	l.conn.Close()
	for {
		done, err := l.recorded(ctx)
		switch {
		case err == nil && done:
			return nil
		case err == nil:
			return fmt.Errorf("the connection was lost and nothing was changed; run the upload again: %w", lost)
		}
		if pause(ctx, time.Second) != nil {
			return fmt.Errorf("the connection was lost, and whether %s has the rows is not known: it has them if there is a row for SELECT * FROM millstream.loads WHERE load_id = %s: %w",
				l.name, warehouse.Literal(l.id), errors.Join(lost, err))
		}
	}
}

// recorded says whether the history has the upload, by a new connection.
func (l *load) recorded(ctx context.Context) (done bool, err error) {
	conn, err := l.client.Connect(ctx)
	if err != nil {
		return false, err
	}
	err = l.gate.Do(ctx, conn, warehouse.AnyFence, func() error {
		res, err := conn.Exec(ctx, "SELECT 1 FROM millstream.loads WHERE load_id = "+warehouse.Literal(l.id))
		if err == nil {
			done = len(res.Rows) > 0
		}
		return err
	})
	if err != nil {
		conn.Close()
		return false, err
	}
	l.conn = conn
	return done, nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
