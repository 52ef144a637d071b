// Package ingest is the HTTP edge: it takes events from any Segment SDK and from raw HTTP, authenticates, limits, splits,
// validates and stamps them, and answers when they are durable.
//
// # Promise
//
// Whoever gets a 200 never loses an accepted event: it is in Kafka with acks=all, or in an fsynced spool on disk that
// drains by itself, in order. What was refused is on the topic of dead letters, with a reason and its original bytes,
// before its sender is told so. One bad event never costs a good one. What the server does not set itself is copied
// byte for byte.
//
// # Invariants
//
//  1. A request is answered 200, or 400, 408 or 413 after its key is known, when each of its records is acknowledged by
//     Kafka or fsynced in the spool.
//     Otherwise it is answered 503 and its sender repeats it whole.
//  2. A lane is a partition of the events, or the topic of dead letters. Within a lane, records reach the producer in
//     the order in which their requests were built, those of one request in the order of its events.
//  3. A record is never cancelled once the producer has it: a repeated request makes a second record with the same
//     message id, and the first one wins downstream.
//  4. A message id is remembered when its record is durable and never before: a duplicate is answered 200.
//  5. The values of scanner, decider and stamper are functions of body, key, snapshot and clock. They do no I/O.
//  6. A frame that the producer still holds is not handed over again, so an outage alone makes no duplicates.
//  7. The drain uses the producer of the direct traffic, whose order within a partition gives that of the lane.
//  8. A dead partition spools its own lane and holds up no other.
//  9. No position passes a frame that Kafka has not acknowledged; what is not fsynced is not there for the drain.
//  10. Memory that a request takes is held at the gate before it is taken, and until Kafka's client has let go of it or,
//     if its lane has spooled, it is answered: then it counts in the drain's window.
//  11. A lane's frames name it by the number of partitions. That is changed only while no lane holds a record.
//  12. What leaves the process of an event of a source with rules is made of cleaned alone: its bytes after the rules.
//     What cannot be cleaned has no bytes.
//
// # Goroutines
//
// New starts those of two Kafka clients. Run starts the HTTP server, which has one a connection; one that follows the
// topics; one that looks at the sources' files, and alone replaces the snapshot; one that looks at the certificate's
// files, if there is one; one that follows the dead letters; and one that waits for the end of ctx and drains. With a
// spool there are the writer, which alone touches the open segment; the patrol, which spools lanes that wait; one that
// writes positions; the pass that drains for all lanes; and one for each lane, which works while the lane is parked.
// Run returns when all have ended and closes the clients. Kafka's client calls producer.acked from goroutines of its own. A request belongs to its handler until send,
// then to handler, producer and writer together, and returns to its pool when all have left it. Lock order: drain.mu,
// lane.mu, then spool.mu or the client's own; no lane is locked with another, but limbo when the topics are found.
// Besides, history.mu guards what is remembered of dead letters, tails.mu and tailReader.mu who watches what,
// request.mu guards what a batch's refusal leaves, producer.soloing is held for one record at a time, warning.mu for a
// comparison; none is taken while another is held.
//
// # Failures
//
//	event                                    what happens                                                      test
//	Kafka away, under load                   lanes spool, 200 at fsync speed, drain by itself, order per key   TestKafkaAwayUnderLoad
//	the same without a spool                 503 not_durable after answer_timeout; all arrives when repeated   TestKafkaAwayAnswers503AndLosesNothing
//	Kafka away at the start                  it listens, spools, and drains once Kafka is there                TestStartWithoutKafka
//	the same without a spool                 it answers 503, and takes events once Kafka is there              TestStartWithoutKafkaAndSpool
//	one partition without a leader           its lane spools, the others stay direct                           TestDeadPartitionHoldsUpNoOther
//	it is slow, and connections break        lanes spool and become direct again, in order, over memory used again     TestLanesFlapOverFaults
//	a lane takes nothing while it drains     it is parked; the others drain past it                            TestLaneThatTakesNothingIsParked
//	Kafka fails records (rights, topic)      they are handed over again, in order, with a backoff              TestFailedRecordsAreHandedOverAgain
//	Kafka refuses a spooled record           alone, too: it becomes kafka_refused; its neighbours arrive       TestSpooledRecordThatKafkaRefusesBecomesADeadLetter
//	kill -9 at any step                      every acknowledged event arrives                                  TestKillAtEveryStep
//	torn end, flipped bit, half positions    good frames are sent, the rest is kept; readiness is degraded     TestSpoolRecovery
//	bits flip in the middle of a segment     what is whole is sent; the file is kept; readiness is degraded            TestDamageCostsNothingButItself
//	Kafka refuses a dead letter, too         its lane waits for somebody to mend the topic                             TestDeadLetterThatKafkaRefusesWaits
//	a leader moves                           the producer finds it and repeats idempotently: one record, no spool      TestLeaderMove
//	a topic is missing                       lanes spool; readiness names it; mended without a restart                 TestMissingTopicSpools
//	a topic is deleted and created again     the same; what was acknowledged in between arrives                        TestDeletedTopicSpools
//	no rights to produce                     the lane spools; mended without a restart                                 TestRightsToProduceAreMendedWithoutARestart
//	the number of partitions changes         adopted when the spool is empty and nothing is under way                  TestPartitionsThatGrowAreAdoptedWhenTheSpoolIsEmpty
//	the same between two runs                the lowest position holds for all lanes                                   TestSpoolDrainsUnderAnotherNumberOfPartitions
//	the spool's folder is in use             the start names the holder                                        TestSpoolIsLocked
//	write or fsync fails                     503; another segment; three in a row: not ready, one more every 10 s        TestFsyncFailureIsNotAcknowledged
//	the disk is full                         503 spool_full; goes on when there is room                        TestSpoolDiskFull
//	the spool is full                        503 spool_full; goes on when it has drained                       TestSpoolFullAnswers503
//	a request before the topics are known    it is spooled; without a spool it waits for them                  TestFirstRequestWaitsForTheTopics
//	a topic is missing, no spool             503; readiness names the topic; mended without a restart          TestMissingTopicAnswers503UntilSomebodyCreatesIt
//	Kafka is slow                            the answer waits for it                                           TestAnswersOnlyAfterKafkaHasAcknowledged
//	an acknowledgement is lost               the producer repeats idempotently: one record                     TestLostAckProducesOnce
//	Kafka refuses a batch for its content    its records go one by one; the bad one becomes kafka_refused      TestRefusedRecordIsRejectedAlone
//	poison among events                      it is rejected, the rest accepted                                 TestH05Poison
//	a message id comes twice                 200, counted as duplicate once the first is durable               TestRepeatedIDsAreNotSentAgain
//	a message id comes after a 503           it is taken, or was taken late and is a duplicate then            TestIDsEnterOnlyWhenDurable
//	an event differs from its tracking plan  as the plan says: counted, told in its context, or rejected       TestH18Plan
//	an event that would take long to judge   steps are counted; beyond its share it counts as a violation      TestHostileEventsAreJudgedInBoundedSteps
//	a source has rules, an event is broken   its dead letter has no bytes: nobody can tell what is in them     TestH17Privacy
//	rules leave an event without an id       it is rejected as missing_identity, after the rules               TestIDsUnderRules
//	hashes make an event too large           it is rejected as event_too_large                                 TestHashesThatMakeAnEventTooLargeRefuseIt
//	a listed person, a browser's key         a dead letter without bytes; the answer is that for anybody       TestBrowsersCannotTellWhoIsSuppressed
//	a suppression list with a broken line    the old sources stay; the error names file and line               TestSuppressionListIsReadLineByLine
//	a bug over one event                     it is rejected as internal_error, the rest accepted               TestPanicRejectsOneEvent
//	a body that cannot be split              400 and one dead letter                                           TestUnreadableRequestsAreRefusedWhole
//	a compressed bomb                        413; inflated bytes are bounded while they are inflated           TestBombsAreBoundedWhileInflating
//	more in flight than fits                 503 overloaded at once; room again when Kafka has acknowledged    TestOverloadIsAnsweredAtOnceAndPasses
//	a slow body                              408 and one dead letter                                           TestSlowBodyIsAnswered408
//	chunks that nobody can read              400 bad_encoding and one dead letter: no repetition mends them         TestChunksThatNobodyCanReadAreAnswered400
//	the client hangs up                      before the body's end nothing, after it processed                 TestClientGone
//	the wall clock steps back                windows and deadlines go on; receivedAt follows the clock                TestClockStepsBack
//	SIGTERM under load                       readiness fails, requests in flight end, nothing is refused early TestH11Drain
//	the same behind a balancer                  whoever obeys readiness sees no request fail                             TestH11DrainUnderLoad
//	a second signal                          what waits or comes is answered 503 draining; the producer flushes        TestSecondSignalSkipsToTheFlush
//	a lost pod's volume                      millstream ingest --drain-only empties its spool                          TestDrainEmptiesTheSpoolOfAnother
//	SIGTERM while Kafka is away              it ends within drain_timeout                                      TestStopWithoutKafkaEndsInTime
//	broken sources file, running             the old ones stay; 503 keys_stale for unknown keys; mended by a save      TestReloadKeepsLastGood
//	the same at the start                    the last good ones; without any the start fails and says why              TestStartFromLastGood
//	dead letters exceed their memory         the oldest are forgotten; answers say that they are not complete  TestForgottenRejectionsAreAdmitted
//	Kafka is away, and somebody asks         answers come from memory, and say that they are not complete      TestRejectionsWithoutKafka
//	a batch that would never fit in flight   413; it would be repeated for ever                                TestBatchThatWouldNeverFitIsTooLarge
//	abuse of every kind                      resident memory stays below 512 MiB; others are served or refused TestH10Memory
//	connections beyond the limit             they wait in the kernel's queue                                   TestConnectionsBeyondTheLimitWait
//	an early answer, and a client that sends it reaches the client before the connection ends                  TestEarlyAnswerReachesAClientThatStillSends
//	a new certificate that is broken         the one before stays; readiness is degraded and names the file    TestCertificateIsReadAgainWhenItChanges
//	a topic narrower than the limits         logged, readiness is degraded and names the setting to change      TestTopicsThatAreTooNarrowAreToldWithTheSettingToChange
//	a reload raises a limit                  compared with the topics anew; beyond what the process was started for: refused  TestReloadedLimitsAreComparedWithWhatTheTopicsTake
//	a dead letter is replayed, twice         it is what it would have been at first, with the same message id  TestReplayedTwiceTheMessageIDsAreTheSame
//	the same of a browser                    its address, user agent and locale, as the rules leave them, are there again     TestReplayKnowsWhoSentIt
//	who watches does not read                lines are dropped and counted, nothing waits; then it is let go   TestSlowTailDropsAndHoldsNothing
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
//	plan_results_total{source,outcome}               events that a tracking plan has judged: ok, allow, flag, reject, would_flag, would_reject
//	unauthorized_total{code}                         requests refused for their key
//	limited_total{source,limit}                      requests refused because their key was over its rate: events, bytes
//	key_conflicts_total{source}                      requests with different keys in different places
//	server_key_in_browser_total{source}              requests with an Origin and a server's key
//	produce_errors_total{error}                      records that Kafka did not take
//	panics_total{where}                              bugs survived, over a request or an event
//	inflight_bytes, inflight_requests, connections   what is held now
//	dedup_ids                                        message ids remembered
//	config_ok                                        0 while the last good sources are in force, for they cannot be read
//	config_loaded_timestamp_seconds                  when the sources in force were read
//	config_reload_failures_total                     attempts that left the old ones in force
//	spool_frames_total                               records that became durable on disk
//	spool_drained_total                              records from disk that Kafka has acknowledged
//	spool_errors_total{kind}                         trouble with the spool: write, fsync, torn, corrupt, full
//	spool_fsync_duration_seconds                     what a group commit's sync takes
//	lanes_spooled                                    lanes whose records go to the spool
//	spool_bytes, spool_limit_bytes, spool_segments   what it takes on disk, and may
//	spool_oldest_age_seconds                         age of its oldest file that holds records
//	tail_readers                                     those who watch events come in
//	tail_dropped_total                               lines that were not shown to them, for being behind
//	rejections_lag_seconds                           how long ago this process knew every dead letter
//	unacked_records                                  records that Kafka has not acknowledged
//	last_ack_timestamp_seconds                       when it last did
//
// # Non-obvious
//
//   - A dead letter must hold what a replay needs: value, envelope, sender, route, received_at. What changes how an event is
//     stamped belongs there, too.
//   - Never sync a file again after a failed sync: the kernel may have dropped its pages, and the second one lies.
//   - A lane's frames are queued under its lock, for their order on disk is that of their acceptance. What the producer
//     held when the lane spooled has its frames first, and the drain steps over them.
//   - A frame may be read, handed over and refused before the writer tells its lane where it ends: lane.last says nothing
//     about what was handed over.
//   - A failed record sends its lane back only when the producer holds nothing of it: the rest could overtake it.
//   - An entry is the context of its record: the promise finds it by that, and it must be set before Produce.
//   - Under load a spooled lane always has a frame with the writer. New records wait for it, for a moment, or the lane
//     stays spooled as long as requests come.
//   - Readiness must mend by itself: a server out of its balancer gets no request to try a full disk or a broken one with.
//   - Kafka's client fails all that it holds of a partition when one batch of it fails; what is accepted in the moment
//     before the lane hears of it may overtake. A client that was refused a producer's id never asks again, nor does it take
//     a topic that was created again for the old one: see mend.go.
//   - Never answer 3xx but 304 on settings: to the SDKs for Node, browsers and Ruby a redirect means delivered.
//   - A 4xx destroys every event of a batch. Answer one only for what no repetition can mend.
//   - The same holds for a key that is missing from a table which may be old: 503 until the sources can be read.
//   - Do not let Produce have the request's context: its end would fail records of other requests in the same batch.
//   - A record's key, value and headers are slices of pooled memory. Whatever outlives the request copies them; see
//     producer.single.
//   - bytes.Reader in front of the zstd decoder makes it decode the whole at once, without a bound; see byteReader.
//   - The JSON Schema library can be neither cancelled nor bounded, quotes values in its messages, panics on numbers such
//     as 1e9999999 and compares items pair by pair where hashes collide. Give it only what decoder has let through, and
//     count steps in the hook that judge.watch sets.
//   - A suppressed event of a browser goes all the way and becomes a dead letter in sift: whatever it did not share with
//     others, a duplicate or a refusal, would tell a public key who is listed.
//   - Hashing a hash makes another one. Bytes of a dead letter are after the rules: who sends them again must not hash them.
//   - The text of the scanner's sum of eight bytes is right for the lowest set bit only: borrows run upwards.
package ingest
