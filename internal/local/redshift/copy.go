//go:build cgo

package redshift

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// copyOptions is a COPY statement, read.
type copyOptions struct {
	table    tableName
	columns  []string
	source   string
	manifest bool
	parquet  bool
	role     bool
	fill     bool

	explicitIDs bool
}

// copyWord says how COPY of Parquet takes an option.
type copyWord uint8

const (
	copyRefused   copyWord = iota + 1 // by Redshift, 0A000
	copyForbidden                     // by us: keys do not belong into SQL
	copyUnknown                       // undocumented for Parquet
	copyAllowed
)

// copyWords are the options beside those that readCopy takes apart.
func copyOption(w string) copyWord {
	switch w {
	case "region", "maxerror", "acceptanydate", "ignoreallerrors", "compupdate", "comprows":
		return copyRefused
	case "access_key_id", "secret_access_key", "session_token", "credentials":
		return copyForbidden
	case "truncatecolumns", "emptyasnull", "blanksasnull", "trimblanks", "dateformat", "timeformat", "null", "roundec", "encoding", "noload",
		"gzip", "lzop", "bzip2", "zstd", "encrypted", "delimiter", "csv", "json", "avro", "ignoreheader", "quote", "escape", "removequotes":
		return copyUnknown
	case "acceptinvchars", "serializetojson":
		return copyAllowed
	}
	return 0
}

// readCopy reads a COPY statement and refuses what Redshift refuses.
func readCopy(nodes []node) (copyOptions, error) {
	var o copyOptions
	var err error
	i := 0
	if to := find(nodes, 1, "to", "from"); to < len(nodes) && nodes[to].is("to") {
		return o, pgError("0A000", "COPY TO is not supported; on a cluster, use UNLOAD")
	}
	if o.table, i, err = tableAt(nodes, 1); err != nil {
		return o, err
	}
	if i < len(nodes) && nodes[i].open == '(' {
		if o.columns, err = columnNames(nodes[i].kids); err != nil {
			return o, err
		}
		i++
	}
	if i+1 >= len(nodes) || !nodes[i].is("from") {
		return o, syntaxError("syntax error in COPY")
	}
	if nodes[i+1].kind != tokString {
		return o, pgError("0A000", "LOAD source is not supported. (Hint: only S3 or DynamoDB or EMR based load is allowed)")
	}
	o.source = nodes[i+1].val
	for i += 2; i < len(nodes); {
		if i, err = o.option(nodes, i); err != nil {
			return o, err
		}
	}
	if !o.parquet {
		return o, unsupported("COPY of anything but PARQUET")
	}
	if !o.role {
		return o, pgError("42601", "CREDENTIALS argument is required. Provide either IAM_ROLE or CREDENTIALS") // (confirm)
	}
	if !strings.HasPrefix(o.source, "s3://") {
		return o, unsupported("COPY from anywhere but S3")
	}
	return o, nil
}

// option reads the option at nodes[i] and returns the index behind it.
func (o *copyOptions) option(nodes []node, i int) (int, error) {
	n := nodes[i]
	following := func(k int) node {
		if i+k < len(nodes) {
			return nodes[i+k]
		}
		return node{}
	}
	switch {
	case n.is("iam_role"):
		role := following(1)
		if !role.is("default") && (role.kind != tokString || !validRole(role.val)) {
			return i, pgError("22023", "Invalid IAM_ROLE %q", role.val) // (confirm)
		}
		o.role = true
		return i + 2, nil
	case n.is("format"):
		i++
		if i < len(nodes) && nodes[i].is("as") {
			i++
		}
		if i >= len(nodes) || !nodes[i].is("parquet") {
			return i, unsupported("COPY of anything but PARQUET")
		}
		o.parquet = true
		return i + 1, nil
	case n.is("parquet"):
		o.parquet = true
		return i + 1, nil
	case n.is("manifest"):
		o.manifest = true
		return i + 1, nil
	case n.is("fillrecord"):
		o.fill = true
		return i + 1, nil
	case n.is("explicit_ids"):
		o.explicitIDs = true
		return i + 1, nil
	case n.is("statupdate"):
		if following(1).is("off", "on", "true", "false") {
			return i + 2, nil
		}
		return i + 1, nil
	case n.is("with", "as"):
		return i + 1, nil
	}
	name := strings.ToUpper(n.val)
	switch copyOption(n.val) {
	case copyRefused:
		return i, pgError("0A000", "%s argument is not supported for PARQUET based COPY", name)
	case copyForbidden:
		return i, unsupported("keys in SQL (" + name + "); use IAM_ROLE")
	case copyUnknown:
		return i, unsupported(name + " for PARQUET based COPY, which Redshift does not document")
	case copyAllowed:
		return i + 1, nil
	}
	return i, syntaxError(fmt.Sprintf("syntax error at or near %q", n.val))
}

