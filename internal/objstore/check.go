package objstore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	smithyhttp "github.com/aws/smithy-go/transport/http"
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
	if err = c.race(ctx, key); err == nil {
		err = c.lists(ctx, prefix, key)
	}
	if left := c.Delete(ctx, key); err == nil && left != nil {
		err = fmt.Errorf("delete: grant s3:DeleteObject on %s: %w", c.bucket, left)
	}
	return err
}

// lists wants key, which was just written, in a list.
func (c *Client) lists(ctx context.Context, prefix, key string) error {
	list, err := c.List(ctx, prefix+"/_check/", "", 0)
	if err != nil {
		return fmt.Errorf("list: grant s3:ListBucket on %s: %w", c.bucket, err)
	}
	if !slices.ContainsFunc(list, func(o Info) bool { return o.Key == key }) {
		return errors.New("list: the store does not list what was just written; the lake needs a strongly consistent store")
	}
	return nil
}

// race writes key from many sides at once; the store must let one of them win.
// To the others it says that the key is taken, or that a rival write is under
// way (409).
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
		case !errors.Is(err, ErrExists) && !isConflict(err):
			return fmt.Errorf("write: %w", err)
		}
	}
	if won != 1 {
		return fmt.Errorf("write: %d of %d conditional writes to one key won; the store ignores If-None-Match, and commits rest on it", won, racers)
	}
	return nil
}

func isConflict(err error) bool {
	resp, ok := errors.AsType[*smithyhttp.ResponseError](err)
	return ok && resp.HTTPStatusCode() == http.StatusConflict
}
