package models

import (
	"context"
	"time"

	"github.com/millstream-data/millstream/internal/warehouse"
)

// Gate runs do in a transaction on c behind the gate that keeps writers of the
// ledger apart; loader.Tenure is one.
type Gate interface {
	Gated(ctx context.Context, c *warehouse.Conn, do func() error) error
}

// byHand is the gate of a command, which needs no lease.
type byHand struct{ gate warehouse.Gate }

// ByHand returns the gate of a command: it waits for the loader's transaction
// at most for wait; statements behind it have the time-out of the client.
func ByHand(c *warehouse.Client, wait time.Duration) Gate {
	return &byHand{warehouse.Gate{Timeout: wait, Statement: c.Config().StatementTimeout}}
}

// noted runs do behind the gate for a row of millstream.models: whoever has that
// table locked is waited for no longer than wait, as loads wait too.
func noted(ctx context.Context, g Gate, c *warehouse.Conn, wait time.Duration, do func() error) error {
	return g.Gated(ctx, c, func() error {
		if err := c.SetTimeout(ctx, wait); err != nil {
			return err
		}
		return do()
	})
}

func (g *byHand) Gated(ctx context.Context, c *warehouse.Conn, do func() error) error {
	return g.gate.Do(ctx, c, warehouse.AnyFence, do)
}
