package local_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/local"
	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/testkit"
)

func TestCreateAdmitsOneOfManyRacers(t *testing.T) {
	t.Parallel()
	_, c := testkit.S3(t)
	const racers = 20
	errs := make([]error, racers)
	var wg sync.WaitGroup
	for i := range racers {
		wg.Go(func() { errs[i] = c.Create(t.Context(), "race/key", fmt.Appendf(nil, "racer %d", i)) })
	}
	wg.Wait()
	won := slices.IndexFunc(errs, func(err error) bool { return err == nil })
	if won < 0 {
		t.Fatalf("nobody won: %v", errs)
	}
	for i, err := range errs {
		if i != won && !errors.Is(err, objstore.ErrExists) {
			t.Errorf("racer %d: want ErrExists, got %v", i, err)
		}
	}
	got, err := c.Get(t.Context(), "race/key")
	if err != nil || string(got) != fmt.Sprintf("racer %d", won) {
		t.Fatalf("the winner's bytes are not there: %q, %v", got, err)
	}
}

func TestListIsInByteOrderFromAKeyOn(t *testing.T) {
	t.Parallel()
	_, c := testkit.S3(t)
	keys := []string{"a.txt", "a/b", "a/b.txt", "a/b/c", "a/bb", "ab", "b/0001", "b/0002", "b/0003", "z"}
	for _, k := range keys {
		if err := c.Create(t.Context(), k+"x", []byte(k)); err != nil {
			t.Fatal(err)
		}
	}
	var want []string
	for _, k := range keys {
		want = append(want, k+"x")
	}
	slices.Sort(want)
	for _, prefix := range []string{"", "a", "a/", "a/b", "b/", "nothing/"} {
		for _, after := range append([]string{"", "a/", "a/b", "b/0001x", "zz"}, want...) {
			for _, limit := range []int{0, 1, 3} {
				var exp []string
				for _, k := range want {
					if strings.HasPrefix(k, prefix) && k > after && (limit == 0 || len(exp) < limit) {
						exp = append(exp, k)
					}
				}
				got, err := c.List(t.Context(), prefix, after, limit)
				if err != nil {
					t.Fatal(err)
				}
				var names []string
				for _, o := range got {
					names = append(names, o.Key)
				}
				if d := cmp.Diff(exp, names); d != "" {
					t.Errorf("prefix %q after %q limit %d:\n%s", prefix, after, limit, d)
				}
			}
		}
	}
}

func TestListPagesThroughMoreThanAThousand(t *testing.T) {
	t.Parallel()
	_, c := testkit.S3(t)
	const n = 1234
	for i := range n {
		if err := c.Put(t.Context(), fmt.Sprintf("p/%02d/%04d", i%7, i), nil); err != nil {
			t.Fatal(err)
		}
	}
	got, err := c.List(t.Context(), "p/", "", 0)
	if err != nil || len(got) != n {
		t.Fatalf("want %d objects, got %d (%v)", n, len(got), err)
	}
	folders, err := c.Folders(t.Context(), "p/")
	if err != nil || len(folders) != 7 {
		t.Fatalf("want 7 folders, got %v (%v)", folders, err)
	}
}

