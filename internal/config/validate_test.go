package config_test

import (
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/config"
)

func TestValidators(t *testing.T) {
	t.Parallel()
	type word string
	for want, err := range map[string]error{
		"a.b: must be > 0 (got -1)":                                                config.Positive("a.b", config.Bytes(-1)),
		"a.c: must be > 0 (got 0s)":                                                config.Positive("a.c", time.Duration(0)),
		"a.d: must be >= 0 (got -0.5)":                                             config.NonNegative("a.d", -0.5),
		"a.e: must be between 1s and 1m0s (got 2m0s)":                              config.Between("a.e", 2*time.Minute, time.Second, time.Minute),
		"a.f: must be <= a.max, which is 1MiB (got 2MiB)":                          config.AtMost("a.f", 2*config.MiB, "a.max", config.MiB),
		`a.g: must be x, y or z (got "w"; did you mean x?)`:                        config.OneOf[word]("a.g", "w", "x", "y", "z"),
		`a.h: must be snappy or zstd (got "lz4")`:                                  config.OneOf("a.h", "lz4", "snappy", "zstd"),
		"a.i: must not be empty":                                                   config.NotEmpty("a.i", config.Secret("")),
		"a.j: must have at least one element":                                      config.NotEmptyList("a.j", []int{}),
		`a.k: must be host:port, such as 127.0.0.1:8080 (got "8080")`:              config.ListenAddr("a.k", "8080"),
		`a.l: must have a port between 0 and 65535 (got ":65536")`:                 config.ListenAddr("a.l", ":65536"),
		`a.m: must have a port between 1 and 65535 (got "k:0")`:                    config.HostPort("a.m", "k:0"),
		`a.n: must have a host before the port (got ":9092")`:                      config.HostPort("a.n", ":9092"),
		`a.o: must be a URL such as https://in.example.com (got "in.example.com")`: config.BaseURL("a.o", "in.example.com"),
		"a.p: must end": config.Invalid("a.p", "must %s", "end"),
	} {
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	for i, err := range []error{
		config.Positive("a", config.KiB), config.NonNegative("a", 0), config.Between("a", 1, 1, 1), config.AtMost("a", 1, "b", 1),
		config.OneOf("a", "x", "x"), config.NotEmpty("a", "x"), config.NotEmptyList("a", []int{1}),
		config.ListenAddr("a", ":0"), config.ListenAddr("a", "[::1]:80"), config.HostPort("a", "kafka:9092"),
		config.BaseURL("a", ""), config.BaseURL("a", "http://127.0.0.1:8080/x"),
	} {
		if err != nil {
			t.Errorf("case %d: %v", i, err)
		}
	}
}
