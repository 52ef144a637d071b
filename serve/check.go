package serve

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/millstream-data/millstream/internal/config"
)

// CheckBoards reads the board files of a folder as a Server does, and returns a
// sentence about them or all that is wrong with them. Whether their metrics
// exist is known only where definitions are in force, and is said there.
func CheckBoards(dir string) (string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return "", fmt.Errorf("serve.boards %s: %w", dir, err)
	}
	if len(paths) == 0 {
		return fmt.Sprintf("no boards in %s yet", dir), nil
	}
	var errs []error
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err == nil {
			b := defaultBoard()
			err = config.Decode(path, text, &b)
		}
		errs = append(errs, err)
	}
	return fmt.Sprintf("%d in %s", len(paths), dir), errors.Join(errs...)
}
