package config

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Number is what can be compared with zero; time.Duration and Bytes are numbers.
type Number interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~float32 | ~float64
}

// Invalid is a problem with the key at path. The validators below return nil or such an error, so that a role's
// Validate can join them.
func Invalid(path, format string, args ...any) error {
	return &KeyError{Path: path, Problem: fmt.Sprintf(format, args...)}
}

// Positive wants v > 0.
func Positive[T Number](path string, v T) error {
	if v > 0 {
		return nil
	}
	return Invalid(path, "must be > 0 (got %v)", v)
}

// NonNegative wants v >= 0.
func NonNegative[T Number](path string, v T) error {
	if v >= 0 {
		return nil
	}
	return Invalid(path, "must be >= 0 (got %v)", v)
}

// Between wants lo <= v <= hi.
func Between[T cmp.Ordered](path string, v, lo, hi T) error {
	if lo <= v && v <= hi {
		return nil
	}
	return Invalid(path, "must be between %v and %v (got %v)", lo, hi, v)
}

// AtMost wants v <= limit, the value of the key limitPath: two keys that must fit each other.
func AtMost[T cmp.Ordered](path string, v T, limitPath string, limit T) error {
	if v <= limit {
		return nil
	}
	return Invalid(path, "must be <= %s, which is %v (got %v)", limitPath, limit, v)
}

// OneOf wants one of a list of words and names the nearest.
func OneOf[T ~string](path string, v T, allowed ...T) error {
	if slices.Contains(allowed, v) {
		return nil
	}
	words := make([]string, len(allowed))
	for i, a := range allowed {
		words[i] = string(a)
	}
	return Invalid(path, "must be %s (got %q%s)", orList(words), string(v), suggestion(string(v), words))
}

// NotEmpty wants a text; it never prints v, so that it can check a Secret.
func NotEmpty[T ~string](path string, v T) error {
	if v != "" {
		return nil
	}
	return Invalid(path, "must not be empty")
}

// NotEmptyList wants at least one element.
func NotEmptyList[T any](path string, v []T) error {
	if len(v) > 0 {
		return nil
	}
	return Invalid(path, "must have at least one element")
}

// ListenAddr wants host:port to listen on. Port 0 is any free port, no host all interfaces.
func ListenAddr(path, v string) error { return address(path, v, 0, "127.0.0.1:8080") }

// HostPort wants host:port to connect to.
func HostPort(path, v string) error {
	if strings.HasPrefix(v, ":") {
		return Invalid(path, "must have a host before the port (got %q)", v)
	}
	return address(path, v, 1, "kafka.example.com:9092")
}

func address(path, v string, lowest int, example string) error {
	_, port, err := net.SplitHostPort(v)
	if err != nil {
		return Invalid(path, "must be host:port, such as %s (got %q)", example, v)
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < lowest || n > 65535 {
		return Invalid(path, "must have a port between %d and 65535 (got %q)", lowest, v)
	}
	return nil
}

// BaseURL wants an absolute http or https URL, or nothing.
func BaseURL(path, v string) error {
	if v == "" {
		return nil
	}
	u, err := url.Parse(v)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return Invalid(path, "must be a URL such as https://in.example.com (got %q)", v)
	}
	return nil
}

// orList writes "a, b or c".
func orList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
