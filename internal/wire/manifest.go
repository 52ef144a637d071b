package wire

import (
	"bytes"
	"encoding/json"
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

// Encode returns the manifest's bytes.
func (m Manifest) Encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(m); err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	return b.Bytes(), nil
}

// DecodeManifest reads a manifest that Encode wrote.
func DecodeManifest(b []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("decode manifest: %w", err)
	}
	return m, nil
}
