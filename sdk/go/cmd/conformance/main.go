// Command conformance does with the SDK what a case of sdk/conformance says and prints what came of it: one JSON object on
// stdin or in the file after --input, one line of JSON on stdout. sdk/conformance/FORMAT.md says what they hold.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

func main() {
	out, err := run(os.Args[1:], os.Stdin)
	if err == nil {
		_, err = os.Stdout.Write(out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1) //nolint:forbidigo // main
	}
}

func run(args []string, stdin io.Reader) ([]byte, error) {
	text, err := read(args, stdin)
	if err != nil {
		return nil, err
	}
	var in input
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&in); err != nil {
		return nil, fmt.Errorf("read the input: %w", err)
	}
	r := &runner{in: in, refused: map[string]int{}, told: make(chan struct{}, 1)}
	if err := r.steps(); err != nil {
		return nil, err
	}
	return r.output()
}

func read(args []string, stdin io.Reader) ([]byte, error) {
	switch {
	case len(args) == 0:
		return io.ReadAll(stdin)
	case len(args) == 2 && args[0] == "--input":
		return os.ReadFile(args[1])
	}
	return nil, fmt.Errorf("arguments %q: give none, or --input FILE", args)
}

// input is FORMAT.md's.
type input struct {
	WriteKey string `json:"writeKey"`
	APIHost  string `json:"apiHost"`
	Config   config `json:"config"`
	Fixed    struct {
		Now        string `json:"now"`
		MessageIDs bool   `json:"messageIds"`
	} `json:"fixed"`
	Sequences []step `json:"sequences"`
}

type config struct {
	FlushAt         int      `json:"flushAt"`
	FlushInterval   int64    `json:"flushInterval"`
	BatchEvents     int      `json:"batchEvents"`
	BatchBytes      int      `json:"batchBytes"`
	QueueEvents     int      `json:"queueEvents"`
	QueueBytes      int      `json:"queueBytes"`
	Overflow        string   `json:"overflow"`
	BlockTimeout    int64    `json:"blockTimeout"`
	Timeout         int64    `json:"timeout"`
	MaxRetries      *int     `json:"maxRetries"`
	BackoffBase     int64    `json:"backoffBase"`
	BackoffMax      int64    `json:"backoffMax"`
	RetryAfterScale *float64 `json:"retryAfterScale"`
	MaxAge          int64    `json:"maxAge"`
	Gzip            *bool    `json:"gzip"`
	SpoolDir        string   `json:"spoolDir"`
	SpoolFsync      string   `json:"spoolFsync"`
	SpoolBytes      int64    `json:"spoolBytes"`
	Consent         string   `json:"consent"`
	Middleware      []string `json:"middleware"`
	Callback        string   `json:"callback"`
	CallbackMS      int64    `json:"callbackMs"`
}

// step is one element of sequences: exactly one of its actions is set.
type step struct {
	DelayMS int64 `json:"delayMs"`

	Events  []map[string]any `json:"events"`
	Repeat  *int             `json:"repeat"`
	Threads int              `json:"threads"`
	Mutate  bool             `json:"mutate"`

	Await      *int            `json:"await"`
	Timeout    int64           `json:"timeout"`
	Flush      *int64          `json:"flush"`
	Close      *int64          `json:"close"`
	Times      int             `json:"times"`
	Send       map[string]any  `json:"send"`
	Consent    string          `json:"consent"`
	Categories map[string]bool `json:"categories"`
	Crash      bool            `json:"crash"`
}
