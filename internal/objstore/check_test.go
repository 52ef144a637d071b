package objstore_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/internal/local"
	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/testkit"
)

func TestCheckFindsAGoodStoreGoodAndLeavesNothing(t *testing.T) {
	t.Parallel()
	_, store := testkit.S3(t)
	if err := store.Check(t.Context(), "millstream"); err != nil {
		t.Fatal(err)
	}
	if left, err := store.List(t.Context(), "", "", 0); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// AWS answers 409 to some of many rival writes; that is no fault.
func TestCheckTakesAConflictForALostRace(t *testing.T) {
	t.Parallel()
	s, store := testkit.S3(t)
	var puts atomic.Int32
	conflict := answer(http.MethodPut, http.StatusConflict, "ConditionalRequestConflict")
	s.SetIntercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		return r.Method == http.MethodPut && puts.Add(1) > 5 && conflict(w, r, next)
	})
	if err := store.Check(t.Context(), "millstream"); err != nil {
		t.Error(err)
	}
}

// The winner whose answer was lost tries again, and then its own bytes are there before it.
func TestCheckKnowsAWinnerWhoseAnswerWasLost(t *testing.T) {
	t.Parallel()
	s, store := testkit.S3(t)
	var puts atomic.Int32
	s.SetIntercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		if r.Method != http.MethodPut || puts.Add(1) > 1 {
			return false
		}
		next.ServeHTTP(httptest.NewRecorder(), r)
		return answer(http.MethodPut, http.StatusServiceUnavailable, "SlowDown")(w, r, next)
	})
	if err := store.Check(t.Context(), "millstream"); err != nil {
		t.Error(err)
	}
}

func TestCheckRacesTwentyAtOnce(t *testing.T) {
	t.Parallel()
	s, store := testkit.S3(t)
	var waiting atomic.Int32
	all := make(chan struct{})
	s.SetIntercept(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Method != http.MethodPut {
			return false
		}
		if waiting.Add(1) == 20 {
			close(all)
		}
		select {
		case <-all:
		case <-time.After(20 * time.Second):
			t.Error("fewer than 20 writes came at once")
		}
		return false
	})
	if err := store.Check(t.Context(), "millstream"); err != nil {
		t.Error(err)
	}
}

func TestCheckSaysHowToMendTheStore(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		intercept local.Intercept
		want      string
	}{
		"ignores If-None-Match": {func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			r.Header.Del("If-None-Match")
			return false
		}, "write: 20 of 20 conditional writes to one key won; STORE ignores If-None-Match, and commits rest on it: use AWS S3 or"},
		"refuses the credentials": {answer(http.MethodHead, http.StatusForbidden, ""), "bucket lake: STORE refuses these credentials; see s3.access_key_id"},
		"is broken":               {answer(http.MethodHead, http.StatusInternalServerError, ""), "bucket lake: STORE does not answer; see s3.endpoint"},
		"refuses writes":          {answer(http.MethodPut, http.StatusForbidden, "AccessDenied"), "write: grant s3:PutObject on lake/millstream/_check/"},
		"knows no conditions":     {answer(http.MethodPut, http.StatusNotImplemented, "NotImplemented"), "write: STORE took no PUT with If-None-Match; use AWS S3 or"},
		"refuses reads": {func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
			return r.URL.Query().Get("list-type") == "" && answer(http.MethodGet, http.StatusForbidden, "AccessDenied")(w, r, next)
		}, "read: grant s3:GetObject on lake"},
		"reads with delay": {func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
			return r.URL.Query().Get("list-type") == "" && answer(http.MethodGet, http.StatusNotFound, "NoSuchKey")(w, r, next)
		}, `read: STORE gives "" where "racer `},
		"reads what was before": {func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			if r.Method != http.MethodGet || r.URL.Query().Get("list-type") != "" {
				return false
			}
			fmt.Fprint(w, "stale")
			return true
		}, `read: STORE gives "stale" where "racer `},
		"refuses lists": {func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
			return r.URL.Query().Get("list-type") != "" && answer(http.MethodGet, http.StatusForbidden, "AccessDenied")(w, r, next)
		}, "list: grant s3:ListBucket on lake"},
		"refuses deletes": {answer(http.MethodDelete, http.StatusForbidden, "AccessDenied"), "delete: grant s3:DeleteObject on lake"},
		"lists with delay": {func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
			if r.URL.Query().Get("list-type") == "2" {
				q := r.URL.Query()
				q.Set("prefix", "nothing-yet/")
				r.URL.RawQuery = q.Encode()
			}
			next.ServeHTTP(w, r)
			return true
		}, "list: STORE does not list what was just written; the lake needs strong list-after-write"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, store := testkit.S3(t)
			s.SetIntercept(c.intercept)
			if err := store.Check(t.Context(), "millstream"); err == nil || !strings.HasPrefix(err.Error(), strings.ReplaceAll(c.want, "STORE", s.URL())) {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
			s.SetIntercept(nil)
			if left, err := store.List(t.Context(), "", "", 0); err != nil || len(left) > 0 && name != "refuses deletes" {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func TestCheckNamesABucketThatIsMissing(t *testing.T) {
	t.Parallel()
	s, _ := testkit.S3(t)
	store := client(t, s, "other", prometheus.NewRegistry(), func(*objstore.Config) {})
	err := store.Check(t.Context(), "millstream")
	if want := "bucket other: there is none; create it, or correct lake.bucket: "; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	if err := store.EnsureBucket(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := store.Check(t.Context(), "millstream"); err != nil {
		t.Errorf("after EnsureBucket: %v", err)
	}
}
