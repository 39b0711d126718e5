//! Following a journal.

use std::time::Duration;

use super::Screen;
use crate::cli::{Exit, Failure};
use crate::journal::{Follower, Query};
use crate::output::is_reader_gone;

/// The wait for new records is taken up again after this long, if somebody still reads what is
/// printed.
const WAIT: Duration = Duration::from_secs(1);

/// Prints what is recorded from now on, until the reader of our output has gone.
pub(super) fn follow(follower: &Follower, screen: &mut Screen) -> Result<Exit, Failure> {
    let mut seen = follower.reader().last_seq()?;
    while !is_reader_gone() {
        if follower.wait_past(seen, WAIT)? {
            let query = Query::default().after(seen);
            for record in follower.reader().records(&query)? {
                let record = record?;
                screen.show(&record)?;
                seen = record.seq.unwrap_or(seen);
            }
            screen.flush()?;
        }
    }
    Ok(Exit::Success)
}