// validRole takes default, an ARN, or a chain of them.
func validRole(v string) bool {
	if v == "default" {
		return true
	}
	for arn := range strings.SplitSeq(v, ",") {
		if p := strings.Split(arn, ":"); len(p) != 6 || p[0] != "arn" || p[2] != "iam" || !strings.HasPrefix(p[5], "role/") {
			return false
		}
	}
	return true
}

// copyFile is one object to load.
type copyFile struct {
	url, bucket, key string
	size             int64
}

// copyFrom runs COPY: all files or none.
func (s *session) copyFrom(ctx context.Context, st statement, nodes []node) (*result, error) {
	o, err := readCopy(nodes)
	if err != nil {
		return nil, err
	}
	files, err := s.copyFiles(ctx, o)
	if err != nil {
		return nil, s.loadFailed(ctx, o, err)
	}
	t, err := s.target(ctx, o.table, lockWrite, nil)
	if err != nil {
		return nil, err
	}
	cols, err := targetColumns(t, o.columns)
	if err != nil {
		return nil, err
	}
	if !o.explicitIDs {
		cols = withoutIdentity(cols)
	}
	total, err := s.copyAll(ctx, t, cols, files, o)
	if err != nil {
		return nil, s.loadFailed(ctx, o, err)
	}
	s.copyCount = total
	s.copyID++
	return &result{tag: st.tag}, nil
}

// copyAll loads the files and returns their rows.
func (s *session) copyAll(ctx context.Context, t *tableMeta, cols []columnMeta, files []copyFile, o copyOptions) (total int64, err error) {
	stage, err := s.stageable(ctx, t, o, files)
	if err != nil {
		return 0, err
	}
	if stage {
		return s.stage(ctx, t, files)
	}
	if t.staged != nil {
		if t, err = s.unstage(ctx, t); err != nil {
			return 0, err
		}
	}
	for batch := range batches(files) {
		n, err := s.copyBatch(ctx, t, cols, batch, o)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// manifestFile is Redshift's format.
type manifestFile struct {
	Entries []struct {
		URL       string `json:"url"`
		Mandatory bool   `json:"mandatory"`
		Meta      *struct {
			ContentLength *int64 `json:"content_length"`
		} `json:"meta"`
	} `json:"entries"`
}

// copyFiles reads the manifest and checks its entries against the objects, in order.
func (s *session) copyFiles(ctx context.Context, o copyOptions) ([]copyFile, error) {
	if !o.manifest {
		f := newCopyFile(o.source)
		err := s.sizes(ctx, []copyFile{f}, nil)
		return []copyFile{f}, err
	}
	bucket, key := splitURL(o.source)
	body, err := s.srv.objects.Open(ctx, bucket, key)
	if err != nil {
		return nil, objectError(o.source, err)
	}
	defer func() { _ = body.Close() }()
	var m manifestFile
	if err := json.NewDecoder(io.LimitReader(body, 64<<20)).Decode(&m); err != nil {
		return nil, internalError(8001, "Manifest file is not in correct json format", o.source, "s3_utility.cpp") // (confirm)
	}
	entries := make([]copyFile, len(m.Entries))
	for i, e := range m.Entries {
		if e.Meta == nil || e.Meta.ContentLength == nil {
			return nil, &copyError{url: e.URL, err: internalError(15003, "File entry does not have 'meta' key.", e.URL, "spectrum_manifest.cpp")}
		}
		entries[i] = newCopyFile(e.URL)
	}
	if err := s.sizes(ctx, entries, func(i int) bool { return !m.Entries[i].Mandatory }); err != nil {
		return nil, err
	}
	var files []copyFile
	for i, f := range entries {
		switch {
		case f.size == missingObject:
			continue
		case f.size != *m.Entries[i].Meta.ContentLength:
			return nil, &copyError{url: f.url, err: internalError(15001, "Spectrum Scan Error", "HTTP response error code: 416 Message: InvalidRange "+f.url, "dory_util.cpp")}
		}
		files = append(files, f)
	}
	if len(files) == 0 {
		return nil, internalError(15003, "The S3 bucket addressed by the query has no file to load", o.source, "spectrum_manifest.cpp") // (confirm)
	}
	return files, nil
}

func objectError(url string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &copyError{url: url, cause: err, err: internalError(15001, "The specified key does not exist", "HTTP response error code: 404 Message: NoSuchKey "+url, "dory_util.cpp")}
	}
	return &copyError{url: url, cause: err, err: internalError(15001, "Spectrum Scan Error", err.Error()+" "+url, "dory_util.cpp")}
}

func newCopyFile(url string) copyFile {
	bucket, key := splitURL(url)
	return copyFile{url: url, bucket: bucket, key: key}
}

func splitURL(url string) (bucket, key string) {
	bucket, key, _ = strings.Cut(strings.TrimPrefix(url, "s3://"), "/")
	return bucket, key
}
