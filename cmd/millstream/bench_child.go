package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/ingest"
	"github.com/millstream-data/millstream/internal/bench"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/local"
	"github.com/millstream-data/millstream/internal/telemetry"
)

// child is a process of this binary that serves at addr until its standard
// input ends, be it that the benchmark is over or has died.
type child struct {
	cmd    *exec.Cmd
	addr   string
	stdin  io.Closer
	stdout *bufio.Reader
}

func startChild(ctx context.Context, args ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, append([]string{"bench", "child"}, args...)...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{cmd: cmd, stdin: stdin, stdout: bufio.NewReader(stdout)}
	line, err := c.stdout.ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("bench child %s: %w", args[0], err), cmd.Wait())
	}
	c.addr = strings.TrimSpace(line)
	return c, nil
}

// memory is what the kernel says of the process in bytes, or 0 where it says
// nothing: VmRSS for now, VmHWM for the most so far.
func (c *child) memory(name string) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(status, []byte("\n"+name+":"))
	line, _, _ := bytes.Cut(rest, []byte(" kB"))
	kb, _ := strconv.ParseInt(string(bytes.TrimSpace(line)), 10, 64)
	return kb << 10
}

// stop ends the child and returns the CPU time that it took. It says last how
// many events it had on disk.
func (c *child) stop(spooled *int64) (time.Duration, error) {
	_ = c.stdin.Close() // it may have ended
	last, err := io.ReadAll(c.stdout)
	if waited := c.cmd.Wait(); waited != nil {
		err = waited
	}
	*spooled, _ = strconv.ParseInt(string(bytes.TrimSpace(last)), 10, 64) // the reference says nothing
	return c.cmd.ProcessState.UserTime() + c.cmd.ProcessState.SystemTime(), err
}

// wake lets a process go on that was stopped.
func (c *child) wake() { _ = c.cmd.Process.Signal(syscall.SIGCONT) } // it may have ended

// end ends a child of which nothing is asked any more, if it has not ended. It
// gets some seconds to remove what it has on disk.
func (c *child) end() {
	if c.cmd.ProcessState != nil {
		return
	}
	c.wake()
	_ = c.stdin.Close() // it may have ended
	late := time.AfterFunc(5*time.Second, func() { _ = c.cmd.Process.Kill() })
	defer late.Stop()
	_ = c.cmd.Wait()
}

// benchChild serves what a benchmark needs, and prints its address.
func (p *program) benchChild(ctx context.Context, args []string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ends with the process
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	log := telemetry.NewLogger(p.stderr, telemetry.LogConfig{Level: "error", Format: "text"})
	if len(args) == 1 && args[0] == "kafka" {
		return p.serveKafka(ctx, log)
	}
	if len(args) == 1 && args[0] == "s3" {
		return p.serveS3(ctx, log)
	}
	if len(args) == 3 && args[0] == "arrow" {
		d, err := time.ParseDuration(args[2])
		if err != nil {
			return err
		}
		return p.serveArrow(ctx, args[1], d)
	}
	if len(args) == 2 && args[0] == "duckdb" {
		return p.serveDuckDB(ctx, args[1])
	}
	if len(args) == 3 {
		stop, err := profileCPU(args[2])
		if err != nil {
			return err
		}
		defer stop()
		args = args[:2]
	}
	if len(args) != 2 {
		return errors.New("bench child: kafka, s3, arrow FOLDER DURATION, duckdb FOLDER, bare BROKER or ingest BROKER, and the file of a profile")
	}
	kc := kafka.DefaultConfig()
	kc.Brokers, kc.Topics.Partitions, kc.Topics.Replication = []string{args[1]}, 4, 1
	cl, err := kafka.NewClient(kc, log)
	if err != nil {
		return err
	}
	defer cl.Close()
	// Both begin with topics that are there.
	if err := kafka.EnsureTopics(ctx, kc, cl, kc.EventsTopic(), kc.RejectedTopic()); err != nil {
		return err
	}
	if args[0] == "ingest" {
		return p.serveIngest(ctx, kc)
	}
	return p.serveBare(ctx, kc)
}

// serveKafka serves the broker as millstream dev does, on disk: kept in memory,
// its log is copied to a larger place each time that it doubles, and nobody is
// answered while that goes on.
func (p *program) serveKafka(ctx context.Context, log *slog.Logger) error {
	dir, err := os.MkdirTemp("", "millstream-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a folder of nobody's
	k, err := local.NewKafka(local.KafkaConfig{Listen: "127.0.0.1:0", Dir: dir}, log)
	if err != nil {
		return err
	}
	defer k.Close()
	fmt.Fprintln(p.stdout, k.Addr())
	<-ctx.Done()
	return nil
}

// serveS3 serves the store as millstream dev does.
func (p *program) serveS3(ctx context.Context, log *slog.Logger) error {
	dir, err := os.MkdirTemp("", "millstream-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a folder of nobody's
	s, err := local.NewS3(local.S3Config{Listen: "127.0.0.1:0", Dir: dir}, log)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }() // its folder goes
	fmt.Fprintln(p.stdout, strings.TrimPrefix(s.URL(), "http://"))
	<-ctx.Done()
	return nil
}

func (p *program) serveIngest(ctx context.Context, kc kafka.Config) error {
	log := telemetry.NewLogger(p.stderr, telemetry.LogConfig{Level: "error", Format: "text"})
	cfg := ingest.DefaultConfig()
	cfg.Listen, cfg.Sources, cfg.Timeouts.DrainDelay, cfg.Timeouts.DrainTimeout = "127.0.0.1:0", ingest.DevSources(), 0, time.Second
	dir, err := os.MkdirTemp("", "millstream-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a folder of nobody's
	cfg.DataDir = dir
	reg := prometheus.NewRegistry()
	s, err := ingest.New(cfg, ingest.Deps{Kafka: kc, Log: log, Registry: reg, Health: telemetry.NewHealth()})
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- s.Run(ctx) }()
	// Before it has seen its topics it spools, and that is measured on its own.
	for s.Check(ctx).State != telemetry.StateReady {
		select {
		case err := <-served:
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
	fmt.Fprintln(p.stdout, s.Addr())
	err = <-served
	fmt.Fprintln(p.stdout, counted(reg, "millstream_ingest_spool_frames_total"))
	return err
}

// counted is the value of a counter without labels.
func counted(reg prometheus.Gatherer, name string) int64 {
	families, err := reg.Gather()
	if err != nil {
		return 0
	}
	for _, f := range families {
		if f.GetName() == name {
			return int64(f.GetMetric()[0].GetCounter().GetValue())
		}
	}
	return 0
}

// profileCPU profiles this process until the returned function is called.
func profileCPU(file string) (stop func(), err error) {
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close() // a profile that was cut does not open
	}, nil
}

func (p *program) serveBare(ctx context.Context, kc kafka.Config) error {
	log := telemetry.NewLogger(p.stderr, telemetry.LogConfig{Level: "warn", Format: "text"})
	h, stop, err := bench.Bare(kc, log)
	if err != nil {
		return err
	}
	defer stop()
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintln(p.stdout, ln.Addr())
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = srv.Close() }) // nothing is in flight when the load has ended
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
