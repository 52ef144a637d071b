package objstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/internal/local"
	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/testkit"
)

func TestOptionsThatDoNotFitEachOtherAreNamed(t *testing.T) {
	t.Parallel()
	for want, tweak := range map[string]func(c *objstore.Config){
		"s3.kms_key_id: must not be empty with s3.sse kms; give the key's id or ARN, or set s3.sse to s3":   func(c *objstore.Config) { c.SSE = objstore.SSEKMS },
		`s3.kms_key_id: is of s3.sse kms alone (got s3.sse "s3"); set that, or leave the key away`:          func(c *objstore.Config) { c.SSE, c.KMSKeyID = objstore.SSES3, "k" },
		`s3.sse: must be none, s3 or kms (got "aes256")`:                                                    func(c *objstore.Config) { c.SSE = "aes256" },
		`s3.endpoint: must be a URL such as`:                                                                func(c *objstore.Config) { c.Endpoint = "minio:9000" },
		"s3.access_key_id: needs s3.secret_access_key beside it, and the other way round":                   func(c *objstore.Config) { c.AccessKeyID = "a" },
		`s3.checksums: must be when_supported or when_required (got "never")`:                               func(c *objstore.Config) { c.Checksums = "never" },
		`s3.storage_class: must be STANDARD, STANDARD_IA, ONEZONE_IA, INTELLIGENT_TIERING or GLACIER_IR (g`: func(c *objstore.Config) { c.StorageClass = "DEEP_ARCHIVE" },
	} {
		c := objstore.DefaultConfig()
		tweak(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// sent returns the headers of a create, a data object's create and a put.
func sent(t *testing.T, tweak func(c *objstore.Config)) (all []http.Header) {
	t.Helper()
	s, _ := testkit.S3(t)
	store := client(t, s, testkit.Bucket, prometheus.NewRegistry(), tweak)
	var mu sync.Mutex
	s.SetIntercept(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		mu.Lock()
		defer mu.Unlock()
		if r.Method == http.MethodPut {
			all = append(all, r.Header.Clone())
		}
		return false
	})
	body := "hello"
	meta := objstore.Meta{SHA256: objstore.SumSHA256([]byte(body)), CRC32C: objstore.SumCRC32C([]byte(body))}
	err := errors.Join(
		store.Create(t.Context(), "commit", []byte(body)),
		store.CreateFrom(t.Context(), "data", strings.NewReader(body), int64(len(body)), meta),
		store.Put(t.Context(), "positions", []byte(body)),
	)
	if err != nil || len(all) != 3 {
		t.Fatalf("%d puts, %v", len(all), err)
	}
	return all
}

func TestOptionsBecomeHeaders(t *testing.T) {
	t.Parallel()
	const crc, sum = "mnG7TA==", "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	type header map[string]string
	for name, c := range map[string]struct {
		tweak       func(c *objstore.Config)
		all, onData header
	}{
		"defaults":     {func(*objstore.Config) {}, header{"x-amz-checksum-crc32c": crc}, nil},
		"no checksums": {func(c *objstore.Config) { c.Checksums = objstore.ChecksumsRequired }, nil, nil},
		"sse s3":       {func(c *objstore.Config) { c.SSE = objstore.SSES3 }, header{"x-amz-checksum-crc32c": crc, "x-amz-server-side-encryption": "AES256"}, nil},
		"sse kms": {func(c *objstore.Config) { c.SSE, c.KMSKeyID = objstore.SSEKMS, "key-1" }, header{
			"x-amz-checksum-crc32c": crc, "x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": "key-1",
			"x-amz-server-side-encryption-bucket-key-enabled": "true",
		}, nil},
		"sse kms without a bucket key": {func(c *objstore.Config) { c.SSE, c.KMSKeyID, c.BucketKey = objstore.SSEKMS, "key-1", false }, header{
			"x-amz-checksum-crc32c": crc, "x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": "key-1",
			"x-amz-server-side-encryption-bucket-key-enabled": "false",
		}, nil},
		"storage class": {func(c *objstore.Config) { c.StorageClass = objstore.ClassIntelligentTiering }, header{"x-amz-checksum-crc32c": crc}, header{"x-amz-storage-class": "INTELLIGENT_TIERING"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i, h := range sent(t, c.tweak) {
				want := header{}
				maps.Copy(want, c.all)
				if i < 2 {
					want["if-none-match"] = "*"
				}
				if i == 1 {
					want["x-amz-meta-sha256"] = sum
					maps.Copy(want, c.onData)
				}
				got := header{}
				for k := range h {
					k = strings.ToLower(k)
					if k == "if-none-match" || k == "x-amz-trailer" || k == "content-encoding" || strings.HasPrefix(k, "x-amz-") && k != "x-amz-date" && k != "x-amz-content-sha256" {
						got[k] = h.Get(k)
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", []string{"create", "data", "put"}[i], diff)
				}
			}
		})
	}
}

func TestRegionKeysAndPathStyleAreUsed(t *testing.T) {
	t.Parallel()
	s, _ := testkit.S3(t)
	store := client(t, s, testkit.Bucket, prometheus.NewRegistry(), func(c *objstore.Config) {
		c.Region, c.AccessKeyID, c.SecretAccessKey = "eu-central-1", "AKIDTEST", "hush"
	})
	var auth, path atomic.Value
	s.SetIntercept(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		auth.Store(r.Header.Get("Authorization"))
		path.Store(r.URL.Path)
		return false
	})
	if err := store.Put(t.Context(), "a/k", nil); err != nil {
		t.Fatal(err)
	}
	if got := auth.Load().(string); !strings.Contains(got, "Credential=AKIDTEST/") || !strings.Contains(got, "/eu-central-1/s3/") {
		t.Errorf("authorization %s", got)
	}
	if got := path.Load().(string); got != "/lake/a/k" {
		t.Errorf("path %s", got)
	}
}

// faulty is a store whose first answers to requests of a method are faults.
func faulty(t *testing.T, method string, faults int, fault local.Intercept, tweak func(c *objstore.Config)) (store *objstore.Client, asked *atomic.Int32) {
	t.Helper()
	s, _ := testkit.S3(t)
	asked = &atomic.Int32{}
	s.SetIntercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		return r.Method == method && asked.Add(1) <= int32(faults) && fault(w, r, next) //nolint:gosec // a few
	})
	return client(t, s, testkit.Bucket, prometheus.NewRegistry(), func(c *objstore.Config) {
		c.MaxAttempts = 4
		tweak(c)
	}), asked
}

