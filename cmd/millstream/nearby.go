package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// listening is what a running millstream dev tells the commands beside it, in
// its data folder: where its servers listen.
type listening struct {
	PID       int    `json:"pid"`
	Kafka     string `json:"kafka"`     // host:port
	S3        string `json:"s3"`        // URL
	Warehouse string `json:"warehouse"` // URL without password
}

func listeningFile(dataDir string) string { return filepath.Join(dataDir, "listening.json") }

// tell writes it down.
func (l listening) tell(dataDir string) error {
	body, err := json.Marshal(l)
	if err != nil {
		return err
	}
	path := listeningFile(dataDir)
	if err := os.WriteFile(path+".new", append(body, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// readListening returns what the dev of a data folder tells; ok is false if none
// runs, whatever one that was killed has left.
func readListening(dataDir string) (l listening, ok bool) {
	body, err := os.ReadFile(listeningFile(dataDir))
	if err != nil || json.Unmarshal(body, &l) != nil {
		return listening{}, false
	}
	process, err := os.FindProcess(l.PID)
	if err != nil {
		return listening{}, false
	}
	defer process.Release() //nolint:errcheck // nothing of it is kept
	err = process.Signal(syscall.Signal(0))
	return l, err == nil || errors.Is(err, os.ErrPermission)
}

// nearby returns the defaults of millstream dev where that keeps its data and no
// file is named, with the addresses of the one that runs there.
func (p *program) nearby(args []string) Config {
	named := slices.ContainsFunc(p.environ, func(e string) bool { return strings.HasPrefix(e, configVariable+"=") }) ||
		slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "--config") || strings.HasPrefix(a, "-config") })
	dev := devConfig()
	made := dev.DataDir
	if dir := dataDir(args); dir != "" {
		dev.DataDir = dir
		made = filepath.Join(dir, "redshift") // dev alone makes one
	}
	if _, err := os.Stat(made); err != nil || named {
		return defaultConfig()
	}
	dev.S3.Endpoint = "http://" + dev.Local.S3.Listen
	dev.Warehouse.Password = dev.Local.Redshift.Password
	if l, ok := readListening(dev.DataDir); ok {
		dev.Kafka.Brokers, dev.S3.Endpoint, dev.Warehouse.DSN = []string{l.Kafka}, l.S3, l.Warehouse
	}
	return dev
}

// tell has the commands beside a dev find its servers until it stops.
func (d *devServers) tell() error {
	c := d.cfg
	l := listening{PID: os.Getpid(), Kafka: c.Kafka.Brokers[0], S3: c.S3.Endpoint, Warehouse: c.Warehouse.DSN}
	if err := l.tell(c.DataDir); err != nil {
		return fmt.Errorf("tell other commands where servers listen: %w", err)
	}
	d.stack.keep("listening file", func() { _ = os.Remove(listeningFile(c.DataDir)) })
	return nil
}
