package telemetry

import (
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Build says which code runs.
type Build struct {
	Version   string // v1.2.0, or devel
	Revision  string // the commit, with +dirty after it if there were changes; unknown without version control
	GoVersion string
}

// ReadBuild returns what the linker noted.
func ReadBuild() Build {
	b := Build{Version: "devel", Revision: "unknown", GoVersion: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
	}
	dirty := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && s.Value != "":
			b.Revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+dirty"
		}
	}
	b.Revision += dirty
	return b
}

// NewRegistry returns a registry with the metrics that every process has.
func NewRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	b := ReadBuild()
	promauto.With(reg).NewGaugeVec(prometheus.GaugeOpts{
		Name: "millstream_build_info",
		Help: "Always 1; its labels say which code runs.",
	}, []string{"version", "revision", "goversion"}).WithLabelValues(b.Version, b.Revision, b.GoVersion).Set(1)
	return reg
}
