package millstream_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	millstream "github.com/millstream-data/millstream/sdk/go"
)

// ingest stands for the server.
func ingest() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"success":true}`)
	}))
}

func Example() {
	server := ingest()
	defer server.Close()

	c, err := millstream.New("WRITE_KEY", millstream.Options{Endpoint: server.URL})
	if err != nil {
		panic(err)
	}
	if err := c.Track(millstream.Track{UserID: "u1", Event: "Order Completed", Properties: millstream.Map{"total": 12.5}}); err != nil {
		fmt.Println(err) // refused: the queue is full, or the event is not one
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := c.Close(ctx); err != nil {
		fmt.Println(err) // what could not be delivered in time
	}
	fmt.Println(c.Stats().Delivered, "delivered")
	// Output: 1 delivered
}

// OnResult is told the fate of each event that a call has accepted.
func ExampleOptions_onResult() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"success":true,"rejected":[{"index":0,"messageId":"m1","code":"unplanned_event","message":"no such event in the plan"}]}`)
	}))
	defer server.Close()

	c, err := millstream.New("WRITE_KEY", millstream.Options{
		Endpoint: server.URL,
		OnResult: func(rs []millstream.Result) {
			for _, r := range rs {
				fmt.Println(r.MessageID, r.Fate, r.Code)
			}
		},
	})
	if err != nil {
		panic(err)
	}
	_ = c.Track(millstream.Track{MessageID: "m1", UserID: "u1", Event: "Odrer Completed"})
	_ = c.Track(millstream.Track{MessageID: "m2", UserID: "u1", Event: "Order Completed"})
	_ = c.Close(context.Background())
	// Output:
	// m1 rejected unplanned_event
	// m2 delivered
}

// Send is for programs that end right after, such as functions in a cloud: it waits for the event's fate.
func ExampleClient_Send() {
	server := ingest()
	defer server.Close()

	c, err := millstream.New("WRITE_KEY", millstream.Options{Endpoint: server.URL})
	if err != nil {
		panic(err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	res, err := c.Send(ctx, millstream.Identify{MessageID: "m1", UserID: "u1", Traits: millstream.Map{"plan": "pro"}})
	fmt.Println(res.MessageID, res.Fate, err)
	// Output: m1 delivered <nil>
}

// Middleware changes events, or refuses them.
func ExampleMiddleware() {
	server := ingest()
	defer server.Close()

	c, err := millstream.New("WRITE_KEY", millstream.Options{
		Endpoint: server.URL,
		Middleware: []millstream.Middleware{func(e *millstream.Event) bool {
			delete(e.Properties, "email")
			return e.Event != "Heartbeat"
		}},
	})
	if err != nil {
		panic(err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	fmt.Println(c.Track(millstream.Track{UserID: "u1", Event: "Heartbeat"}))
	// Output: millstream: middleware refused the event
}

// With a spool, what a call has accepted survives the process.
func ExampleSpool() {
	c, err := millstream.New("WRITE_KEY", millstream.Options{
		Endpoint: "https://in.example.com",
		Spool:    millstream.Spool{Dir: "/var/spool/shop", Fsync: millstream.FsyncAlways},
	})
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = c.Close(ctx) // what is not delivered by then is, by the next client with this folder
}
