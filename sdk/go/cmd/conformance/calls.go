package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"sync"
	"time"

	millstream "github.com/millstream-data/millstream/sdk/go"
)

// events makes the calls of a step, in each of its threads.
func (r *runner) events(s step) error {
	repeat := 1
	if s.Repeat != nil {
		repeat = *s.Repeat
	}
	if s.Threads == 0 {
		err := r.thread(s, repeat, r.calls)
		r.calls += repeat * len(s.Events)
		return err
	}
	errs := make([]error, s.Threads)
	var wait sync.WaitGroup
	for i := range errs {
		wait.Add(1)
		go func() {
			defer wait.Done()
			errs[i] = r.thread(s, repeat, 0)
		}()
	}
	wait.Wait()
	return errors.Join(errs...)
}

func (r *runner) thread(s step, repeat, number int) error {
	every := 1
	if repeat*len(s.Events) > 1000 {
		every = 10
	}
	for range repeat {
		for _, e := range s.Events {
			number++
			m, maps, err := message(e, number)
			if err != nil {
				return err
			}
			begun := time.Now()
			refusal := r.client.Enqueue(m)
			r.called(refusal, time.Since(begun), number%every == 0)
			if s.Mutate {
				for _, m := range maps {
					mutate(m)
				}
			}
		}
	}
	return nil
}

func (r *runner) called(refusal error, took time.Duration, look bool) {
	bytes := 0
	if look {
		bytes = r.client.Stats().QueuedBytes
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if refusal != nil {
		r.refused[reason(refusal)]++
	}
	r.slowest = max(r.slowest, took)
	r.peak = max(r.peak, bytes)
}

func reason(err error) string {
	var invalid *millstream.InvalidError
	for refusal, reason := range map[error]string{
		millstream.ErrQueueFull: millstream.ReasonQueueFull, millstream.ErrSpoolFull: millstream.ReasonSpoolFull,
		millstream.ErrTooLarge: millstream.ReasonTooLarge, millstream.ErrClosed: millstream.ReasonClosed,
		millstream.ErrConsent: millstream.ReasonConsent, millstream.ErrMiddleware: millstream.ReasonMiddleware,
	} {
		if errors.Is(err, refusal) {
			return reason
		}
	}
	if errors.As(err, &invalid) {
		return millstream.ReasonInvalid
	}
	return err.Error()
}

func (r *runner) send(s step) error {
	r.calls++
	m, _, err := message(s.Send, r.calls)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), ms(s.Timeout))
	defer cancel()
	begun := time.Now()
	res, _ := r.client.Send(ctx, m) // its error says what the result says
	out := plain(res)
	took := since(begun)
	out.MS = &took
	r.sends = append(r.sends, out)
	return nil
}

// message builds the call that e describes, and returns the maps in it for mutate.
func message(e map[string]any, number int) (millstream.Message, []millstream.Map, error) {
	text := func(name string) string { s, _ := e[name].(string); return s }
	var err error
	var maps []millstream.Map
	object := func(name string) millstream.Map {
		v, bad := value(e[name], number)
		err = errors.Join(err, bad)
		m, _ := v.(map[string]any)
		if m != nil && name != "integrations" {
			maps = append(maps, m)
		}
		return m
	}
	track := millstream.Track{
		MessageID: text("messageId"), UserID: text("userId"), AnonymousID: text("anonymousId"), Event: text("event"),
		Properties: object("properties"), Context: object("context"), Integrations: object("integrations"),
	}
	if at := text("timestamp"); at != "" {
		var bad error
		track.Timestamp, bad = time.Parse(time.RFC3339, at)
		err = errors.Join(err, bad)
	}
	page := millstream.Page{
		MessageID: track.MessageID, UserID: track.UserID, AnonymousID: track.AnonymousID, Name: text("name"), Category: text("category"),
		Timestamp: track.Timestamp, Properties: track.Properties, Context: track.Context, Integrations: track.Integrations,
	}
	identify := millstream.Identify{
		MessageID: track.MessageID, UserID: track.UserID, AnonymousID: track.AnonymousID, Traits: object("traits"),
		Timestamp: track.Timestamp, Context: track.Context, Integrations: track.Integrations,
	}
	if err != nil {
		return nil, nil, err
	}
	switch text("type") {
	case "track":
		return track, maps, nil
	case "page":
		return page, maps, nil
	case "screen":
		return millstream.Screen(page), maps, nil
	case "identify":
		return identify, maps, nil
	case "group":
		return millstream.Group{
			MessageID: track.MessageID, UserID: track.UserID, AnonymousID: track.AnonymousID, GroupID: text("groupId"),
			Timestamp: track.Timestamp, Traits: identify.Traits, Context: track.Context, Integrations: track.Integrations,
		}, maps, nil
	case "alias":
		return millstream.Alias{
			MessageID: track.MessageID, UserID: track.UserID, AnonymousID: track.AnonymousID, PreviousID: text("previousId"),
			Timestamp: track.Timestamp, Context: track.Context, Integrations: track.Integrations,
		}, maps, nil
	}
	return nil, nil, fmt.Errorf("type %q is unknown", text("type"))
}

// mutate adds to m and to what lies directly in it.
func mutate(m millstream.Map) {
	for k, v := range m {
		switch v := v.(type) {
		case map[string]any:
			v["mutated"] = true
		case []any:
			if len(v) > 0 {
				v[0] = "mutated" // a longer slice would be another one
			}
			m[k] = append(v, "mutated")
		}
	}
	m["mutated"] = true
}

// value turns what the input says into what an application would pass.
func value(v any, number int) (any, error) {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 1 {
			for name, arg := range v {
				if strings.HasPrefix(name, "$") {
					return escape(name, arg, number)
				}
			}
		}
		out := make(map[string]any, len(v))
		for k, e := range v {
			var err error
			if out[k], err = value(e, number); err != nil {
				return nil, err
			}
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			var err error
			if out[i], err = value(e, number); err != nil {
				return nil, err
			}
		}
		return out, nil
	case json.Number:
		if n, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return n, nil
		}
		return v.Float64()
	}
	return v, nil
}

func escape(name string, arg any, number int) (any, error) {
	text, _ := arg.(string)
	switch name {
	case "$int":
		return integer(text)
	case "$decimal":
		return json.Number(text), nil
	case "$float":
		return strconv.ParseFloat(text, 64)
	case "$time":
		return time.Parse(time.RFC3339, text)
	case "$repeat":
		if l, _ := arg.([]any); len(l) == 2 {
			unit, _ := l[0].(string)
			n, err := strconv.Atoi(fmt.Sprint(l[1]))
			return strings.Repeat(unit, n), err
		}
	case "$n":
		return number, nil
	case "$cycle":
		m := map[string]any{}
		m["self"] = m
		return m, nil
	case "$depth":
		n, err := strconv.Atoi(fmt.Sprint(arg))
		m := map[string]any{}
		for ; n > 1; n-- {
			m = map[string]any{"d": m}
		}
		return m, err
	case "$func":
		return func() {}, nil
	}
	return nil, fmt.Errorf("escape %s of %v is unknown", name, arg)
}

func integer(text string) (any, error) {
	n, ok := new(big.Int).SetString(text, 10)
	switch {
	case !ok:
		return nil, fmt.Errorf("$int %q is no integer", text)
	case n.IsInt64():
		return n.Int64(), nil
	case n.IsUint64():
		return n.Uint64(), nil
	}
	return n, nil
}
