package objstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/millstream-data/millstream/internal/local"
	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/testkit"
)

// client returns a client of s whose configuration tweak may change.
func client(t *testing.T, s *local.S3, bucket string, reg prometheus.Registerer, tweak func(c *objstore.Config)) *objstore.Client {
	t.Helper()
	cfg := testkit.S3Config(s)
	tweak(&cfg)
	c, err := objstore.New(t.Context(), cfg, bucket, reg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// answer is an intercept that answers requests of a method with an S3 error.
func answer(method string, status int, code string) local.Intercept {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Method != method {
			return false
		}
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		if code != "" && method != http.MethodHead {
			fmt.Fprintf(w, "<Error><Code>%s</Code><Message>said by the test</Message></Error>", code)
		}
		return true
	}
}

func TestEachWrongOptionIsNamed(t *testing.T) {
	t.Parallel()
	if err := objstore.DefaultConfig().Validate(); err != nil {
		t.Fatalf("the defaults: %v", err)
	}
	c := objstore.Config{SecretAccessKey: "hush", StorageClass: "GLACIER"}
	want := strings.Join([]string{
		"s3.region: must not be empty", `s3.sse: must be none, s3 or kms (got "")`,
		`s3.storage_class: must be STANDARD, STANDARD_IA, ONEZONE_IA, INTELLIGENT_TIERING or GLACIER_IR (got "GLACIER"; did you mean GLACIER_IR?)`,
		`s3.checksums: must be when_supported or when_required (got "")`, "s3.concurrency: must be > 0 (got 0)", "s3.max_attempts: must be > 0 (got 0)", "s3.timeout: must be > 0 (got 0s)",
		"s3.access_key_id: needs s3.secret_access_key beside it, and the other way round",
	}, "\n")
	if diff := cmp.Diff(want, c.Validate().Error()); diff != "" {
		t.Error(diff)
	}
}

func TestAnswersOfTheStoreBecomeErrorsToBranchOn(t *testing.T) {
	t.Parallel()
	sentinels := []error{objstore.ErrExists, objstore.ErrNotFound, objstore.ErrRefused}
	for name, c := range map[string]struct {
		method string
		status int
		code   string
		want   error // nil: an unknown outcome
	}{
		"precondition failed": {http.MethodPut, http.StatusPreconditionFailed, "PreconditionFailed", objstore.ErrExists},
		"rival write":         {http.MethodPut, http.StatusConflict, "ConditionalRequestConflict", nil},
		"access denied":       {http.MethodPut, http.StatusForbidden, "AccessDenied", objstore.ErrRefused},
		"wrong secret":        {http.MethodPut, http.StatusForbidden, "SignatureDoesNotMatch", objstore.ErrRefused},
		"unauthorised":        {http.MethodPut, http.StatusUnauthorized, "Whatever", objstore.ErrRefused},
		"no such bucket":      {http.MethodPut, http.StatusNotFound, "NoSuchBucket", objstore.ErrRefused},
		"not the store":       {http.MethodPut, http.StatusNotFound, "", objstore.ErrRefused},
		"a proxy before it":   {http.MethodGet, http.StatusNotFound, "", objstore.ErrRefused},
		"no such key":         {http.MethodGet, http.StatusNotFound, "NoSuchKey", objstore.ErrNotFound},
		"slow down":           {http.MethodPut, http.StatusServiceUnavailable, "SlowDown", nil},
		"broken store":        {http.MethodGet, http.StatusInternalServerError, "InternalError", nil},
		"head without a body": {http.MethodHead, http.StatusNotFound, "", objstore.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, store := testkit.S3(t)
			s.SetIntercept(answer(c.method, c.status, c.code))
			err := map[string]func() error{
				http.MethodPut:  func() error { return store.Create(t.Context(), "a/k", nil) },
				http.MethodGet:  func() error { _, err := store.Get(t.Context(), "a/k"); return err },
				http.MethodHead: func() error { _, err := store.Head(t.Context(), "a/k"); return err },
			}[c.method]()
			if err == nil || !strings.Contains(err.Error(), "s3://lake/a/k") {
				t.Fatalf("got %v, want an error with the key", err)
			}
			for _, s := range sentinels {
				if errors.Is(err, s) != (s == c.want) { //nolint:errorlint // the table names the sentinel itself
					t.Errorf("is %q: %v, for %v", s, errors.Is(err, s), err)
				}
			}
		})
	}
}

