//! Standard input of `qwatch emulate`: one action or event a line.

use std::io::{self, BufRead};
use std::thread;

use super::Ui;
use crate::emulate::{ACTIONS, Deed, Fate};

/// Takes orders from standard input until its end, on a thread of its own.
pub(super) fn listen(fate: Fate, ui: Ui) -> io::Result<()> {
    let thread = thread::Builder::new().name("console".to_owned());
    thread.spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            match line.trim() {
                "" => {}
                comment if comment.starts_with('#') => {}
                "help" => help(ui),
                line => match Deed::from_line(line) {
                    Ok(deed) => fate.perform(&deed),
                    Err(error) => ui.note(&error.to_string()),
                },
            }
        }
    })?;
    Ok(())
}

fn help(ui: Ui) {
    ui.note("one of these a line, or an event as JSON: {\"event\": \"STOP\"}");
    for (name, keys) in ACTIONS {
        ui.note(format!("  {name} {keys}").trim_end());
    }
}
