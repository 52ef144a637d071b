package main

import (
	"strings"
	"testing"
)

func TestLoaderNamesItsCommands(t *testing.T) {
	t.Parallel()
	_, _, err := run(t, nil, "loader", "relaod", "--target", "app.tracks")
	if err == nil || !strings.Contains(err.Error(), `loader: unknown "relaod"; there are reload, retry, skip`) {
		t.Error(err)
	}
}
