package warehouse

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// AnyFence is the fence of work that needs no lease: what somebody does by
// hand, once, and that the gate alone keeps apart from the loader's.
const AnyFence int64 = -1

// Gate is the way into every transaction that writes rows and the ledger. Its
// fields are set before the first use. It is safe for concurrent use; sessions
// of one process wait here and not at the server.
type Gate struct {
	Timeout   time.Duration                         // to wait for another writer of the ledger, perhaps a dead one
	Statement time.Duration                         // for each statement behind the gate
	Waited    func(gate, transaction time.Duration) // nil: nobody asks; not called for a transaction that ended before COMMIT

	mu sync.Mutex
}

// Do runs do between BEGIN and COMMIT behind the gate, after the fence was
// compared; ErrLeaseTaken says that it differs. The gate is the transaction's
// first statement that reads: the snapshot taken behind it includes the last
// winner's commit. After an error the transaction is the caller's to roll back;
// if COMMIT was sent, the ledger alone tells whether it was done.
func (g *Gate) Do(ctx context.Context, c *Conn, fence int64, do func() error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := c.SetTimeout(ctx, g.Timeout); err != nil {
		return err
	}
	start := time.Now()
	for _, st := range []string{"BEGIN", "LOCK TABLE millstream.gate"} {
		if _, err := c.Exec(ctx, st); err != nil {
			return err
		}
	}
	waited := time.Since(start)
	if err := c.SetTimeout(ctx, g.Statement); err != nil {
		return err
	}
	if fence != AnyFence {
		newest, err := c.Fence(ctx)
		if err != nil {
			return err
		}
		if newest != fence {
			return fmt.Errorf("fence is %d, ours %d: %w", newest, fence, ErrLeaseTaken)
		}
	}
	if err := do(); err != nil {
		return err
	}
	if _, err := c.Exec(ctx, "COMMIT"); err != nil {
		return err
	}
	if g.Waited != nil {
		g.Waited(waited, time.Since(start))
	}
	return nil
}
