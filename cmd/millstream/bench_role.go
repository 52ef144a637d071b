package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/millstream-data/millstream/internal/bench"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/lake"
)

// roleProcess is a role as operators run it: a process of this binary, of which
// its admin server tells.
type roleProcess struct {
	child
	admin string
	said  bytes.Buffer  // on standard error; for when it ends badly
	ended chan struct{} // closed when the process has ended, with err
	err   error
}

// startRole starts a command of this binary with an admin server on a free port.
func startRole(ctx context.Context, command string, args ...string) (*roleProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &roleProcess{admin: ln.Addr().String(), ended: make(chan struct{})}
	if err := ln.Close(); err != nil {
		return nil, err
	}
	args = append([]string{command, "--set", "admin.listen=" + r.admin, "--set", "log.level=warn"}, args...)
	r.cmd = exec.CommandContext(ctx, self, args...)
	r.cmd.Stderr = &r.said
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { // the process ends with stop, kill or ctx
		if err := r.cmd.Wait(); err != nil {
			r.err = fmt.Errorf("millstream %s: %w: %s", command, err, r.said.Bytes())
		}
		close(r.ended)
	}()
	return r, nil
}

// stop ends the role gracefully and returns the CPU time that it took.
func (r *roleProcess) stop() (time.Duration, error) {
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	<-r.ended
	return r.cmd.ProcessState.UserTime() + r.cmd.ProcessState.SystemTime(), r.err
}

// kill ends the role if it has not ended.
func (r *roleProcess) kill() {
	_ = r.cmd.Process.Kill() // it may have ended
	<-r.ended
}

// get asks the role's admin server.
func (r *roleProcess) get(ctx context.Context, path string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.admin+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("get %s: status %d", path, resp.StatusCode), resp.Body.Close())
	}
	return resp.Body, nil
}

// metric returns the sum of a metric's series.
func (r *roleProcess) metric(ctx context.Context, name string) (sum float64, err error) {
	body, err := r.get(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	defer func() { _ = body.Close() }() // was read
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		series, value, ok := strings.Cut(lines.Text(), " ")
		if found, _, _ := strings.Cut(series, "{"); ok && found == name {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return 0, fmt.Errorf("metric %s: %w", name, err)
			}
			sum += v
		}
	}
	return sum, lines.Err()
}

func processCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// start runs millstream batcher on a lake.
func (b *batcherBench) start(ctx context.Context, l *lake.Lake) (*roleProcess, error) {
	args := append(slices.Clone(b.values), "--set", "kafka.brokers="+b.cfg.Kafka.Brokers[0], "--set", "kafka.topics.replication=1",
		"--set", "kafka.topics.partitions="+strconv.Itoa(b.cfg.Kafka.Topics.Partitions),
		"--set", "lake.prefix="+l.Paths.Prefix, "--set", "batcher.group="+l.Paths.Prefix, "--data-dir", b.scratch)
	return startRole(ctx, "batcher", args...)
}

// profileRole fetches a CPU profile of five seconds from a role that has just
// been started; the returned function waits for it.
func profileRole(ctx context.Context, role *roleProcess, file string) (wait func() error) {
	done := make(chan error, 1)
	go func() { // ends with the profile
		done <- func() error {
			for {
				body, err := role.get(ctx, "/debug/pprof/profile?seconds=5")
				if errors.Is(err, syscall.ECONNREFUSED) && ctx.Err() == nil {
					time.Sleep(50 * time.Millisecond) //nolint:forbidigo // until the role listens
					continue
				}
				if err != nil {
					return err
				}
				f, err := os.Create(file)
				if err == nil {
					_, err = io.Copy(f, body)
					err = errors.Join(err, f.Close())
				}
				return errors.Join(err, body.Close())
			}
		}()
	}()
	return func() error {
		if err := <-done; err != nil {
			return fmt.Errorf("profile of five seconds: %w; more to do takes longer", err)
		}
		return nil
	}
}

