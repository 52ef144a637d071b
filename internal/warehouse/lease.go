package warehouse

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrLeaseTaken says that another loader has the lease.
var ErrLeaseTaken = errors.New("another loader has the lease")

// leaseName is the only lease: one loader works.
const leaseName = "loader"

// TakeLease takes the lease for ttl by the server's clock and returns its
// fence, or ErrLeaseTaken with the holder's name. The holder itself takes it
// anew, with a greater fence, so that what it left behind cannot write.
func (c *Conn) TakeLease(ctx context.Context, holder string, ttl time.Duration) (fence int64, err error) {
	for _, s := range []string{"BEGIN", "LOCK TABLE millstream.lease"} {
		if _, err := c.Exec(ctx, s); err != nil {
			return 0, err
		}
	}
	fence, err = c.takeLocked(ctx, holder, ttl)
	end := "COMMIT"
	if err != nil {
		end = "ROLLBACK"
	}
	if _, endErr := c.Exec(ctx, end); err == nil {
		err = endErr
	}
	return fence, err
}

func (c *Conn) takeLocked(ctx context.Context, holder string, ttl time.Duration) (int64, error) {
	res, err := c.Exec(ctx, "SELECT fence, holder, CASE WHEN expires_at < GETDATE() THEN 1 ELSE 0 END FROM millstream.lease WHERE name = "+Literal(leaseName))
	if err != nil {
		return 0, err
	}
	if len(res.Rows) == 0 {
		insert := fmt.Sprintf("INSERT INTO millstream.lease (name, holder, fence, expires_at) VALUES (%s, %s, 1, %s)", Literal(leaseName), Literal(holder), until(ttl))
		return 1, c.raise(ctx, insert, 1)
	}
	row := res.Rows[0]
	n, err := numbers(row[0])
	if err != nil {
		return 0, fmt.Errorf("fence of the lease: %w", err)
	}
	if row[2] != "1" && row[1] != holder {
		return 0, fmt.Errorf("%w: %s", ErrLeaseTaken, row[1])
	}
	update := fmt.Sprintf("UPDATE millstream.lease SET holder = %s, fence = %d, expires_at = %s WHERE name = %s", Literal(holder), n[0]+1, until(ttl), Literal(leaseName))
	return n[0] + 1, c.raise(ctx, update, n[0]+1)
}

// raise writes the lease and then the fence, which loads compare. The fence has
// a table of its own because the lease is written every few seconds: under
// SERIALIZABLE a load that had read that table would fail with 1023 whenever its
// lease was extended meanwhile.
func (c *Conn) raise(ctx context.Context, lease string, fence int64) error {
	for _, s := range []string{lease, "DELETE FROM millstream.fence", fmt.Sprintf("INSERT INTO millstream.fence (fence) VALUES (%d)", fence)} {
		if _, err := c.Exec(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// RenewLease extends the lease, or returns ErrLeaseTaken when its fence has
// been raised. It takes no lock: a lock would wait for the loads that read the
// fence.
func (c *Conn) RenewLease(ctx context.Context, fence int64, ttl time.Duration) error {
	return c.updateLease(ctx, fence, until(ttl))
}

// ReleaseLease lets the next loader begin at once.
func (c *Conn) ReleaseLease(ctx context.Context, fence int64) error {
	return c.updateLease(ctx, fence, "DATEADD(second, -1, GETDATE())")
}

func (c *Conn) updateLease(ctx context.Context, fence int64, expires string) error {
	res, err := c.Exec(ctx, fmt.Sprintf("UPDATE millstream.lease SET expires_at = %s WHERE name = %s AND fence = %d", expires, Literal(leaseName), fence))
	if err == nil && res.Affected == 0 {
		return ErrLeaseTaken
	}
	return err
}

// Fence reads the fence of the newest lease.
func (c *Conn) Fence(ctx context.Context) (int64, error) {
	res, err := c.Exec(ctx, "SELECT fence FROM millstream.fence")
	if err != nil {
		return 0, err
	}
	if len(res.Rows) != 1 {
		return 0, fmt.Errorf("millstream.fence has %d rows, want 1: %w", len(res.Rows), ErrLeaseTaken)
	}
	n, err := numbers(res.Rows[0][0])
	if err != nil {
		return 0, fmt.Errorf("fence of the lease: %w", err)
	}
	return n[0], nil
}

func until(ttl time.Duration) string {
	return fmt.Sprintf("DATEADD(millisecond, %d, GETDATE())", ttl.Milliseconds())
}
