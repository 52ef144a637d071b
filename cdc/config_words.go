package cdc

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Columns is one column's name, or a list of them.
type Columns []string

// String is the only name, or all of them as in a function call.
func (c Columns) String() string { return strings.Join(c, ", ") }

// UnmarshalText reads one name; a list is read as such.
func (c *Columns) UnmarshalText(text []byte) error {
	*c = nil
	if len(text) > 0 {
		*c = Columns{string(text)}
	}
	return nil
}

// MarshalText serves the reference of options.
func (c Columns) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// MarshalYAML writes what can be read back.
func (c Columns) MarshalYAML() (any, error) {
	if len(c) > 1 {
		return []string(c), nil
	}
	return c.String(), nil
}

// Share is a part of something, between 0 and 1, written as 5%.
type Share float64

// UnmarshalText reads percents.
func (s *Share) UnmarshalText(text []byte) error {
	number, percent := strings.CutSuffix(strings.TrimSpace(string(text)), "%")
	f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !percent || f != f || f <= 0 || f > 100 {
		return fmt.Errorf("must be above 0%% and at most 100%%, such as 5%% (got %q)", text)
	}
	*s = Share(f / 100)
	return nil
}

// String is what UnmarshalText reads.
func (s Share) String() string { return strconv.FormatFloat(float64(s)*100, 'g', 6, 64) + "%" }

// MarshalText also serves YAML.
func (s Share) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Window is how far a bounded strategy looks back: By for moments, or N for
// integers; only one is set.
type Window struct {
	By time.Duration
	N  int64
}

// UnmarshalText reads a duration or a whole number.
func (w *Window) UnmarshalText(text []byte) error {
	if n, err := strconv.ParseInt(string(text), 10, 64); err == nil && n > 0 {
		*w = Window{N: n}
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil || d <= 0 {
		return fmt.Errorf("must be a duration such as 24h, or a number above 0 for an integer column (got %q)", text)
	}
	*w = Window{By: d}
	return nil
}

// String is what UnmarshalText reads, or nothing where no window is set.
func (w Window) String() string {
	switch {
	case w.N > 0:
		return strconv.FormatInt(w.N, 10)
	case w.By > 0:
		return shortDuration(w.By)
	}
	return ""
}

// MarshalText also serves YAML.
func (w Window) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// Skew is a duration, or auto.
type Skew struct {
	Set bool
	By  time.Duration
}

// UnmarshalText reads auto or a duration.
func (s *Skew) UnmarshalText(text []byte) error {
	if string(text) == wordAuto {
		*s = Skew{}
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil || d < 0 {
		return fmt.Errorf("must be auto or a duration such as 60s (got %q)", text)
	}
	*s = Skew{Set: true, By: d}
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (s Skew) MarshalText() ([]byte, error) {
	if !s.Set {
		return []byte(wordAuto), nil
	}
	return []byte(s.By.String()), nil
}
