package conformance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a program may take for one input; nothing in cases/ asks for a third of it, but a machine may be busy.
const patience = 3 * time.Minute

// output is what a program writes.
type output struct {
	ID             string          `json:"id"`
	Success        bool            `json:"success"`
	Error          *string         `json:"error"`
	Refused        map[string]int  `json:"refused"`
	Results        []result        `json:"results"`
	Flushes        []flushed       `json:"flushes"`
	Closes         []flushed       `json:"closes"`
	Sends          []result        `json:"sends"`
	Stats          map[string]any  `json:"stats"`
	PeakQueueBytes float64         `json:"peakQueueBytes"`
	SlowestCallMS  float64         `json:"slowestCallMs"`
	Leaks          int             `json:"leaks"`
	Evals          []any           `json:"evals"`
	Storage        json.RawMessage `json:"storage"`
	Stored         int             `json:"stored"`
	Heaps          []int           `json:"heaps"`

	resident int // the most memory that the process had, in bytes
}

type result struct {
	MessageID string  `json:"messageId"`
	Fate      string  `json:"fate"`
	Code      string  `json:"code"`
	Attempts  int     `json:"attempts"`
	MS        float64 `json:"ms"`
}

type flushed struct {
	OK      bool    `json:"ok"`
	MS      float64 `json:"ms"`
	Queued  int     `json:"queued"`
	Spooled int     `json:"spooled"`
}

// programs starts the SDKs' programs. The browser's takes many inputs in one Chromium.
type programs struct {
	dir string // what is built for this run of the tests

	buildGo func() (string, error)

	mu      sync.Mutex
	browser *browser // guarded by mu
}

func newPrograms(dir string) *programs {
	p := &programs{dir: dir}
	p.buildGo = sync.OnceValues(func() (string, error) {
		binary := filepath.Join(dir, "conformance-go")
		cmd := exec.CommandContext(context.Background(), "go", "build", "-o", binary, "./cmd/conformance")
		cmd.Dir = filepath.Join("..", "go")
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build sdk/go/cmd/conformance: %w\n%s", err, out)
		}
		return binary, nil
	})
	return p
}

// run gives in to the program of an SDK and returns what it wrote.
func (p *programs) run(ctx context.Context, sdk string, in input) (output, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	switch sdk {
	case "browser":
		b, err := p.chromium()
		if err != nil {
			return output{}, err
		}
		return b.run(ctx, in)
	case "go":
		binary, err := p.buildGo()
		if err != nil {
			return output{}, err
		}
		return once(ctx, in, binary)
	case "node":
		return once(ctx, in, "node", "../js/conformance/node.mjs")
	case "python":
		return once(ctx, in, "python3", "../python/conformance.py")
	}
	panic("BUG: no SDK is called " + sdk)
}

// once runs a program that takes one input.
func once(ctx context.Context, in input, name string, args ...string) (output, error) {
	raw, err := json.Marshal(in)
	if err != nil {
		return output{}, err
	}
	cmd := exec.CommandContext(ctx, name, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(raw), &stdout, &stderr
	cmd.Env = direct()
	cmd.WaitDelay = time.Second
	resident, err := watch(cmd)
	if err != nil {
		return output{}, fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, tail(stderr.String()))
	}
	line := bytes.TrimRight(stdout.Bytes(), "\n")
	out, err := parseOutput(line)
	if err != nil {
		return output{}, fmt.Errorf("%w\n%s", err, tail(stderr.String()))
	}
	out.resident = resident
	return out, nil
}

// watch runs cmd, and returns the most memory that its process had.
func watch(cmd *exec.Cmd) (resident int, err error) {
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	ended := make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() { resident = largest(cmd.Process.Pid, ended) })
	err = cmd.Wait()
	close(ended)
	looking.Wait()
	return resident, err
}

// direct is the environment without a proxy: everything is on this machine.
func direct() []string {
	return append(os.Environ(), "NO_PROXY=127.0.0.1,localhost", "no_proxy=127.0.0.1,localhost", "PYTHONDONTWRITEBYTECODE=1")
}

