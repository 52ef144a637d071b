package objstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Check proves that the store can hold a lake: the bucket is there, we may
// read, write, list and delete under prefix, of many conditional writes to one
// key exactly one wins, and what was written is read and listed at once. The
// error names the store and how to mend what is wrong; nothing is left behind.
func (c *Client) Check(ctx context.Context, prefix string) error {
	err := c.call(ctx, "head_bucket", c.bucket, 0, func(ctx context.Context) error { return c.headBucket(ctx) })
	switch {
	case errors.Is(err, ErrNotFound):
		return fmt.Errorf("bucket %s: there is none; create it, or correct lake.bucket: %w", c.bucket, err)
	case errors.Is(err, ErrRefused):
		return fmt.Errorf("bucket %s: %s refuses these credentials; see s3.access_key_id: %w", c.bucket, c.where, err)
	case err != nil:
		return fmt.Errorf("bucket %s: %s does not answer; see s3.endpoint: %w", c.bucket, c.where, err)
	}
	key := fmt.Sprintf("%s/_check/%d", prefix, time.Now().UnixNano())
	winner, err := c.race(ctx, key)
	if err == nil {
		err = c.reads(ctx, key, winner)
	}
	if err == nil {
		err = c.lists(ctx, prefix, key)
	}
	if left := c.Delete(ctx, key); err == nil && left != nil {
		err = fmt.Errorf("delete: grant s3:DeleteObject on %s: %w", c.bucket, left)
	}
	return err
}

// race writes key from many sides at once; the store must let one of them win,
// whose bytes are returned. To the others it says that the key is taken, or
// that a rival write is under way (409).
func (c *Client) race(ctx context.Context, key string) (winner []byte, err error) {
	const racers = 20
	rival := *c
	rival.slots = make(chan struct{}, racers) // s3.concurrency would have them come one after the other
	errs := make([]error, racers)
	body := func(i int) []byte { return fmt.Appendf(nil, "racer %d", i) }
	var wg sync.WaitGroup
	for i := range racers {
		wg.Go(func() { errs[i] = rival.Create(ctx, key, body(i)) })
	}
	wg.Wait()
	won := 0
	for i, err := range errs {
		switch {
		case err == nil:
			won, winner = won+1, body(i)
		case errors.Is(err, ErrRefused):
			return nil, fmt.Errorf("write: grant s3:PutObject on %s/%s, and with s3.sse kms the use of the key: %w", c.bucket, key, err)
		case !errors.Is(err, ErrExists) && !isConflict(err):
			return nil, fmt.Errorf("write: %s took no PUT with If-None-Match; %s: %w", c.where, otherStore, err)
		}
	}
	if won == 0 { // the winner's answer was lost, and its next attempt found its own bytes
		return c.Get(ctx, key)
	}
	if won > 1 {
		return nil, fmt.Errorf("write: %d of %d conditional writes to one key won; %s ignores If-None-Match, and commits rest on it: %s", won, racers, c.where, otherStore)
	}
	return winner, nil
}

const otherStore = "use AWS S3 or a store that honours If-None-Match: * on PUT in all its parts (proxies, gateways, versions)"

// reads wants of key what the winner has just written to it.
func (c *Client) reads(ctx context.Context, key string, want []byte) error {
	got, err := c.Get(ctx, key)
	switch {
	case errors.Is(err, ErrRefused):
		return fmt.Errorf("read: grant s3:GetObject on %s: %w", c.bucket, err)
	case err != nil && !errors.Is(err, ErrNotFound):
		return fmt.Errorf("read: %w", err)
	case !bytes.Equal(got, want):
		return fmt.Errorf("read: %s gives %q where %q was just written; the lake needs strong read-after-write, so switch caches and asynchronous replicas off: %w",
			c.where, got, want, errors.Join(errInconsistent, err))
	}
	return nil
}

var errInconsistent = errors.New("store is not strongly consistent")

// lists wants key, which was just written, in a list.
func (c *Client) lists(ctx context.Context, prefix, key string) error {
	list, err := c.List(ctx, prefix+"/_check/", "", 0)
	if err != nil {
		return fmt.Errorf("list: grant s3:ListBucket on %s: %w", c.bucket, err)
	}
	if !slices.ContainsFunc(list, func(o Info) bool { return o.Key == key }) {
		return fmt.Errorf("list: %s does not list what was just written; the lake needs strong list-after-write: %w", c.where, errInconsistent)
	}
	return nil
}
