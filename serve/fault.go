package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// code is the stable name of an error that leaves the process.
type code string

const (
	codeBadRequest       code = "bad_request"
	codeUnknownMetric    code = "unknown_metric"
	codeUnknownDimension code = "unknown_dimension"
	codeBadRange         code = "bad_range"
	codeBadZone          code = "bad_zone"
	codeUnauthorized     code = "unauthorized"
	codeForbiddenMetric  code = "forbidden_metric"
	codeForbiddenBoard   code = "forbidden_board"
	codeForbiddenOrigin  code = "forbidden_origin"
	codeForbiddenHost    code = "forbidden_host"
	codeScopeMissing     code = "scope_missing"
	codeUnknownRoute     code = "unknown_route"
	codeUnknownBoard     code = "unknown_board"
	codeMethod           code = "method_not_allowed"
	codeZoneNotKept      code = "zone_not_kept"
	codeRangeNotKept     code = "range_not_kept"
	codeTooManyRows      code = "too_many_rows"
	codeTooManySubs      code = "too_many_subs"
	codeRateLimited      code = "rate_limited"
	codeOverloaded       code = "overloaded"
	codeStoreAway        code = "store_away"
	codeDraining         code = "draining"
)

var statuses = map[code]int{
	codeBadRequest: 400, codeUnknownMetric: 400, codeUnknownDimension: 400, codeBadRange: 400, codeBadZone: 400,
	codeUnauthorized: 401, codeForbiddenMetric: 403, codeForbiddenBoard: 403, codeForbiddenOrigin: 403, codeScopeMissing: 403,
	codeUnknownRoute: 404, codeUnknownBoard: 404, codeMethod: 405, codeForbiddenHost: 421,
	codeZoneNotKept: 422, codeRangeNotKept: 422, codeTooManyRows: 422,
	codeTooManySubs: 429, codeRateLimited: 429, codeOverloaded: 503, codeStoreAway: 503, codeDraining: 503,
}

// faultError is an error that its sender can act on.
type faultError struct {
	Code    code   `json:"code"`
	Message string `json:"message"`
	Field   string `json:"field,omitempty"`
}

func (f *faultError) Error() string { return string(f.Code) + ": " + f.Message }

// retry says whether the same request may succeed later.
func (f *faultError) retry() bool {
	return f.Code == codeOverloaded || f.Code == codeStoreAway || f.Code == codeDraining || f.Code == codeRateLimited
}

func fault(c code, field, format string, args ...any) *faultError {
	return &faultError{Code: c, Field: field, Message: fmt.Sprintf(format, args...)}
}

// asFault finds what may be told about err; anything else is the store's trouble and stays in the log.
func asFault(err error) *faultError {
	if f, ok := errors.AsType[*faultError](err); ok {
		return f
	}
	return fault(codeStoreAway, "", "the metric store does not answer; try again in a few seconds")
}

func writeFault(w http.ResponseWriter, f *faultError) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	status, ok := statuses[f.Code]
	if !ok {
		status = http.StatusInternalServerError
	}
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "5")
	}
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="millstream"`)
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(f)
}
