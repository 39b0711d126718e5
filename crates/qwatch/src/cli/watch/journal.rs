//! Following a journal.

use std::path::Path;
use std::time::Duration;

use super::Screen;
use crate::cli::{Exit, Failure};
use crate::journal::{Follower, Query};

/// The wait for new records is taken up again after this long; it never ends by itself.
const WAIT: Duration = Duration::from_secs(3600);

/// Prints what is recorded from now on.
pub(super) fn follow(path: &Path, screen: &mut Screen) -> Result<Exit, Failure> {
    let follower = Follower::open(path).map_err(Failure::new)?;
    let mut seen = follower.reader().last_seq().map_err(Failure::new)?;
    loop {
        if follower.wait_past(seen, WAIT).map_err(Failure::new)? {
            let query = Query::default().after(seen);
            for record in follower.reader().records(&query).map_err(Failure::new)? {
                let record = record.map_err(Failure::new)?;
                screen.show(&record)?;
                seen = record.seq.unwrap_or(seen);
            }
            screen.flush()?;
        }
    }
}
