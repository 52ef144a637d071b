// Command go sends calls with analytics-go v3. See ../README.md.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/segmentio/analytics-go/v3"
)

type spec struct {
	ID        string `json:"id"`
	Host      string `json:"host"`
	WriteKey  string `json:"writeKey"`
	Mode      string `json:"mode"`
	TimeoutMS int    `json:"timeoutMs"`
	Calls     []call `json:"calls"`
}

// call keeps numbers as text, so that large ones arrive as they were written.
type call struct {
	Type, UserID, AnonymousID, Event, Name, GroupID, PreviousID string
	Properties, Traits                                          map[string]any
}

func (c call) message() (analytics.Message, error) {
	switch c.Type {
	case "track":
		return analytics.Track{UserId: c.UserID, AnonymousId: c.AnonymousID, Event: c.Event, Properties: c.Properties}, nil
	case "identify":
		return analytics.Identify{UserId: c.UserID, AnonymousId: c.AnonymousID, Traits: c.Traits}, nil
	case "page":
		return analytics.Page{UserId: c.UserID, AnonymousId: c.AnonymousID, Name: c.Name, Properties: c.Properties}, nil
	case "screen":
		return analytics.Screen{UserId: c.UserID, AnonymousId: c.AnonymousID, Name: c.Name, Properties: c.Properties}, nil
	case "group":
		return analytics.Group{UserId: c.UserID, AnonymousId: c.AnonymousID, GroupId: c.GroupID, Traits: c.Traits}, nil
	case "alias":
		return analytics.Alias{UserId: c.UserID, PreviousId: c.PreviousID}, nil
	}
	return nil, fmt.Errorf("call %q: unknown type", c.Type)
}

// outcome counts the messages that the client has let go of.
type outcome struct {
	left   sync.WaitGroup
	mu     sync.Mutex
	errors []string // guarded by mu
}

func (o *outcome) Success(analytics.Message) { o.left.Done() }

func (o *outcome) Failure(_ analytics.Message, err error) {
	o.mu.Lock()
	o.errors = append(o.errors, err.Error())
	o.mu.Unlock()
	o.left.Done()
}

func (o *outcome) Logf(string, ...any)   {}
func (o *outcome) Errorf(string, ...any) {}

// run sends the calls and waits until the client has let go of all, for Close would drop those that wait for a retry.
func run(s spec) ([]string, error) {
	out := &outcome{errors: []string{}}
	cfg := analytics.Config{Endpoint: s.Host, Callback: out, Logger: out, BatchSize: len(s.Calls), Interval: 200 * time.Millisecond}
	if s.Mode == "single" {
		cfg.BatchSize = 1
	}
	if s.TimeoutMS > 0 {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.ResponseHeaderTimeout = time.Duration(s.TimeoutMS) * time.Millisecond
		cfg.Transport = t
	}
	// Its own backoff takes 42 s for ten attempts.
	cfg.RetryAfter = func(int) time.Duration { return 100 * time.Millisecond }
	client, err := analytics.NewWithConfig(s.WriteKey, cfg)
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", s.ID, err)
	}
	defer client.Close()
	for _, c := range s.Calls {
		m, err := c.message()
		if err != nil {
			return nil, err
		}
		out.left.Add(1)
		if err := client.Enqueue(m); err != nil {
			return nil, fmt.Errorf("run %s: %w", s.ID, err)
		}
	}
	out.left.Wait()
	return out.errors, nil
}

func main() {
	var (
		wg  sync.WaitGroup
		mu  sync.Mutex
		enc = json.NewEncoder(os.Stdout)
		in  = json.NewDecoder(bufio.NewReader(os.Stdin))
	)
	in.UseNumber()
	for {
		var s spec
		if in.Decode(&s) != nil {
			break // the end
		}
		wg.Go(func() {
			errs, err := run(s)
			answer := map[string]any{"id": s.ID, "errors": errs}
			if err != nil {
				answer["failed"] = err.Error()
			}
			mu.Lock()
			defer mu.Unlock()
			_ = enc.Encode(answer) // the reader has gone: so will this process
		})
	}
	wg.Wait()
}
