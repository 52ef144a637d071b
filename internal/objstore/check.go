package objstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Check proves that the store can hold a lake: the bucket is there, we may
// read, write, list and delete under prefix, and of many conditional writes to
// one key exactly one wins. The error says how to mend what is wrong; nothing
// is left behind.
func (c *Client) Check(ctx context.Context, prefix string) error {
	err := c.call(ctx, "head_bucket", c.bucket, 0, func(ctx context.Context) error { return c.headBucket(ctx) })
	switch {
	case errors.Is(err, ErrNotFound):
		return fmt.Errorf("bucket %s: there is none; create it, or correct lake.bucket: %w", c.bucket, err)
	case errors.Is(err, ErrRefused):
		return fmt.Errorf("bucket %s: the store refuses these credentials; see s3.access_key_id: %w", c.bucket, err)
	case err != nil:
		return fmt.Errorf("bucket %s: the store does not answer; see s3.endpoint: %w", c.bucket, err)
	}
	key := fmt.Sprintf("%s/_check/%d", prefix, time.Now().UnixNano())
	if err := c.race(ctx, key); err != nil {
		return err
	}
	list, err := c.List(ctx, prefix+"/_check/", "", 0)
	if err != nil {
		return fmt.Errorf("list: grant s3:ListBucket on %s: %w", c.bucket, err)
	}
	found := false
	for _, o := range list {
		found = found || o.Key == key
	}
	if !found {
		return fmt.Errorf("list: the store does not list what was just written; the lake needs a strongly consistent store")
	}
	if err := c.Delete(ctx, key); err != nil {
		return fmt.Errorf("delete: grant s3:DeleteObject on %s: %w", c.bucket, err)
	}
	return nil
}

// race writes key from many sides at once; the store must let one of them win.
func (c *Client) race(ctx context.Context, key string) error {
	const racers = 20
	errs := make([]error, racers)
	var wg sync.WaitGroup
	for i := range racers {
		wg.Go(func() { errs[i] = c.Create(ctx, key, fmt.Appendf(nil, "racer %d", i)) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case errors.Is(err, ErrRefused):
			return fmt.Errorf("write: grant s3:PutObject on %s/%s: %w", c.bucket, key, err)
		case !errors.Is(err, ErrExists):
			return fmt.Errorf("write: %w", err)
		}
	}
	if won != 1 {
		return fmt.Errorf("write: %d of %d conditional writes to one key won; the store ignores If-None-Match, and commits rest on it", won, racers)
	}
	return nil
}
