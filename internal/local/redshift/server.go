//go:build cgo

package redshift

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	duckdb "github.com/duckdb/duckdb-go/v2"
	wire "github.com/jeroenrinzema/psql-wire"
	"github.com/jeroenrinzema/psql-wire/pkg/buffer"
	"github.com/jeroenrinzema/psql-wire/pkg/types"
)

// Server is the local Redshift. It serves while Run runs.
type Server struct {
	cfg        Config
	objects    Objects
	log        *slog.Logger
	db         *sql.DB
	listener   net.Listener
	wire       *wire.Server
	file       *fileLock
	scratch    string // folder of objects that a COPY reads; the only one DuckDB may touch
	faults     Faults
	locks      *lockTable
	commits    commitLog
	history    history
	tempTables atomic.Int64 // so far
	xids       atomic.Int64 // transactions so far

	writing   sync.Mutex   // held by a commit that writes
	spoiled   bool         // one has failed; guarded by writing
	entry     sync.RWMutex // held while a session gets its connection
	away      bool         // the database is opened anew; guarded by entry
	reopening sync.WaitGroup
	quit      chan struct{} // closed with closed

	closeOnce sync.Once
	closeErr  error
	cleanup   sync.WaitGroup // sessions that end

	mu       sync.Mutex
	conns    map[*clientConn]bool
	sessions map[int32]*session
	nextPID  int32
	closed   bool
}

// startUpBuffer is the size in bytes of a connection's read buffer, and so the longest message before the login.
const startUpBuffer = 32 << 10

// New opens the database under cfg.Dir, which locks it, and binds the listener. objects stay the caller's.
func New(cfg Config, objects Objects, log *slog.Logger) (_ *Server, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Dir, err = filepath.Abs(cfg.Dir); err != nil { // DuckDB compares paths as they are written
		return nil, err
	}
	s := &Server{
		cfg: cfg, objects: objects, log: log, locks: newLockTable(), scratch: filepath.Join(cfg.Dir, "copy"),
		conns: map[*clientConn]bool{}, sessions: map[int32]*session{}, nextPID: 1000,
		commits: commitLog{last: map[string]int64{}}, quit: make(chan struct{}),
	}
	if err := os.RemoveAll(s.scratch); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.scratch, 0o750); err != nil {
		return nil, err
	}
	if s.file, err = lockFile(filepath.Join(cfg.Dir, "redshift.lock"), cfg.Listen); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("open %s: %w", cfg.Dir, err)
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", cfg.Listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		err = fmt.Errorf("is taken by another process; stop it, or choose another port with --redshift-listen or local.redshift.listen: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", cfg.Listen, err)
	}
	s.listener = listener{Listener: l, track: s.track}
	s.wire, err = wire.NewServer(s.parse,
		wire.Logger(slog.New(slog.DiscardHandler)), wire.SessionAuthStrategy(s.authenticate), wire.BackendKeyData(keyData),
		wire.CancelRequest(s.cancelRequest), wire.TxStatus(txStatus), wire.SyncConn(syncSession), wire.ErrorSanitizer(wireError),
		wire.ExtendTypes(extendTypes), wire.MessageBufferSize(startUpBuffer), wire.Portals(newPortals),
		wire.GlobalParameters(wire.Parameters{"DateStyle": parameters["datestyle"], "TimeZone": parameters["timezone"], "integer_datetimes": "on"}))
	if err != nil {
		return nil, err
	}
	return s, nil
}

// rowGroup is how many rows DuckDB writes as one, 15 of its vectors. A load of that many goes to the file while its
// INSERT runs, on all threads, and its commit writes where they are; what is smaller waits for the commit, which writes
// it to the log and once more at the next checkpoint. DuckDB's own 122,880 is more than most loads of one table bring.
const rowGroup = 30720

// open starts DuckDB on its file and brings its catalogue up to date. The file is attached, as a database that is
// opened takes no size of row groups.
func (s *Server) open() error {
	dsn := fmt.Sprintf(":memory:?threads=%d&memory_limit=%dKiB&temp_directory=%s", s.cfg.Threads, int64(s.cfg.Memory)>>10, filepath.Join(s.cfg.Dir, "spill"))
	greet := fmt.Sprintf("ATTACH IF NOT EXISTS %s AS %s (ROW_GROUP_SIZE %d); USE %[2]s", quoteString(filepath.Join(s.cfg.Dir, databaseFile)), databaseName, rowGroup)
	connector, err := duckdb.NewConnector(dsn, func(conn driver.ExecerContext) error {
		_, err := conn.ExecContext(context.Background(), greet, nil)
		return err
	})
	if err != nil {
		return err
	}
	s.db = sql.OpenDB(connector)
	s.db.SetMaxIdleConns(0)
	err = s.bootstrap()
	greet = "USE " + databaseName + ".public"
	return err
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Faults are the knobs that break this server on purpose.
func (s *Server) Faults() *Faults { return &s.faults }

// Run serves until ctx ends, then closes every connection and waits for their sessions; running statements are
// interrupted and their transactions rolled back.
func (s *Server) Run(ctx context.Context) error {
	s.log.Info("local redshift serving, for one laptop", "addr", s.Addr().String(), "dir", s.cfg.Dir)
	var served error
	done := make(chan struct{})
	go func() {
		defer close(done)
		served = s.wire.Serve(s.listener)
	}()
	var err error
	select {
	case <-ctx.Done():
	case <-done:
		err = served
	}
	s.closeConns()
	_ = s.wire.Close()
	<-done
	s.wire.Wait()
	s.cleanup.Wait()
	s.reopening.Wait()
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// Close gives up the listener, the database and its lock; call it after Run has returned. It may be called twice.
func (s *Server) Close() error {
	s.closeOnce.Do(func() {
		var errs []error
		if s.listener != nil {
			if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				errs = append(errs, err)
			}
		}
		s.closeConns()
		s.cleanup.Wait()
		s.reopening.Wait()
		if s.db != nil {
			if !s.away {
				_, err := s.db.ExecContext(context.Background(), "CHECKPOINT")
				errs = append(errs, err)
			}
			errs = append(errs, s.db.Close())
		}
		if s.file != nil {
			errs = append(errs, s.file.release())
		}
		s.closeErr = errors.Join(errs...)
	})
	return s.closeErr
}

func (s *Server) track(c *clientConn) {
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.conns[c] = true
	}
	s.mu.Unlock()
	if closed {
		_ = c.Close()
		return
	}
	c.whenClosed(func() { s.forget(c) })
}

