// Package knob holds what the conformance program changes in the SDK and no application may.
package knob

// RetryAfterScale stretches the delay that Retry-After asks for, after its bound. It is set before the first client.
var RetryAfterScale = 1.0