func TestAnUnknownOutcomeIsTriedAgain(t *testing.T) {
	t.Parallel()
	s, store := testkit.S3(t)
	var puts atomic.Int32
	s.SetIntercept(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Method != http.MethodPut || puts.Add(1) > 1 {
			return false
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	body := bytes.Repeat([]byte("x"), 1<<20)
	meta := objstore.Meta{SHA256: objstore.SumSHA256(body)}
	if err := store.CreateFrom(t.Context(), "a/k", bytes.NewReader(body), int64(len(body)), meta); err != nil {
		t.Fatal(err)
	}
	r, size, err := store.Open(t.Context(), "a/k")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil || size != 1<<20 || !bytes.Equal(got, body) || puts.Load() != 2 {
		t.Errorf("%d puts, %d bytes of %d, %v", puts.Load(), len(got), size, err)
	}
	info, err := store.Head(t.Context(), "a/k")
	if err != nil || info.Meta != meta || info.Size != 1<<20 {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestAStoreThatNeverAnswersEndsInTime(t *testing.T) {
	t.Parallel()
	s, _ := testkit.S3(t)
	store := client(t, s, testkit.Bucket, prometheus.NewRegistry(), func(c *objstore.Config) { c.Timeout, c.MaxAttempts = 20*time.Millisecond, 1 })
	s.SetIntercept(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool { <-r.Context().Done(); return true })
	if _, err := store.Get(t.Context(), "k"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestNoMoreRequestsRunThanConfigured(t *testing.T) {
	t.Parallel()
	const slots, more = 2, 8
	s, _ := testkit.S3(t)
	store := client(t, s, testkit.Bucket, prometheus.NewRegistry(), func(c *objstore.Config) { c.Concurrency = slots })
	var running, most atomic.Int32
	arrived, release := make(chan struct{}, slots+more+1), make(chan struct{})
	s.SetIntercept(func(_ http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
		now := running.Add(1)
		defer running.Add(-1)
		for seen := most.Load(); now > seen && !most.CompareAndSwap(seen, now); seen = most.Load() {
		}
		arrived <- struct{}{}
		<-release
		return false
	})
	var wg sync.WaitGroup
	put := func() {
		if err := store.Put(t.Context(), "k", nil); err != nil {
			t.Error(err)
		}
	}
	for range slots {
		wg.Go(put)
		<-arrived
	}
	waiting, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := store.Put(waiting, "k", nil); !errors.Is(err, context.DeadlineExceeded) || len(arrived) > 0 {
		t.Errorf("a call without a slot: %v, %d requests", err, len(arrived))
	}
	for range more {
		wg.Go(put)
	}
	close(release)
	wg.Wait()
	if got := most.Load(); got != slots {
		t.Errorf("%d requests ran at once, want %d", got, slots)
	}
}

func TestFoldersAreListedPastAPage(t *testing.T) {
	t.Parallel()
	_, store := testkit.S3(t)
	var want []string
	for i := range 3 {
		want = append(want, fmt.Sprintf("t%d", i))
		for _, leaf := range []string{"a", "b/c"} {
			if err := store.Put(t.Context(), fmt.Sprintf("p/t%d/%s", i, leaf), nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	got, err := store.Folders(t.Context(), "p/")
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func TestDeletingTwiceIsNoError(t *testing.T) {
	t.Parallel()
	_, store := testkit.S3(t)
	if err := store.Create(t.Context(), "k", []byte("1")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := store.Delete(t.Context(), "k"); err != nil {
			t.Error(err)
		}
	}
	if _, err := store.Get(t.Context(), "k"); !errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestMetricsLintAndCountOutcomes(t *testing.T) {
	t.Parallel()
	s, _ := testkit.S3(t)
	reg := prometheus.NewRegistry()
	store := client(t, s, testkit.Bucket, reg, func(*objstore.Config) {})
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	zeroed := 0
	for _, f := range families {
		if f.GetName() == "millstream_objstore_requests_total" {
			zeroed = len(f.GetMetric())
		}
	}
	if zeroed != 9*5 {
		t.Errorf("%d series before the first call, want each operation with each outcome", zeroed)
	}
	for range 2 {
		_ = store.Create(t.Context(), "k", nil) // the second finds it taken
	}
	_, _ = store.Get(t.Context(), "none")
	_, _, _ = store.Open(t.Context(), "none")
	if err := store.EnsureBucket(t.Context()); err != nil {
		t.Fatal(err)
	}
	if families, err = reg.Gather(); err != nil {
		t.Fatal(err)
	}
	if problems, err := promlint.NewWithMetricFamilies(families).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if v := m.GetCounter().GetValue(); v > 0 {
				got[m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue()] = v
			}
		}
	}
	want := map[string]float64{"create ok": 1, "create exists": 1, "get not_found": 1, "open not_found": 1, "head_bucket ok": 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
