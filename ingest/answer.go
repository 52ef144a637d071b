package ingest

import (
	"net/http"
	"strconv"
	"time"

	"github.com/millstream-data/millstream/internal/event"
)

// refusal is an answer to a request that is not carried out.
type refusal struct {
	code    string
	message string
	gone    bool          // the client has left before the end of its body
	as      int           // the status, where it is not the code's own
	wait    time.Duration // until a repetition makes sense, where the code does not say it
	key     string        // fingerprint of the write key, where that is what is refused
	source  string        // that the key is of, if any
}

// Codes of refused requests; those of refused events are event.Code.
const (
	codeEmptyBody      = "empty_body"
	codeInvalidJSON    = "invalid_json"
	codeNoBatch        = "no_batch"
	codeBadEncoding    = "bad_encoding"
	codeMissingKey     = "missing_write_key"
	codeUnknownKey     = "unknown_write_key"
	codeExpiredKey     = "expired_write_key"
	codeSourceDisabled = "source_disabled"
	codeOriginDenied   = "origin_denied"
	codeUnknownRoute   = "unknown_route"
	codeMethod         = "method_not_allowed"
	codeBodyTimeout    = "body_timeout"
	codeBodyTooLarge   = "body_too_large"
	codeTooManyEvents  = "too_many_events"
	codeInternal       = "internal"
	codeOverloaded     = "overloaded"
	codeNotDurable     = "not_durable"
	codeSpoolFull      = "spool_full"
	codeDraining       = "draining"
	codeKeysStale      = "keys_stale"
	codeRateLimited    = "rate_limited"
)

func refuse(code, message string) *refusal { return &refusal{code: code, message: message} }

// status is the one HTTP status of the code: SDKs act on the status alone, so it decides whether events survive.
func (r *refusal) status() int {
	if r.as != 0 {
		return r.as
	}
	switch r.code {
	case codeMissingKey, codeUnknownKey, codeExpiredKey:
		return http.StatusUnauthorized
	case codeSourceDisabled, codeOriginDenied, codeServerKeyRequired:
		return http.StatusForbidden
	case codeUnknownRoute, codeUnknownRejection:
		return http.StatusNotFound
	case codeMethod:
		return http.StatusMethodNotAllowed
	case codeBodyTimeout:
		return http.StatusRequestTimeout
	case codeBodyTooLarge, codeTooManyEvents:
		return http.StatusRequestEntityTooLarge
	case codeRateLimited:
		return http.StatusTooManyRequests
	case codeInternal:
		return http.StatusInternalServerError
	case codeOverloaded, codeNotDurable, codeSpoolFull, codeDraining, codeKeysStale, codeKafkaAway:
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest // and all codes of events
}

// retryAfter is how long a sender should wait, or 0 where the answer does not depend on time.
func (r *refusal) retryAfter() time.Duration {
	if r.wait > 0 {
		return min(r.wait, 300*time.Second)
	}
	switch r.code {
	case codeOverloaded, codeDraining:
		return time.Second
	case codeNotDurable, codeKafkaAway:
		return 5 * time.Second
	case codeSpoolFull, codeKeysStale:
		return 30 * time.Second
	}
	return 0
}

// recorded says whether the refusal leaves a dead letter: what a retry cannot mend, and strangers cannot cause.
func (r *refusal) recorded() bool {
	switch r.status() {
	case http.StatusBadRequest, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge:
		return !r.gone
	}
	return false
}

// append writes the body of the answer.
func (r *refusal) append(dst []byte, requestID string) []byte {
	dst = append(append(append(dst, `{"success":false,"code":"`...), r.code...), `","message":`...)
	dst = appendQuoted(dst, []byte(r.message))
	dst = append(append(append(dst, `,"error":"`...), r.code...), `","requestId":`...)
	return append(appendQuoted(dst, []byte(requestID)), '}')
}

// maxListed bounds the refused events that an answer lists.
const maxListed = 1000

// refused is an event that was refused, for the answer and for its dead letter.
type refused struct {
	at        int
	code      event.Code
	message   string
	messageID []byte // unescaped; nil if there is none
}

// appendResult writes the answer to a batch of which something is to be told.
func appendResult(dst []byte, accepted, duplicates int, list []refused) []byte {
	dst = strconv.AppendInt(append(dst, `{"success":true,"accepted":`...), int64(accepted), 10)
	if duplicates > 0 {
		dst = strconv.AppendInt(append(dst, `,"duplicates":`...), int64(duplicates), 10)
	}
	if len(list) == 0 {
		return append(dst, '}')
	}
	dst = append(dst, `,"rejected":[`...)
	for i, r := range list[:min(len(list), maxListed)] {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(append(dst, `{"index":`...), int64(r.at), 10)
		if r.messageID != nil {
			dst = appendQuoted(append(dst, `,"messageId":`...), r.messageID)
		}
		dst = append(append(append(dst, `,"code":"`...), r.code...), `","message":`...)
		dst = append(appendQuoted(dst, []byte(r.message)), '}')
	}
	dst = append(dst, ']')
	if len(list) > maxListed {
		dst = strconv.AppendInt(append(dst, `,"rejectedTotal":`...), int64(len(list)), 10)
	}
	return append(dst, '}')
}

// Values of headers that every answer shares; net/http does not change them.
var (
	headerJSON      = []string{"application/json"}
	headerAnyOrigin = []string{"*"}
	headerExposed   = []string{"Retry-After, X-RateLimit-Reset, X-Request-Id"}
	headerNoStore   = []string{"no-store"}
	headerClose     = []string{"close"}
	bodySuccess     = []byte(`{"success":true}`)
)

// cors lets a browser's SDK read the answer: what it may not read it takes for a failure of the network, and repeats.
func cors(h http.Header) {
	h["Access-Control-Allow-Origin"] = headerAnyOrigin
	h["Access-Control-Expose-Headers"] = headerExposed
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["Content-Type"] = headerJSON
	h["Cache-Control"] = headerNoStore
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client has gone: what was acknowledged stays so, and its SDK repeats the request
}