func (s *Server) forget(c *clientConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

func (s *Server) closeConns() {
	s.mu.Lock()
	if !s.closed {
		close(s.quit)
	}
	s.closed = true
	s.mu.Unlock()
	s.cutConns()
}

// cutConns closes the connections that there are.
func (s *Server) cutConns() {
	s.mu.Lock()
	conns := make([]*clientConn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
}

// sessionKey leads to the *session in a connection's context.
type sessionKey struct{}

func sessionFrom(ctx context.Context) *session { return ctx.Value(sessionKey{}).(*session) }

// authenticate asks for the password in clear text, as is fit for loopback, and opens the session.
func (s *Server) authenticate(ctx context.Context, w *buffer.Writer, r *buffer.Reader) (context.Context, error) {
	sess, err := s.login(ctx, w, r)
	if err != nil {
		e := *translate(err)
		e.fatal = true
		_ = wire.WriteUnterminatedError(w, &e)
		return ctx, &e
	}
	w.Start(types.ServerAuth)
	w.AddInt32(0)
	return context.WithValue(ctx, sessionKey{}, sess), w.End()
}

func (s *Server) login(ctx context.Context, w *buffer.Writer, r *buffer.Reader) (*session, error) {
	params := wire.ClientParameters(ctx)
	if _, found := params["standard_conforming_strings"]; found {
		return nil, errNoParameter("standard_conforming_strings")
	}
	if s.faults.refuses() {
		return nil, pgError("53300", "sorry, too many clients already")
	}
	w.Start(types.ServerAuth)
	w.AddInt32(3)
	if err := w.End(); err != nil {
		return nil, err
	}
	t, _, err := r.ReadTypedMsg()
	if err != nil {
		return nil, err
	}
	password, err := r.GetString()
	if err != nil {
		return nil, err
	}
	user, database := params[wire.ParamUsername], params[wire.ParamDatabase]
	same := subtle.ConstantTimeCompare([]byte(password), []byte(s.cfg.Password.Reveal())) == 1
	if t != types.ClientPassword || user != s.cfg.User || !same {
		return nil, pgError("28000", "password authentication failed for user %q", user)
	}
	if database != "" && database != s.cfg.Database {
		return nil, pgError("3D000", "database %q does not exist", database)
	}
	addr, ok := wire.RemoteAddress(ctx).(clientAddr)
	if !ok {
		panic("BUG: a connection that the listener did not make")
	}
	sess, err := s.newSession(addr.conn)
	if err != nil {
		return nil, err
	}
	r.MaxMessageSize = maxMessage
	given := make(map[string]string, len(params))
	for name, value := range params {
		given[string(name)] = value
	}
	if err := sess.guarded(func() error { return sess.startUp(sess.base, given) }); err != nil {
		return nil, err // the connection's end ends the session
	}
	return sess, nil
}

// newSession opens a session on its own DuckDB connection; it ends with the client's.
func (s *Server) newSession(conn *clientConn) (*session, error) {
	s.entry.RLock()
	defer s.entry.RUnlock()
	if s.away {
		return nil, pgError("57P03", "the database system is starting up").withHint("Its disk was full; it goes on when there is room.")
	}
	duck, err := s.db.Conn(context.Background())
	if err != nil {
		return nil, err
	}
	var secret [4]byte
	_, _ = rand.Read(secret[:])
	base, cancel := context.WithCancelCause(context.Background())
	sess := &session{
		srv: s, conn: conn, connected: time.Now().UTC(), duck: duck, base: base, secret: int32(binary.BigEndian.Uint32(secret[:])),
		settings: newSettings(), temps: map[string]*tableMeta{}, stagedFiles: map[string]bool{}, prepared: map[string][]token{}, cursors: map[string]*cursor{}, results: map[*result]bool{}, path: []string{"public"},
	}
	s.mu.Lock()
	if len(s.sessions) >= s.cfg.Sessions || s.closed {
		s.mu.Unlock()
		cancel(nil)
		_ = duck.Close()
		return nil, pgError("53300", "too many connections: at most %d sessions", s.cfg.Sessions)
	}
	s.nextPID++
	sess.pid = s.nextPID
	s.sessions[sess.pid] = sess
	s.cleanup.Add(1)
	s.mu.Unlock()
	conn.whenClosed(func() {
		s.forget(conn)
		cancel(errCancelled())
		go func() {
			defer s.cleanup.Done()
			sess.end()
		}()
	})
	return sess, nil
}

func keyData(ctx context.Context) (pid, secret int32) {
	sess := sessionFrom(ctx)
	return sess.pid, sess.secret
}

// cancelRequest interrupts the statement that a session runs.
func (s *Server) cancelRequest(_ context.Context, pid, secret int32) error {
	s.mu.Lock()
	sess := s.sessions[pid]
	s.mu.Unlock()
	if sess != nil && sess.secret == secret {
		sess.interrupt(errCancelled())
	}
	return nil
}
