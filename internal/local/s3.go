package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/johannesboyne/gofakes3"

	"github.com/millstream-data/millstream/internal/config"
)

// S3Config holds the options of the embedded S3 server.
type S3Config struct {
	Listen string `yaml:"listen" doc:"address of the embedded S3 server"`
	Dir    string `yaml:"dir" doc:"folder of its buckets; an object is a plain file in it"`
}

// DefaultS3Config returns the values of millstream dev.
func DefaultS3Config() S3Config {
	return S3Config{Listen: "127.0.0.1:9000", Dir: "<data_dir>/s3"}
}

// Validate returns every problem, joined, each led by its key path.
func (c S3Config) Validate() error {
	return errors.Join(config.ListenAddr("local.s3.listen", c.Listen), config.NotEmpty("local.s3.dir", c.Dir))
}

// S3 is an embedded S3 server; any credentials are accepted.
type S3 struct {
	ln     net.Listener
	srv    *http.Server
	lock   *os.File
	served chan struct{}
	// intercept sees each request before the server does; tests set it. It
	// returns true if it has answered.
	intercept atomic.Pointer[Intercept]
	store     http.Handler
}

// Intercept may answer a request itself, delay it, or have it done by next and
// lose the answer. It returns whether the request is dealt with.
type Intercept func(w http.ResponseWriter, r *http.Request, next http.Handler) bool

// NewS3 starts a server. A taken port or a folder in use is an error that says
// how to mend it.
func NewS3(c S3Config, log *slog.Logger) (*S3, error) {
	lock, err := lockFolder(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("local.s3.dir: %w", err)
	}
	backend, err := newFolder(c.Dir)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("local.s3.dir: %w", err), lock.Close())
	}
	ln, err := new(net.ListenConfig).Listen(context.Background(), "tcp", c.Listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		err = fmt.Errorf("%s is taken by another process; stop it, or choose another port with --s3-listen or local.s3.listen", c.Listen)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("embedded s3: %w", err), lock.Close())
	}
	s := &S3{ln: ln, lock: lock, served: make(chan struct{})}
	s.store = gofakes3.New(backend, gofakes3.WithLogger(discard{}), gofakes3.WithTimeSkewLimit(0)).Server()
	s.srv = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	go func() { // ends with Close, which waits for it
		defer close(s.served)
		if err := s.srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			log.Error("embedded s3 ended", "err", err)
		}
	}()
	return s, nil
}

// ServeHTTP answers one request of the S3 protocol.
func (s *S3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if i := s.intercept.Load(); i != nil && *i != nil && (*i)(w, r, s.store) {
		return
	}
	s.store.ServeHTTP(w, r)
}

// SetIntercept puts i before every request from now on; nil removes it.
func (s *S3) SetIntercept(i Intercept) { s.intercept.Store(&i) }

// URL returns the endpoint for S3 clients, which must use path style.
func (s *S3) URL() string { return "http://" + s.ln.Addr().String() }

// Close ends the server; requests that run have a moment to end.
func (s *S3) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	err := s.srv.Shutdown(ctx)
	if err != nil {
		err = s.srv.Close()
	}
	<-s.served
	return errors.Join(err, s.lock.Close())
}

type discard struct{}

func (discard) Print(gofakes3.LogLevel, ...any) {}
