//! One suite for every engine: what `Store` promises, each promise a test, and a random walk beside a plain map.
//! A new engine adds one line at the end of this file and makes it green.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod bench;
mod model;
mod suite;

use bench::Bench;
use std::path::Path;
use std::sync::Arc;
use strongroom_model::Clock;
use strongroom_storage::{Memory, Sqlite, Store};

macro_rules! conformance {
    ($engine:ident, $open:expr, [$($promise:ident),* $(,)?]) => {
        mod $engine {
            use super::*;

            $(
                #[test]
                fn $promise() {
                    Bench::new($open).run(suite::$promise);
                }
            )*

            #[test]
            fn behaves_as_a_plain_map_does() {
                model::walk_beside_a_map(|| Bench::new($open));
            }
        }
    };
}

macro_rules! engines {
    ($($engine:ident: $open:expr;)*) => {
        $(conformance!($engine, $open, [
            a_value_comes_back_with_its_revision,
            a_transaction_happens_whole_or_not_at_all,
            each_expectation_holds_when_it_should,
            a_conflict_names_its_keys_and_changes_nothing,
            revisions_strictly_increase,
            a_page_of_a_list_goes_on_where_the_last_one_ended,
            a_list_holds_what_is_under_the_prefix_and_nothing_else,
            what_exceeds_a_limit_is_refused,
            a_key_changed_twice_is_refused,
            an_attempt_is_remembered_by_its_token,
            a_token_commits_once,
            changes_tell_every_commit_in_order,
            changes_too_far_back_say_so,
            a_lease_has_one_holder,
            a_lease_ends_in_time_unless_it_is_renewed,
            a_lease_given_back_is_free,
            an_older_epoch_cannot_write,
            concurrent_commits_get_one_revision_each,
            of_rivals_for_one_key_one_wins,
            a_view_is_of_one_moment,
            everything_is_replaced_in_one_commit_or_nothing_is,
            a_spool_keeps_what_is_written_and_has_no_name,
        ]);)*
    };
}

fn memory(_: &Path, clock: Arc<dyn Clock>) -> Box<dyn Store> {
    Box::new(Memory::with_clock(clock))
}

fn sqlite(folder: &Path, clock: Arc<dyn Clock>) -> Box<dyn Store> {
    Box::new(Sqlite::open(&folder.join("store.db"), clock).unwrap())
}

/// Changes move from the journal to their places all the time, a key or two after each commit.
fn sqlite_with_a_small_journal(folder: &Path, clock: Arc<dyn Clock>) -> Box<dyn Store> {
    Box::new(Sqlite::open_with_journal(&folder.join("store.db"), clock, 300).unwrap())
}

/// Nothing stays in the journal.
fn sqlite_without_a_journal(folder: &Path, clock: Arc<dyn Clock>) -> Box<dyn Store> {
    Box::new(Sqlite::open_with_journal(&folder.join("store.db"), clock, 0).unwrap())
}

engines! {
    in_memory: memory;
    in_sqlite: sqlite;
    in_sqlite_with_a_small_journal: sqlite_with_a_small_journal;
    in_sqlite_without_a_journal: sqlite_without_a_journal;
}
