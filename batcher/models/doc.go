// Package models keeps tables and views that people declare as SELECTs in
// files: it finds their order in the SELECTs, builds each beside the old one,
// tests it, and swaps it in. docs/models.md is for who writes them.
//
// # Promise
//
// Readers see a whole table whose tests have passed, of before or after a build.
// A failing model holds up only what reads from it. A table that no model has
// made is never replaced or dropped. Mistakes name file, line and what to write.
//
//	*.sql ─▶ lex ─▶ header, tables ─▶ graph ─▶ Decide(State) ─▶ x__new_<id> ─▶ tests ─▶ [gate │ renames, grants, millstream.models │ COMMIT] ─▶ drop x__old_<id>
//
// # Invariants
//
//  1. Renames, grants and the row of millstream.models are one transaction.
//  2. What is shown is what was tested: the swap compares the oid of x__new_<id>.
//  3. Decide is a function of files and State; the clock is the server's.
//  4. read_at is taken behind the gate before the SELECT begins: a load that
//     commits during a build is stamped then or later, and makes the model due.
//
// # Goroutines
//
// Keeper.Run starts one for each build, up to cfg.Parallel with a session each,
// and waits for them. Ending its context gives builds up.
//
// # Failures
//
//	event                                              what happens                                           test
//	connection cut before or after any statement       old or new table, the next build removes leftovers     TestModelsCrashAnywhereLeavesTheOldTable
//	a test finds rows                                  the old table stays, the message shows some of them    TestModelsFailingTestKeepsTheOldTable
//	Redshift refuses the SELECT; an input was renamed  file, line, Redshift's words; the nearest name         TestModelsErrorsNameFileLineAndWords
//	a cycle                                            it is printed; the others are built                    TestModelsCycleIsPrinted
//	an input fails, waits or has mistakes              what reads from it waits                               TestModelsDependantsWait
//	a slip in the header                               the nearest option or test is named                    TestModelsFileMistakesNameLineAndWayOut
//	a name that the loader or an analyst has taken     refused, the table stays                               TestModelsDoNotTakeOthersTables
//	table becomes view, and back                       swapped alike                                          TestModelsTableBecomesViewAndBack
//	somebody reads the table                           waited for in short turns, then put off, named         TestModelsLetLoadsPassWhileATableIsRead
//	a load that commits while a model is built         seen by the build, or the model is due again           TestModelsDueAfterALoadThatCommitsMeanwhile
//	a model whose file is gone, never built            nobody is told to drop the table of its name           TestModelsListDropsOnlyWhatWasBuilt
//	two builders of one model                          the later swap finds another oid and is put off        TestModelsRivalIsNotShown
//	a folder that changes while the loader runs        built within a tick, mistakes logged once              TestModelsKeeperBuildsWhatIsDue
//
// # Metrics
//
//	millstream_loader_models_total{outcome}               builds: built, checked, failed, put_off
//	millstream_loader_model_seconds{model}                time that the newest build took
//	millstream_loader_model_test_failures_total{model}    tests that found rows, warnings included
//
// # Non-obvious
//
// Do not drop the old table inside the swap: readers that wait for its lock would
// fail, while a renamed one lets them end. Do not rename late-binding views: they
// are made anew. A duplicate column of a SELECT has the code of a race, 42701,
// and is the model's own fault.
package models

import "time"

// Tick is how often the folder of models is looked at.
const Tick = 10 * time.Second
