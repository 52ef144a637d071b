//go:build integration

package e2e

// pageRequest is what a page's script fetches.
type pageRequest struct {
	URL     string            `json:"url"`
	Method  string            `json:"method,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    string            `json:"body,omitempty"`
	Repeat  int               `json:"repeat,omitempty"` // how often Body is sent
}

// pageAnswer is what it could read.
type pageAnswer struct {
	Status     int
	RetryAfter string
	RequestID  string
	Body       string
	Error      string
}
