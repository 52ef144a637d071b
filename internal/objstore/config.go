package objstore

import (
	"errors"
	"time"

	"github.com/millstream-data/millstream/internal/config"
)

// Config says where the store is and how it is spoken to; start from DefaultConfig.
type Config struct {
	Endpoint        string        `yaml:"endpoint" doc:"URL of the store; empty: AWS"`
	Region          string        `yaml:"region" doc:"region of the bucket"`
	PathStyle       bool          `yaml:"path_style" doc:"put the bucket into the path instead of the host name; most stores but AWS want it"`
	AccessKeyID     string        `yaml:"access_key_id" doc:"empty: the SDK's chain (environment, profile, web identity, instance role)"`
	SecretAccessKey config.Secret `yaml:"secret_access_key" doc:"belongs to access_key_id"`
	SSE             SSE           `yaml:"sse" doc:"encryption at rest that every object asks for: none (what the bucket does by default), s3 or kms"`
	KMSKeyID        string        `yaml:"kms_key_id" doc:"id or ARN of the key of sse kms"`
	BucketKey       bool          `yaml:"bucket_key" doc:"of sse kms: use S3's bucket key; without it every object costs a call to KMS"`
	StorageClass    StorageClass  `yaml:"storage_class" doc:"class of data objects: STANDARD, STANDARD_IA, ONEZONE_IA, INTELLIGENT_TIERING or GLACIER_IR; all others are STANDARD"`
	Checksums       Checksums     `yaml:"checksums" doc:"when_supported: a CRC32C goes with every object and the store compares it; when_required: for stores that refuse it"`
	Concurrency     int           `yaml:"concurrency" doc:"requests at a time"`
	MaxAttempts     int           `yaml:"max_attempts" doc:"attempts of one call before it is an error; pauses between them are random, up to 100 ms at first and 20 s at last"`
	Timeout         time.Duration `yaml:"timeout" doc:"time for one attempt; a second a MiB is added"`
}

// SSE is the encryption at rest that puts ask for.
type SSE string

// The encryptions of S3.
const (
	SSENone SSE = "none" // the bucket's own default
	SSES3   SSE = "s3"
	SSEKMS  SSE = "kms"
)

// StorageClass is the class of data objects.
type StorageClass string

// The classes whose objects can be read at once; commits need the first.
const (
	ClassStandard           StorageClass = "STANDARD"
	ClassStandardIA         StorageClass = "STANDARD_IA"
	ClassOneZoneIA          StorageClass = "ONEZONE_IA"
	ClassIntelligentTiering StorageClass = "INTELLIGENT_TIERING"
	ClassGlacierIR          StorageClass = "GLACIER_IR"
)

// Checksums says whether checksums go with what is sent.
type Checksums string

// When the store is told a checksum.
const (
	ChecksumsSupported Checksums = "when_supported"
	ChecksumsRequired  Checksums = "when_required"
)

// DefaultConfig returns the values used in production.
func DefaultConfig() Config {
	return Config{
		Region: "us-east-1", SSE: SSENone, BucketKey: true, StorageClass: ClassStandard, Checksums: ChecksumsSupported,
		Concurrency: 4, MaxAttempts: 8, Timeout: 30 * time.Second,
	}
}

// Validate returns every problem, joined, each led by its key path.
func (c Config) Validate() error {
	errs := []error{
		config.NotEmpty("s3.region", c.Region),
		config.OneOf("s3.sse", c.SSE, SSENone, SSES3, SSEKMS),
		config.OneOf("s3.storage_class", c.StorageClass, ClassStandard, ClassStandardIA, ClassOneZoneIA, ClassIntelligentTiering, ClassGlacierIR),
		config.OneOf("s3.checksums", c.Checksums, ChecksumsSupported, ChecksumsRequired),
		config.Positive("s3.concurrency", c.Concurrency),
		config.Positive("s3.max_attempts", c.MaxAttempts),
		config.Positive("s3.timeout", c.Timeout),
	}
	if c.Endpoint != "" {
		errs = append(errs, config.BaseURL("s3.endpoint", c.Endpoint))
	}
	switch {
	case c.SSE == SSEKMS && c.KMSKeyID == "":
		errs = append(errs, config.Invalid("s3.kms_key_id", "must not be empty with s3.sse kms; give the key's id or ARN, or set s3.sse to s3"))
	case c.SSE != SSEKMS && c.KMSKeyID != "":
		errs = append(errs, config.Invalid("s3.kms_key_id", "is of s3.sse kms alone (got s3.sse %q); set that, or leave the key away", string(c.SSE)))
	}
	if (c.AccessKeyID == "") != (c.SecretAccessKey == "") {
		errs = append(errs, config.Invalid("s3.access_key_id", "needs s3.secret_access_key beside it, and the other way round"))
	}
	return errors.Join(errs...)
}