func TestPassingFaultsAreTriedAgain(t *testing.T) {
	t.Parallel()
	hang := func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		_, _ = io.Copy(io.Discard, r.Body) // the server sees the client leave only when it waits for nothing
		<-r.Context().Done()
		return true
	}
	for name, c := range map[string]struct {
		method string
		fault  local.Intercept
	}{
		"slow down":           {http.MethodPut, answer(http.MethodPut, http.StatusServiceUnavailable, "SlowDown")},
		"internal error":      {http.MethodPut, answer(http.MethodPut, http.StatusInternalServerError, "InternalError")},
		"rival write":         {http.MethodPut, answer(http.MethodPut, http.StatusConflict, "ConditionalRequestConflict")},
		"damaged on its way":  {http.MethodPut, answer(http.MethodPut, http.StatusBadRequest, "BadDigest")},
		"too many requests":   {http.MethodPut, answer(http.MethodPut, http.StatusTooManyRequests, "")},
		"no answer in time":   {http.MethodPut, hang},
		"connection cut":      {http.MethodPut, func(http.ResponseWriter, *http.Request, http.Handler) bool { panic(http.ErrAbortHandler) }},
		"body cut":            {http.MethodGet, cutBody},
		"no object in time":   {http.MethodGet, hang},
		"busy while it reads": {http.MethodGet, answer(http.MethodGet, http.StatusServiceUnavailable, "SlowDown")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, asked := faulty(t, c.method, 2, c.fault, func(c *objstore.Config) { c.Timeout = 300 * time.Millisecond })
			if err := store.Create(t.Context(), "k", []byte("hello")); err != nil {
				t.Fatal(err)
			}
			got, err := store.Get(t.Context(), "k")
			if err != nil || string(got) != "hello" || asked.Load() != 3 {
				t.Errorf("%q after %d requests, %v", got, asked.Load(), err)
			}
		})
	}
}

// cutBody promises more than it sends.
func cutBody(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
	w.Header().Set("Content-Length", "5")
	fmt.Fprint(w, "he")
	return true
}

func TestLastingFaultsAreNotTriedAgain(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]local.Intercept{
		"rights":    answer(http.MethodPut, http.StatusForbidden, "AccessDenied"),
		"condition": answer(http.MethodPut, http.StatusPreconditionFailed, "PreconditionFailed"),
		"bucket":    answer(http.MethodPut, http.StatusNotFound, "NoSuchBucket"),
		"nonsense":  answer(http.MethodPut, http.StatusBadRequest, "InvalidArgument"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, asked := faulty(t, http.MethodPut, 9, fault, func(*objstore.Config) {})
			if err := store.Create(t.Context(), "k", nil); err == nil || asked.Load() != 1 {
				t.Errorf("%d requests, %v", asked.Load(), err)
			}
		})
	}
}

func TestAttemptsEndAtTheirNumberAndWithTheCaller(t *testing.T) {
	t.Parallel()
	busy := answer(http.MethodPut, http.StatusServiceUnavailable, "SlowDown")
	store, asked := faulty(t, http.MethodPut, 99, busy, func(*objstore.Config) {})
	if err := store.Create(t.Context(), "k", nil); err == nil || asked.Load() != 4 {
		t.Errorf("%d requests, %v", asked.Load(), err)
	}
	store, asked = faulty(t, http.MethodPut, 99, busy, func(c *objstore.Config) { c.MaxAttempts = 1000 })
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := store.Create(ctx, "k", nil); err == nil || asked.Load() > 100 {
		t.Errorf("%d requests, %v", asked.Load(), err)
	}
}

func TestOpenedObjectMayBeReadForLongerThanAnAttempt(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "5")
		fmt.Fprint(w, "he")
		_ = http.NewResponseController(w).Flush()
		<-release
		fmt.Fprint(w, "llo")
	}))
	defer srv.Close()
	cfg := objstore.DefaultConfig()
	cfg.Endpoint, cfg.PathStyle, cfg.AccessKeyID, cfg.SecretAccessKey = srv.URL, true, "a", "b"
	cfg.Timeout = 200 * time.Millisecond
	store, err := objstore.New(t.Context(), cfg, "lake", prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	r, size, err := store.Open(t.Context(), "k")
	if err != nil || size != 5 {
		t.Fatal(size, err)
	}
	defer r.Close()
	time.AfterFunc(2*cfg.Timeout, func() { close(release) })
	if got, err := io.ReadAll(r); err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
}
