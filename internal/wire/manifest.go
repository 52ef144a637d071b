package wire

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Manifest is Redshift's list of the files of one COPY. Each file stands in it
// once: an entry listed twice is loaded twice.
type Manifest struct {
	Entries []ManifestEntry `json:"entries"`
}

// ManifestEntry is a file of a COPY.
type ManifestEntry struct {
	URL string `json:"url"` // s3://bucket/key, the whole key
	// Mandatory is always true: a missing file is otherwise skipped in silence.
	Mandatory bool         `json:"mandatory"`
	Meta      ManifestMeta `json:"meta"`
}

// ManifestMeta is what COPY of Parquet demands of each entry.
type ManifestMeta struct {
	ContentLength int64 `json:"content_length"` // the object's size in bytes
}

// Encode returns the manifest's bytes. What COPY would load twice, skip in
// silence or refuse is an error.
func (m Manifest) Encode() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	b, err := marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	return append(b, '\n'), nil
}

// DecodeManifest reads a manifest that Encode wrote; members that it does not
// know are ignored.
func DecodeManifest(b []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("decode manifest: %w", err)
	}
	if err := m.check(); err != nil {
		return m, fmt.Errorf("decode manifest: %w", err)
	}
	return m, nil
}

func (m Manifest) check() error {
	if len(m.Entries) == 0 {
		return errors.New("no entries")
	}
	seen := make(map[string]bool, len(m.Entries))
	for _, e := range m.Entries {
		switch {
		case e.URL == "":
			return errors.New("entry without url")
		case seen[e.URL]:
			return fmt.Errorf("%s: listed twice, and would be loaded twice", e.URL)
		case !e.Mandatory:
			return fmt.Errorf("%s: not mandatory, and would be skipped in silence if it is missing", e.URL)
		case e.Meta.ContentLength <= 0:
			return fmt.Errorf("%s: content_length %d, must be the object's size", e.URL, e.Meta.ContentLength)
		}
		seen[e.URL] = true
	}
	return nil
}