func TestFoldersDoNotExistWithoutObjects(t *testing.T) {
	t.Parallel()
	_, c := testkit.S3(t)
	if err := c.Create(t.Context(), "f/one/x", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(t.Context(), "f/one/x"); err != nil {
		t.Fatal(err)
	}
	got, err := c.Folders(t.Context(), "f/")
	if err != nil || len(got) != 0 {
		t.Fatalf("want no folders, got %v (%v)", got, err)
	}
}

func TestMetadataSurvivesARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := local.S3Config{Listen: "127.0.0.1:0", Dir: dir}
	open := func() (*local.S3, *objstore.Client) {
		s, err := local.NewS3(cfg, testkit.Log(t))
		if err != nil {
			t.Fatal(err)
		}
		return s, testkit.S3Client(t, s)
	}
	s, c := open()
	if err := c.EnsureBucket(t.Context()); err != nil {
		t.Fatal(err)
	}
	body := []byte("hello")
	if err := c.CreateFrom(t.Context(), "k", strings.NewReader(string(body)), int64(len(body)), objstore.Meta{SHA256: objstore.SumSHA256(body)}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// What a crash leaves of a put that was not finished.
	if err := os.WriteFile(filepath.Join(dir, ".tmp", "put-torn"), []byte("hal"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, c = open()
	defer s.Close()
	info, err := c.Head(t.Context(), "k")
	if err != nil || info.Size != 5 || info.Meta.SHA256 != objstore.SumSHA256(body) {
		t.Fatalf("got %+v, %v", info, err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, ".tmp")); err != nil || len(left) != 0 {
		t.Fatalf("the torn put is still there: %v, %v", left, err)
	}
}

func TestMissingObjectsAndBucketsAreToldApart(t *testing.T) {
	t.Parallel()
	s, c := testkit.S3(t)
	if _, err := c.Get(t.Context(), "nothing"); !errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("get: want ErrNotFound, got %v", err)
	}
	if _, err := c.Head(t.Context(), "nothing"); !errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("head: want ErrNotFound, got %v", err)
	}
	cfg := testkit.S3Config(s)
	other, err := objstore.New(t.Context(), cfg, "no-such-bucket", newRegistry())
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Create(t.Context(), "k", nil); !errors.Is(err, objstore.ErrRefused) {
		t.Errorf("create without a bucket: want ErrRefused, got %v", err)
	}
}

func TestCreateWhoseAnswerIsLostSaysExists(t *testing.T) {
	t.Parallel()
	s, c := testkit.S3(t)
	var once sync.Once
	s.SetIntercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) (done bool) {
		if r.Method != http.MethodPut {
			return false
		}
		once.Do(func() {
			next.ServeHTTP(discardResponse{http.Header{}}, r)
			done = true
			panic(http.ErrAbortHandler) // cuts the connection after the work is done
		})
		return done
	})
	if err := c.Create(t.Context(), "k", []byte("mine")); !errors.Is(err, objstore.ErrExists) {
		t.Fatalf("want ErrExists from the second attempt, got %v", err)
	}
	if got, err := c.Get(t.Context(), "k"); err != nil || string(got) != "mine" {
		t.Fatalf("the first attempt had landed: %q, %v", got, err)
	}
}

func TestSecondServerOverAFolderNamesTheHolder(t *testing.T) {
	t.Parallel()
	cfg := local.S3Config{Listen: "127.0.0.1:0", Dir: t.TempDir()}
	s, err := local.NewS3(cfg, testkit.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = local.NewS3(cfg, testkit.Log(t))
	if want := fmt.Sprintf("in use by process %d", os.Getpid()); err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("want an error with %q, got %v", want, err)
	}
}

func TestTakenPortSaysHowToChooseAnother(t *testing.T) {
	t.Parallel()
	s, err := local.NewS3(local.S3Config{Listen: "127.0.0.1:0", Dir: t.TempDir()}, testkit.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	addr := strings.TrimPrefix(s.URL(), "http://")
	if _, err := local.NewS3(local.S3Config{Listen: addr, Dir: t.TempDir()}, testkit.Log(t)); err == nil || !strings.Contains(err.Error(), "--s3-listen") {
		t.Errorf("s3: want an error that names the flag, got %v", err)
	}
	if _, err := local.NewKafka(local.KafkaConfig{Listen: addr}, testkit.Log(t)); err == nil || !strings.Contains(err.Error(), "--kafka-listen") {
		t.Errorf("kafka: want an error that names the flag, got %v", err)
	}
}

type discardResponse struct{ h http.Header }

func (d discardResponse) Header() http.Header         { return d.h }
func (d discardResponse) Write(b []byte) (int, error) { return len(b), nil }
func (d discardResponse) WriteHeader(int)             {}
