package bench

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/segmentio/encoding/json"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/kafka"
)

// Bare is the reference for ingest: a handler that reads the body, splits the
// batch and produces each event with the settings that ingest uses, and
// nothing else. No key is checked, nothing is validated, stamped or limited.
func Bare(cfg kafka.Config, log *slog.Logger) (http.Handler, func(), error) {
	cl, err := kafka.NewClient(cfg, log, kgo.RequiredAcks(kgo.AllISRAcks()), kgo.MaxBufferedRecords(1<<20),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()), kgo.ProducerLinger(5*time.Millisecond), kgo.DefaultProduceTopic(cfg.Names().Events()))
	if err != nil {
		return nil, nil, err
	}
	return bare{cl}, cl.Close, nil
}

type bare struct{ cl *kgo.Client }

func (b bare) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	events := []json.RawMessage{body}
	if r.URL.Path == "/v1/batch" {
		var batch struct {
			Batch []json.RawMessage `json:"batch"`
		}
		if err := json.Unmarshal(body, &batch); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		events = batch.Batch
	}
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex // guards errs
		errs []error
	)
	wg.Add(len(events))
	for _, e := range events {
		b.cl.Produce(r.Context(), &kgo.Record{Value: e}, func(_ *kgo.Record, err error) {
			defer wg.Done()
			if err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"success":true}`) // a client that is gone is not told
}
