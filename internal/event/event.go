// Package event is Millstream's vocabulary: what an event, a change and their
// marks are, which limits hold for them, and why one may be refused. It depends
// on the standard library only, so that everything may depend on it.
package event

// Type is the kind of call that made an event, in Segment's words.
type Type string

// The six calls of Segment's tracking API.
const (
	Track    Type = "track"
	Identify Type = "identify"
	Page     Type = "page"
	Screen   Type = "screen"
	Group    Type = "group"
	Alias    Type = "alias"
)

// Types returns every type, in the order in which documents name them.
func Types() []Type { return []Type{Track, Identify, Page, Screen, Group, Alias} }

// ParseType returns the type that s names, and whether there is one.
func ParseType(s string) (Type, bool) {
	switch t := Type(s); t {
	case Track, Identify, Page, Screen, Group, Alias:
		return t, true
	}
	return "", false
}

// Limits of a single event, in bytes of its JSON text unless said otherwise.
const (
	SoftLimit    = 32 << 10  // accepted beyond it, and flagged: Segment's documented limit
	HardLimit    = 256 << 10 // rejected beyond it
	MaxDepth     = 200       // levels of nested arrays and objects
	MaxName      = 512       // event name, userId, anonymousId, groupId, previousId
	MaxMessageID = 255       // a longer one is replaced by its hash
)

// Code says why an event was refused. Codes are stable: senders branch on them.
type Code string

// Codes that ingest gives.
const (
	CodeNotAnObject       Code = "not_an_object"
	CodeInvalidJSON       Code = "invalid_json"
	CodeInvalidUTF8       Code = "invalid_utf8"
	CodeTooDeep           Code = "too_deep"
	CodeEventTooLarge     Code = "event_too_large"
	CodeMissingType       Code = "missing_type"
	CodeUnknownType       Code = "unknown_type"
	CodeMissingIdentity   Code = "missing_identity"
	CodeMissingEvent      Code = "missing_event"
	CodeMissingGroupID    Code = "missing_group_id"
	CodeMissingPreviousID Code = "missing_previous_id"
	CodeNameTooLong       Code = "name_too_long"
	CodeIDTooLong         Code = "id_too_long"
	CodeSuppressed        Code = "suppressed"
	CodeUnplannedEvent    Code = "unplanned_event"
	CodePlanViolation     Code = "plan_violation"
	CodeBot               Code = "bot"
	CodeKafkaRefused      Code = "kafka_refused"
	CodeInternal          Code = "internal_error"
)

// Codes that later stages give to a record which they cannot carry on.
const (
	CodeBadJSON       Code = "bad_json"
	CodeMissingField  Code = "missing_field"
	CodeRowTooLarge   Code = "row_too_large"
	CodeSchemaUnknown Code = "schema_unknown"
	CodeBadChange     Code = "bad_change"
	CodeValueTooLarge Code = "value_too_large"
)

// Stage is the role that refused a record.
type Stage string

// The stages of the path at which a record can be refused.
const (
	StageIngest  Stage = "ingest"
	StageCDC     Stage = "cdc"
	StageBatcher Stage = "batcher"
	StageRollup  Stage = "rollup"
)
