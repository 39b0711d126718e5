//! Moving the log into the file beside the writer, under load.
//!
//! A checkpoint of a long log takes a tenth of a second, and whoever has it done waits. A second connection
//! can do it meanwhile; what little has come since then the writer moves itself, after which the log begins
//! anew.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use rusqlite::{Connection, OpenFlags};

/// The thread that moves. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Mover {
    orders: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
    busy: Arc<AtomicBool>,
    /// What was ordered has not been followed up yet.
    ordered: bool,
}

impl Mover {
    /// Starts the thread. Without it the writer does everything itself.
    pub(super) fn start(journal: &Path) -> Self {
        let (orders, received) = mpsc::channel();
        let busy = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&busy);
        let path = journal.to_path_buf();
        let thread = thread::Builder::new()
            .name("journal-log".to_owned())
            .spawn(move || {
                let mut conn = None;
                while received.recv().is_ok() {
                    if conn.is_none() {
                        conn = open(&path).ok();
                    }
                    if let Some(conn) = &conn {
                        // Whatever it leaves, the writer moves.
                        let _ = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
                    }
                    flag.store(false, Ordering::Release);
                }
            })
            .ok();
        Self {
            orders: thread.is_some().then_some(orders),
            thread,
            busy,
            ordered: false,
        }
    }

    /// Has the log moved, if that is not being done; false if nobody does it.
    pub(super) fn order(&mut self) -> bool {
        let Some(orders) = &self.orders else {
            return false;
        };
        if !self.busy.swap(true, Ordering::AcqRel) {
            self.ordered = orders.send(()).is_ok();
        }
        self.ordered
    }

    /// True once after each time the log was moved: the rest is for the writer.
    pub(super) fn take_done(&mut self) -> bool {
        let done = self.ordered && !self.busy.load(Ordering::Acquire);
        self.ordered &= !done;
        done
    }
}

impl Drop for Mover {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // It does nothing that could panic; and if it did, the writer has what it needs.
            let _ = thread.join();
        }
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(conn)
}
