package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// bench measures on this hardware. What is measured runs in processes of its
// own, so that their CPU time can be told from the load generator's:
//
//	load generator (this process) ──HTTP──▶ ingest, then the bare reference ──▶ embedded Kafka
func (p *program) bench(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("bench what? there are: bench ingest, bench batcher, bench loader, bench cdc, bench e2e")
	}
	switch args[0] {
	case "ingest":
		return p.benchIngest(ctx, args[1:])
	case "batcher":
		return p.benchBatcher(ctx, args[1:])
	case "loader":
		return p.benchLoader(ctx, args[1:])
	case "cdc":
		return p.benchCDC(ctx, args[1:])
	case "e2e":
		return p.benchPath(ctx, args[1:])
	case "child":
		return p.benchChild(ctx, args[1:])
	}
	return fmt.Errorf("bench %s: there are bench ingest, bench batcher, bench loader, bench cdc and bench e2e", args[0])
}

func writeJSON(file string, v any) error {
	if file == "" {
		return nil
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // figures are no secret
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644) //nolint:gosec // figures are no secret
}