func parseOutput(line []byte) (output, error) {
	if bytes.ContainsRune(line, '\n') {
		return output{}, fmt.Errorf("stdout holds %d lines, and should be one of JSON:\n%s", bytes.Count(line, []byte("\n"))+1, tail(string(line)))
	}
	var out output
	if err := json.Unmarshal(line, &out); err != nil {
		return output{}, fmt.Errorf("stdout is no output: %w: %s", err, tail(string(line)))
	}
	if out.Error != nil {
		return out, errors.New("the program says: " + *out.Error)
	}
	return out, nil
}

// tail is the end of a text, as much as a person reads.
func tail(s string) string {
	if len(s) > 3000 {
		return "… " + s[len(s)-3000:]
	}
	return s
}

// browser is the browser's program with the inputs that wait for its answers.
type browser struct {
	cmd    *exec.Cmd
	stderr *bytes.Buffer
	room   chan struct{} // four at a time

	mu      sync.Mutex
	in      io.WriteCloser
	waiting map[string]chan []byte // guarded by mu, as all below
	last    int
	ended   error
}

func (p *programs) chromium() (*browser, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.browser != nil && !p.browser.gone() {
		return p.browser, nil
	}
	b := &browser{
		cmd:    exec.CommandContext(context.Background(), "node", "../js/conformance/browser.mjs", "--lines"),
		stderr: &bytes.Buffer{}, room: make(chan struct{}, 4), waiting: map[string]chan []byte{},
	}
	b.cmd.Stderr, b.cmd.Env = b.stderr, direct()
	var err error
	if b.in, err = b.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	lines, err := b.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := b.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start node: %w", err)
	}
	go b.read(lines)
	p.browser = b
	return b, nil
}

// read hands each line to the input that it answers, until the program ends.
func (b *browser) read(lines io.Reader) {
	r := bufio.NewReaderSize(lines, 1<<20)
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			break
		}
		var head struct {
			ID string `json:"id"`
		}
		_ = json.Unmarshal(line, &head)
		b.mu.Lock()
		if ch := b.waiting[head.ID]; ch != nil {
			ch <- line
			delete(b.waiting, head.ID)
		}
		b.mu.Unlock()
	}
	err := b.cmd.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = fmt.Errorf("browser.mjs has ended: %w", errors.Join(err, errors.New(tail(b.stderr.String()))))
	for id, ch := range b.waiting {
		close(ch)
		delete(b.waiting, id)
	}
}

func (b *browser) run(ctx context.Context, in input) (output, error) {
	select {
	case b.room <- struct{}{}:
	case <-ctx.Done():
		return output{}, errors.New("no turn in Chromium came")
	}
	defer func() { <-b.room }()
	ch := make(chan []byte, 1)
	if err := b.send(in, ch); err != nil {
		return output{}, err
	}
	select {
	case line, ok := <-ch:
		if !ok {
			b.mu.Lock()
			defer b.mu.Unlock()
			return output{}, b.ended
		}
		return parseOutput(bytes.TrimRight(line, "\n"))
	case <-ctx.Done():
		return output{}, fmt.Errorf("browser.mjs has not answered within %v", patience)
	}
}

func (b *browser) send(in input, ch chan []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended != nil {
		return b.ended
	}
	b.last++
	in.ID = strconv.Itoa(b.last)
	raw, err := json.Marshal(in)
	if err != nil {
		return err
	}
	b.waiting[in.ID] = ch
	if _, err := b.in.Write(append(raw, '\n')); err != nil {
		delete(b.waiting, in.ID)
		return fmt.Errorf("write to browser.mjs: %w", err)
	}
	return nil
}

// close ends the browser's program, by the end of its input first.
func (p *programs) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.browser == nil {
		return
	}
	_ = p.browser.in.Close()
	stop := time.AfterFunc(10*time.Second, func() { _ = p.browser.cmd.Process.Kill() })
	defer stop.Stop()
	for !p.browser.gone() {
		<-time.After(20 * time.Millisecond)
	}
}

// gone says whether the program has ended.
func (b *browser) gone() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ended != nil
}

// built is where the Go program lies, and the browser's process.
var built *programs

func TestMain(m *testing.M) { os.Exit(testMain(m)) }
