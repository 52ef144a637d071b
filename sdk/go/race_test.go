//go:build race

package millstream

const raceEnabled = true