// chains follows how far the chains of the topic of events are.
type chains struct {
	l    *lake.Lake
	next map[int32]int64
	hint map[int32]int64
}

// look reads the newest commit of each chain.
func (c *chains) look(ctx context.Context, k kafka.Config) error {
	if c.hint == nil {
		c.hint = map[int32]int64{}
		c.next = map[int32]int64{}
	}
	for p := range int32(k.Topics.Partitions) { //nolint:gosec // a handful
		hint, known := c.hint[p]
		if !known {
			hint = -1
		}
		commit, ok, err := c.l.Last(ctx, lake.ChainID{Topic: k.Names().Events(), Partition: p}, hint)
		if err != nil {
			return err
		}
		if ok {
			c.hint[p] = commit.First
			c.next[p] = commit.Next
		}
	}
	return nil
}

// watch restarts the batcher, which has its windows to rebuild, and measures
// the time to the commit at half the peak.
func (b *batcherBench) watch(ctx context.Context, l *lake.Lake) error {
	role, err := b.start(ctx, l)
	if err != nil {
		return err
	}
	defer role.kill()
	var (
		peak    []float64
		samples = make(chan bench.Sample, 1<<20)
		sent    = make(chan error, 1)
	)
	for _, r := range b.report.Rounds {
		peak = append(peak, r.EventsPerS)
	}
	paced := batcherPaced{EventsPerS: median(peak) / 2, CutAge: b.cfg.Batcher.Cut.Age.String()}
	if err := b.rebuilt(ctx, role); err != nil {
		return err
	}
	go func() {
		sent <- b.backlog().Pace(ctx, paced.EventsPerS, b.paced, func(s bench.Sample) { samples <- s })
		close(samples)
	}()
	latencies, err := b.follow(ctx, l, samples)
	if err := errors.Join(<-sent, err); err != nil {
		return err
	}
	paced.Latency, paced.PeakRSS = latencies.Summarise(), role.memory("VmHWM")
	b.report.Paced = &paced
	_, err = role.stop()
	return err
}

// rebuilt sends events until every partition has said how long its window took.
func (b *batcherBench) rebuilt(ctx context.Context, role *roleProcess) error {
	for {
		if err := b.backlog().Pace(ctx, 200, time.Second, func(bench.Sample) {}); err != nil {
			return err
		}
		count, err := role.metric(ctx, "millstream_batcher_dedup_rebuild_seconds_count")
		if err != nil {
			return err
		}
		if count < float64(b.cfg.Kafka.Topics.Partitions) {
			continue
		}
		seconds, err := role.metric(ctx, "millstream_batcher_dedup_rebuild_seconds_sum")
		if err != nil {
			return err
		}
		records, err := role.metric(ctx, "millstream_batcher_dedup_window_records")
		if err != nil {
			return err
		}
		r := batcherRebuild{Records: records, Seconds: seconds / count}
		r.RecordsPerS = r.Records / r.Seconds
		b.report.Rebuild = &r
		return nil
	}
}

// follow waits until every sample is in a commit that a reader can see.
func (b *batcherBench) follow(ctx context.Context, l *lake.Lake, samples <-chan bench.Sample) (bench.Latencies, error) {
	var (
		out     bench.Latencies
		waiting []bench.Sample
		seen    = chains{l: l}
		tick    = time.NewTicker(100 * time.Millisecond)
	)
	defer tick.Stop()
	for open := true; open || len(waiting) > 0; {
		select {
		case <-ctx.Done():
			return out, ctx.Err()
		case s, ok := <-samples:
			if !ok {
				open, samples = false, nil
				continue
			}
			waiting = append(waiting, s)
			continue
		case <-tick.C:
		}
		if err := seen.look(ctx, b.cfg.Kafka); err != nil {
			return out, err
		}
		now := time.Now()
		rest := waiting[:0]
		for _, s := range waiting {
			if s.Offset < seen.next[s.Partition] {
				out = append(out, now.Sub(s.Acked))
			} else {
				rest = append(rest, s)
			}
		}
		waiting = rest
	}
	return out, nil
}
