package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const (
	firstPause = 100 * time.Millisecond
	lastPause  = 20 * time.Second
)

// transient says of an error whether the same call may yet succeed. Beside what the SDK knows, these may: a rival
// conditional write in progress, a body that was cut or damaged on its way, and an attempt that took too long.
var transient = retry.IsErrorRetryables(append([]retry.IsErrorRetryable{
	retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errSlow) {
			return aws.TrueTernary
		}
		return aws.UnknownTernary
	}),
	retry.RetryableHTTPStatusCode{Codes: map[int]struct{}{http.StatusTooManyRequests: {}, http.StatusRequestTimeout: {}}},
	retry.RetryableErrorCode{Codes: map[string]struct{}{
		"ConditionalRequestConflict": {}, "OperationAborted": {}, "BadDigest": {}, "XAmzContentSHA256Mismatch": {}, "IncompleteBody": {},
	}},
}, retry.DefaultRetryables...))

// errSlow ends an attempt that has taken too long.
var errSlow = errors.New("no answer within s3.timeout")

// call runs do in a slot, as often as the store's answers and the configuration allow. Each attempt has the time of
// s3.timeout and a second for each MiB of size.
func (c *Client) call(ctx context.Context, op, key string, size int64, do func(context.Context) error) error {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return fmt.Errorf("%s %s: %w", op, key, context.Cause(ctx))
	}
	limit := c.timeout + time.Duration(size>>20)*time.Second
	return c.attempts(ctx, op, key, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeoutCause(ctx, limit, errSlow)
		defer cancel()
		return withCause(ctx, do(ctx))
	})
}

// attempts repeats do after pauses with full jitter: random, and up to a bound that doubles.
func (c *Client) attempts(ctx context.Context, op, key string, do func(context.Context) error) error {
	start := time.Now()
	pause := firstPause
	for n := 1; ; n++ {
		err := do(ctx)
		if err == nil || n >= c.maxAttempts || ctx.Err() != nil || transient.IsErrorRetryable(err) != aws.TrueTernary {
			err = c.classify(op, key, err)
			c.metrics.observe(op, err, time.Since(start))
			return err
		}
		c.metrics.retries.WithLabelValues(op).Inc()
		t := time.NewTimer(rand.N(pause))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
		pause = min(2*pause, lastPause)
	}
}

// withCause puts the reason why ctx ended before an error that its end has brought about.
func withCause(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("%w: %w", context.Cause(ctx), err)
}

// Open returns a reader of an object and its size, or ErrNotFound. The caller closes it; ctx must live as long as the
// reader. The store must begin to answer in time, the body may take any. It takes no slot, because a reader may stay
// open while its owner makes calls.
func (c *Client) Open(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	var (
		out  io.ReadCloser
		size int64
	)
	err := c.attempts(ctx, "open", key, func(ctx context.Context) error {
		ctx, cancel := context.WithCancelCause(ctx)
		slow := time.AfterFunc(c.timeout, func() { cancel(errSlow) })
		resp, err := c.s3.GetObject(ctx, c.getInput(key))
		inTime := slow.Stop()
		if err == nil && inTime {
			out, size = opened{resp.Body, cancel}, aws.ToInt64(resp.ContentLength)
			return nil
		}
		if err == nil {
			err = resp.Body.Close()
		}
		if !inTime {
			err = errors.Join(errSlow, err)
		}
		cancel(nil)
		return err
	})
	return out, size, err
}

// opened is a body whose context ends with it.
type opened struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

func (o opened) Close() error {
	err := o.ReadCloser.Close()
	o.cancel(nil)
	return err
}

// isConflict says whether the store refused a conditional write because a rival one was in progress.
func isConflict(err error) bool {
	resp, ok := errors.AsType[*smithyhttp.ResponseError](err)
	return ok && resp.HTTPStatusCode() == http.StatusConflict
}
