package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// sender is an application with an SDK: it numbers its events, sends them in
// batches, and repeats a batch with the same message ids until it is
// acknowledged. What it was told is durable is what Millstream is held to.
type sender struct {
	sys  *system
	name string

	mu     sync.Mutex
	acked  int // guarded by mu: events 0..acked-1 are acknowledged
	orders int // guarded by mu: of them, Order Completed
	cents  int64
}

// run sends until stop is closed and every batch is acknowledged.
func (s *sender) run(stop <-chan struct{}) {
	for n := 0; ; {
		select {
		case <-stop:
			return
		default:
		}
		body, orders, cents := s.batch(n, 10)
		for !s.send(body) {
			time.Sleep(50 * time.Millisecond) //nolint:forbidigo // an SDK's backoff, not a wait for luck
		}
		n += 10
		s.mu.Lock()
		s.acked, s.orders, s.cents = n, s.orders+orders, s.cents+cents
		s.mu.Unlock()
	}
}

func (s *sender) batch(first, n int) (body []byte, orders int, cents int64) {
	events := make([]map[string]any, n)
	for i := range events {
		k := first + i
		e := map[string]any{
			"type": "track", "event": "Page Turned", "userId": fmt.Sprintf("%s-u%d", s.name, k%17), "messageId": fmt.Sprintf("%s-%06d", s.name, k),
			"properties": map[string]any{"n": k, "plan": []string{"free", "pro", "team"}[k%3]},
		}
		if k%5 == 0 {
			amount := int64(100 + k%900)
			orders, cents = orders+1, cents+amount
			e["event"] = "Order Completed"
			e["properties"] = map[string]any{
				"order_id": k, "plan": []string{"free", "pro", "team"}[k%3], "currency": "EUR",
				"total": json.Number(fmt.Sprintf("%d.%02d", amount/100, amount%100)),
			}
		}
		events[i] = e
	}
	body, err := json.Marshal(map[string]any{"batch": events})
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return body, orders, cents
}

func (s *sender) send(body []byte) bool {
	status, answer, err := s.sys.post("/v1/batch", body)
	if err != nil {
		return false // the answer is lost: repeat
	}
	if status == http.StatusOK {
		return true
	}
	if status != http.StatusServiceUnavailable && status != http.StatusTooManyRequests {
		s.sys.tb.Errorf("a good batch was answered %d: %s", status, answer)
	}
	return false
}

func (s *sender) sent() (events, orders int, cents int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acked, s.orders, s.cents
}
