package millstream

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/millstream-data/millstream/sdk/go/internal/knob"
)

const (
	gzipFrom      = 1 << 10
	maxRetryAfter = 300 * time.Second
)

// newTransport speaks HTTP/1.1: with one batch in flight HTTP/2 gains nothing, and it sends every retry into a connection
// that has died without a word, because a time-out does not end it.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		MaxIdleConnsPerHost:   2, // the sender's, and one for Send
		IdleConnTimeout:       30 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
}

// poster holds the buffers of one sender.
type poster struct {
	plain []byte
	small bytes.Buffer
	gzip  *gzip.Writer
}

// answer is what came of a request: a status, or an error if there was none.
type answer struct {
	status   int
	wait     time.Duration // by Retry-After
	location string
	body     []byte
	err      error
}

// post makes one request of events, which are joined by commas. retry is how many went before it. The transport does
// not follow redirects.
func (c *Client) post(ctx context.Context, p *poster, events []byte, retry int) (a answer) {
	defer func() {
		if broken := recover(); broken != nil { // an application's Transport must not end the application
			a = answer{err: fmt.Errorf("transport panics: %v", broken)}
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	now := time.Now()
	if c.opts.Now != nil {
		now = c.opts.Now()
	}
	p.plain = append(appendTime(append(p.plain[:0], bodyLead...), now, false), bodyMid...)
	p.plain = append(append(p.plain, events...), bodyEnd...)
	body, zipped := p.plain, false
	if len(body) >= gzipFrom && !c.opts.DisableGzip {
		body, zipped = p.compress(body), true
	}
	lent := &loan{data: body}
	defer lent.recall()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.opts.Endpoint+"/v1/batch", lent)
	if err != nil {
		return answer{err: err}
	}
	r.ContentLength = int64(len(body))
	r.GetBody = func() (io.ReadCloser, error) { return lent.again(), nil }
	r.SetBasicAuth(c.key, "")
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", libraryName+"/"+Version)
	if zipped {
		r.Header.Set("Content-Encoding", "gzip")
	}
	if retry > 0 {
		r.Header.Set("X-Retry-Count", strconv.Itoa(retry))
	}
	return read(c.opts.Transport.RoundTrip(r))
}

func (p *poster) compress(body []byte) []byte {
	p.small.Reset()
	if p.gzip == nil {
		p.gzip, _ = gzip.NewWriterLevel(&p.small, gzip.BestSpeed) // the level exists
	} else {
		p.gzip.Reset(&p.small)
	}
	_, _ = p.gzip.Write(body) // into memory
	_ = p.gzip.Close()
	return p.small.Bytes()
}

func read(r *http.Response, err error) answer {
	if err != nil {
		return answer{err: err}
	}
	defer r.Body.Close()
	a := answer{status: r.StatusCode, wait: retryAfter(r.Header.Get("Retry-After"), time.Now()), location: r.Header.Get("Location")}
	a.body, _ = io.ReadAll(io.LimitReader(r.Body, 1<<20)) // what cannot be read changes nothing: the status counts
	return a
}

// retryAfter reads seconds or a date, at most maxRetryAfter, and adds up to a tenth.
func retryAfter(text string, now time.Time) time.Duration {
	var d time.Duration
	if seconds, err := strconv.ParseFloat(strings.TrimSpace(text), 64); err == nil && seconds > 0 {
		d = time.Duration(min(seconds, maxRetryAfter.Seconds()) * float64(time.Second))
	} else if at, err := http.ParseTime(text); err == nil {
		d = at.Sub(now)
	}
	d = min(d, maxRetryAfter)
	if d <= 0 {
		return 0
	}
	d = time.Duration(float64(d) * knob.RetryAfterScale)
	return d + time.Duration(rand.Int64N(int64(d)/10+1))
}

// rejection is an entry of rejected in an answer.
type rejection struct {
	Index     int    `json:"index"`
	MessageID string `json:"messageId"`
	Code      string `json:"code"`
	Message   string `json:"message"`
}

// rejections returns what a 200 refuses, by index. An entry that names another event is not believed.
func (a answer) rejections(id func(int) string, n int) map[int]rejection {
	if a.status != http.StatusOK || !bytes.Contains(a.body, []byte(`"rejected"`)) {
		return nil
	}
	var told struct {
		Rejected []rejection `json:"rejected"`
	}
	if json.Unmarshal(a.body, &told) != nil {
		return nil
	}
	out := map[int]rejection{}
	for _, r := range told.Rejected {
		if r.Index >= 0 && r.Index < n && names(r.MessageID, id(r.Index)) {
			out[r.Index] = r
		}
	}
	return out
}

// names reports whether told, in an answer, may stand for the event id. Either may be missing, and of an id over 255 bytes
// ingest tells a shorter form.
func names(told, id string) bool { return told == "" || id == "" || told == id || len(id) > 255 }

// message is one line about an answer that is no success.
func (a answer) message() string {
	if a.err != nil {
		return a.err.Error()
	}
	var told struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	text := fmt.Sprintf("%d %s", a.status, http.StatusText(a.status))
	if json.Unmarshal(a.body, &told) == nil && told.Code != "" {
		text += ": " + told.Code
		if told.Message != "" {
			text += ": " + told.Message
		}
	}
	return text
}

// loan is a request's body. A transport may read on after RoundTrip has returned, when the answer came early or ctx
// ended, but the buffer is needed for the next request: recall ends that.
type loan struct {
	mu   sync.Mutex
	data []byte
	at   int
	over bool
	more []*loan
}

func (l *loan) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return 0, http.ErrBodyReadAfterClose
	}
	if l.at == len(l.data) {
		return 0, io.EOF
	}
	n := copy(p, l.data[l.at:])
	l.at += n
	return n, nil
}

func (l *loan) Close() error { return nil }

// again returns the body from its start, for a transport that finds its kept connection gone.
func (l *loan) again() io.ReadCloser {
	l.mu.Lock()
	defer l.mu.Unlock()
	more := &loan{data: l.data, over: l.over}
	l.more = append(l.more, more)
	return more
}

func (l *loan) recall() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	for _, m := range l.more {
		m.recall()
	}
}
