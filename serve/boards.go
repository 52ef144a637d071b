package serve

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/millstream-data/millstream/internal/config"
)

// boards keeps the last good version of each board file.
type boards struct {
	dir     string
	engine  *engine
	log     *slog.Logger
	metrics *metrics

	mu    sync.Mutex // guards all below
	files map[string]*boardFile
}

type boardFile struct {
	board *Board // the last good version, nil if there was none
	hash  string // of the bytes that were read last
	set   int    // of definitions that it was checked against
	err   string // of the present version
}

// boardsEvery is how often the folder is looked at.
const boardsEvery = 5 * time.Second

var boardName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

func newBoards(dir string, e *engine, log *slog.Logger, m *metrics) *boards {
	return &boards{dir: dir, engine: e, log: log, metrics: m, files: map[string]*boardFile{}}
}

func (b *boards) watch(ctx context.Context) {
	every := time.NewTicker(boardsEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			b.read()
		}
	}
}

// check looks at the boards again because the definitions have changed.
func (b *boards) check() { b.read() }

// read takes over what has changed in the folder. A broken file keeps the version before it.
func (b *boards) read() {
	paths, err := filepath.Glob(filepath.Join(b.dir, "*.yaml"))
	if err != nil {
		b.log.Warn("boards not read", "folder", b.dir, "err", err)
		return
	}
	set := b.engine.setNo()
	b.mu.Lock()
	defer b.mu.Unlock()
	seen := map[string]bool{}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		seen[name] = true
		b.readFile(name, path, set)
	}
	broken := 0
	for name, f := range b.files {
		if !seen[name] {
			delete(b.files, name)
			b.log.Info("board removed", "board", name)
		} else if f.err != "" {
			broken++
		}
	}
	b.metrics.boards.Set(float64(len(b.files)))
	b.metrics.boardErrors.Set(float64(broken))
}

func (b *boards) readFile(name, path string, set int) {
	data, err := os.ReadFile(path)
	if err != nil {
		b.log.Warn("board not read", "board", name, "err", err)
		return
	}
	sum := sha256.Sum256(data)
	hash := hex.EncodeToString(sum[:8])
	f := b.files[name]
	if f != nil && f.hash == hash && f.set == set {
		return
	}
	if f == nil {
		f = &boardFile{}
		b.files[name] = f
	}
	f.hash, f.set = hash, set
	board, err := parseBoard(name, path, data, b.engine.lookup())
	if err != nil {
		if f.err != err.Error() {
			b.log.Warn("board is broken; the last good version stays", "board", name, "err", err)
		}
		f.err = err.Error()
		return
	}
	f.board, f.err = board, ""
}

func parseBoard(name, path string, data []byte, metrics func(string) (subject, bool)) (*Board, error) {
	board := defaultBoard()
	board.metrics = metrics
	if !boardName.MatchString(name) {
		return nil, config.Invalid(filepath.Base(path), "a board's name is lower case letters, digits, - and _")
	}
	if err := config.Decode(filepath.Base(filepath.Dir(path))+"/"+filepath.Base(path), data, &board); err != nil {
		return nil, err
	}
	board.Title = orElse(board.Title, name)
	return &board, nil
}

func (e *engine) setNo() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.reg.No
}

// lookup returns how boards learn about metrics, nil while no definitions are known.
func (e *engine) lookup() func(string) (subject, bool) {
	if e.setNo() == 0 {
		return nil
	}
	return func(name string) (subject, bool) {
		v, err := e.version(name)
		if err != nil {
			return subject{}, false
		}
		return e.subject(v), true
	}
}

func (b *boards) get(name string) (*Board, string, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.files[name]
	if f == nil {
		return nil, "", false
	}
	return f.board, f.err, true
}

// questions returns the canonical questions of a board's tiles, which is what a token for the board opens.
func (b *boards) questions(name string) []Question {
	board, _, _ := b.get(name)
	if board == nil {
		return nil
	}
	var out []Question
	for _, t := range board.Tiles {
		for _, v := range b.views(board, t) {
			if v.View != nil {
				out = append(out, *v.View)
			}
		}
	}
	return out
}

// tileView is a question of a tile and the part that it plays in it.
type tileView struct {
	Role  string      `json:"role"` // value, spark; column of a table
	Title string      `json:"title"`
	View  *Question   `json:"view,omitempty"`
	Error *faultError `json:"error,omitempty"`
}

func (b *boards) views(board *Board, t Tile) []tileView {
	kind, names, _ := t.kind()
	var out []tileView
	for _, name := range names {
		out = append(out, b.view(board, t, name, "value"))
	}
	if kind == "number" && t.Spark != "" {
		t.Grain, t.Compare = t.Spark, ""
		out = append(out, b.view(board, t, names[0], "spark"))
	}
	return out
}

func (b *boards) view(board *Board, t Tile, name, role string) tileView {
	v := tileView{Role: role, Title: name}
	if m := b.engine.titles(name); m != nil {
		v.Title = m.Title
	}
	var dims []string
	if known, err := b.engine.version(name); err == nil {
		dims = b.engine.subject(known).dims
	}
	q, err := b.engine.Resolve(board.question(t, name, dims), nil)
	if err != nil {
		v.Error = asFault(err)
		return v
	}
	v.View = &q
	return v
}

func (s *Server) listBoards(w http.ResponseWriter, _ *http.Request, who *principal) {
	type item struct {
		Name  string `json:"name"`
		Title string `json:"title"`
		Tiles int    `json:"tiles"`
		Error string `json:"error,omitempty"`
	}
	out := []item{}
	s.boards.mu.Lock()
	for _, name := range slices.Sorted(maps.Keys(s.boards.files)) {
		if !who.mayOpen(name) {
			continue
		}
		f := s.boards.files[name]
		it := item{Name: name, Title: name, Error: f.err}
		if f.board != nil {
			it.Title, it.Tiles = f.board.Title, len(f.board.Tiles)
		}
		out = append(out, it)
	}
	s.boards.mu.Unlock()
	writeJSON(w, map[string]any{"boards": out, "folder": s.cfg.Boards})
}

func (s *Server) showBoard(w http.ResponseWriter, r *http.Request, who *principal) {
	name := r.PathValue("board")
	board, broken, ok := s.boards.get(name)
	switch {
	case !ok:
		s.refuse(w, fault(codeUnknownBoard, "board", "there is no board %q; /v1/boards lists them", name))
		return
	case !who.mayOpen(name):
		s.refuse(w, fault(codeForbiddenBoard, "board", "the token does not open the board %q", name))
		return
	case board == nil:
		s.refuse(w, fault(codeUnknownBoard, "board", "the board %q is broken: %s", name, broken))
		return
	}
	type tile struct {
		Kind string `json:"kind"`
		Tile
		Views []tileView `json:"views"`
	}
	tiles := make([]tile, 0, len(board.Tiles))
	for _, t := range board.Tiles {
		kind, _, _ := t.kind()
		v := s.boards.views(board, t)
		t.Title = orElse(t.Title, v[0].Title)
		tiles = append(tiles, tile{Kind: kind, Tile: t, Views: v})
	}
	out := struct {
		Name string `json:"name"`
		*Board
		Tiles []tile `json:"tiles"`
		Error string `json:"error,omitempty"`
		Hash  string `json:"hash"`
	}{Name: name, Board: board, Tiles: tiles, Error: broken}
	sum := sha256.Sum256(mustJSON(out))
	out.Hash = hex.EncodeToString(sum[:8])
	writeJSON(w, out)
}
