//! How far long work has come, on a terminal only.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often the line is drawn.
const PERIOD: Duration = Duration::from_millis(200);

/// One line on standard error that is drawn over and over.
pub(super) struct Progress {
    shown: Option<Instant>,
    visible: bool,
    begun: Instant,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            shown: None,
            visible: io::stderr().is_terminal(),
            begun: Instant::now(),
        }
    }

    /// Draws a text, not too often, and not for work that is done at once.
    pub(super) fn show(&mut self, text: impl FnOnce() -> String) {
        let last = self.shown.unwrap_or(self.begun);
        if !self.visible || last.elapsed() < PERIOD {
            return;
        }
        self.shown = Some(Instant::now());
        let _ = write!(io::stderr().lock(), "\r\u{1b}[K{}", text());
    }

    /// Takes the line away before something else is printed.
    pub(super) fn clear(&mut self) {
        if self.shown.take().is_some() {
            let _ = write!(io::stderr().lock(), "\r\u{1b}[K");
        }
        self.begun = Instant::now();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// `45 %`, or nothing where the whole is not known.
pub(super) fn share(done: u64, all: u64) -> String {
    match all {
        0 => String::new(),
        _ => format!(" {} %", done.min(all) * 100 / all),
    }
}
