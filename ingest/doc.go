// Package ingest is the HTTP edge: it takes events from any Segment SDK and from raw HTTP, authenticates, limits, splits,
// validates and stamps them, and answers when Kafka has them.
//
// # Promise
//
// Whoever gets a 200 never loses an accepted event: it is in Kafka with acks=all. What was refused is on the topic of
// dead letters, with a reason and its original bytes, before its sender is told so. One bad event never costs a good
// one. What the server does not set itself is copied byte for byte.
//
// # Invariants
//
//  1. A request is answered 200, or 400, 408 or 413 after its key is known, when each of its records is acknowledged.
//     Otherwise it is answered 503 and its sender repeats it whole.
//  2. A lane is a partition. Within a lane, records reach the producer in the order in which their requests were built,
//     those of one request in the order of its events.
//  3. A record is never cancelled once the producer has it: a repeated request makes a second record with the same
//     message id, and the first one wins downstream.
//  4. A message id is remembered when its record is acknowledged and never before: a duplicate is answered 200.
//  5. The values of scanner, decider and stamper are functions of body, key, snapshot and clock. They do no I/O.
//  6. Memory that a request takes is held at the gate before it is taken, and until Kafka's client has let go of it.
//
// # Goroutines
//
// New starts those of two Kafka clients. Run starts the HTTP server, which has one a connection; one that follows the
// topics; and one that waits for the end of ctx and drains. Run returns when all have ended and closes the clients.
// Kafka's client calls request.acked from goroutines of its own. A request belongs to its handler until send, then to
// handler and producer together, and returns to its pool when both have left it. Locks: request.mu guards what a batch's
// refusal leaves, producer.soloing is held for one record at a time, warning.mu for a comparison; none is taken while
// another is held. The same is true of the sixteen locks of recent.
//
// # Failures
//
//	event                                    what happens                                                      test
//	Kafka away, under load                   503 not_durable after answer_timeout; all arrives when repeated   TestKafkaAwayAnswers503AndLosesNothing
//	Kafka away at the start                  it listens, answers 503, and takes events once Kafka is there     TestStartWithoutKafka
//	a request before the topics are known    it waits for them within answer_timeout                           TestFirstRequestWaitsForTheTopics
//	a topic is missing, creation is off      503; readiness names the topic; mended without a restart          TestMissingTopicAnswers503UntilSomebodyCreatesIt
//	Kafka is slow                            the answer waits for it                                           TestAnswersOnlyAfterKafkaHasAcknowledged
//	an acknowledgement is lost               the producer repeats idempotently: one record                     TestLostAckProducesOnce
//	Kafka refuses a batch for its content    its records go one by one; the bad one becomes kafka_refused      TestRefusedRecordIsRejectedAlone
//	poison among events                      it is rejected, the rest accepted                                 TestH05Poison
//	a message id comes twice                 200, counted as duplicate once the first is durable               TestRepeatedIDsAreNotSentAgain
//	a message id comes after a 503           it is taken, or was taken late and is a duplicate then            TestIDsEnterOnlyWhenDurable
//	a bug over one event                     it is rejected as internal_error, the rest accepted               TestPanicRejectsOneEvent
//	a body that cannot be split              400 and one dead letter                                           TestUnreadableRequestsAreRefusedWhole
//	a compressed bomb                        413; inflated bytes are bounded while they are inflated           TestBombsAreBoundedWhileInflating
//	more in flight than fits                 503 overloaded at once; room again when Kafka has acknowledged    TestOverloadIsAnsweredAtOnceAndPasses
//	a slow body                              408 and one dead letter                                           TestSlowBodyIsAnswered408
//	the client hangs up                      before the body's end nothing, after it processed                 TestClientGone
//	SIGTERM under load                       readiness fails, requests in flight end, nothing is refused early TestH11Drain
//	SIGTERM while Kafka is away              it ends within drain_timeout                                      TestStopWithoutKafkaEndsInTime
//	the port is taken                        the start names address and key                                   TestTakenPortIsNamed
//
// # Metrics
//
// All begin with millstream_ingest_.
//
//	requests_total{route,status}                     requests by route and status of the answer
//	request_duration_seconds{route}                  from a request's headers to its answer
//	ack_duration_seconds{path}                       from the last byte of a body to durable records
//	events_accepted_total{source,type}               events acknowledged to their sender
//	event_bytes_total{source,type}                   their bytes as written
//	events_rejected_total{source,code}               dead letters
//	events_duplicate_total{source}                   events whose message id was durable already; not sent again
//	events_flagged_total{source,flag}                accepted events that something was odd about
//	unauthorized_total{code}                         requests refused for their key
//	key_conflicts_total{source}                      requests with different keys in different places
//	server_key_in_browser_total{source}              requests with an Origin and a server's key
//	produce_errors_total{error}                      records that Kafka did not take
//	panics_total{where}                              bugs survived, over a request or an event
//	inflight_bytes, inflight_requests, connections   what is held now
//	dedup_ids                                        message ids remembered
//	unacked_records                                  records that Kafka has not acknowledged
//	last_ack_timestamp_seconds                       when it last did
//
// # Non-obvious
//
//   - Never answer 3xx but 304 on settings: to the SDKs for Node, browsers and Ruby a redirect means delivered.
//   - A 4xx destroys every event of a batch. Answer one only for what no repetition can mend.
//   - Do not let Produce have the request's context: its end would fail records of other requests in the same batch.
//   - A record's key, value and headers are slices of pooled memory. Whatever outlives the request copies them; see
//     producer.single.
//   - bytes.Reader in front of the zstd decoder makes it decode the whole at once, without a bound; see byteReader.
//   - The text of the scanner's sum of eight bytes is right for the lowest set bit only: borrows run upwards.
package ingest
