package ingest

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/telemetry"
)

// Check says whether events can be made durable now, and what somebody should look at.
func (s *Server) Check(context.Context) telemetry.Check {
	if s.draining.Load() {
		return telemetry.NotReady("The process is stopping.")
	}
	now := time.Now()
	why, durable := s.producer.state(now)
	if !durable {
		return telemetry.NotReady("%s Requests are answered 503 and repeated by their senders.", why)
	}
	var odd []string
	for _, sentence := range []string{why, s.sources.Load().stale, s.producer.narrow(), s.certificate.trouble(now)} {
		if sentence != "" {
			odd = append(odd, sentence)
		}
	}
	if len(odd) > 0 {
		return telemetry.Degraded("%s", strings.Join(odd, " "))
	}
	return telemetry.Ready("Kafka acknowledges.")
}

// state says in a sentence what keeps events from Kafka, and whether they are durable even so.
func (p *producer) state(now time.Time) (sentence string, durable bool) {
	if p.spool != nil {
		return p.spoolState()
	}
	why := p.away(now)
	return why, why == ""
}

// answerHealth tells load balancers what Check found, without its sentences: strangers read this. But for the reason of
// a 503, which says that Kafka is away or the disk full.
func (s *Server) answerHealth(w http.ResponseWriter, r *http.Request, id string) int {
	c := s.Check(r.Context())
	switch {
	case c.State != telemetry.StateNotReady:
		writeJSON(w, http.StatusOK, []byte(`{"status":"`+c.State.String()+`"}`))
		return http.StatusOK
	case s.draining.Load():
		return s.answerRefusal(w, refuse(codeDraining, "this process is stopping; repeat the request"), id)
	}
	return s.answerRefusal(w, refuse(codeNotDurable, c.Sentence), id)
}
