//! What the recorder of a journal says of itself, told beside a command's output.

use std::path::Path;

use super::{Exit, Ui};
use crate::journal::{RecorderStatus, is_being_written};
use crate::time;

/// Says if nobody records, or if the recorder cannot write its journal; the exit code says the latter too.
pub(crate) fn tell(journal: &Path, ui: Ui) -> Exit {
    let recorded = is_being_written(journal);
    let status = RecorderStatus::read(journal);
    if let Some(status) = &status
        && let Some(since_us) = status.failing_since_us
    {
        let since = time::human(since_us, &time::zone(false));
        let why = status.error.as_deref().unwrap_or("it does not say why");
        if recorded {
            ui.note(&format!(
                "the recorder (process {}) has not been able to write the journal since {since}: {why}; \
                 what it hears waits",
                status.pid
            ));
        } else {
            ui.note(&format!(
                "no recorder is writing this journal now; the last one (process {}) ended while it could \
                 not write it, since {since}: {why}",
                status.pid
            ));
        }
        return Exit::Unwell;
    }
    if !recorded {
        ui.note("no recorder is writing this journal now; this is what was known last");
    }
    Exit::Success
}
