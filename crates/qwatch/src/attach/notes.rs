//! The recorder's own records, as JSON objects. Their members are a promise to whoever reads the journal.

use qmp_client::Garbage;
use serde_json::{Value, json};

use super::autopsy::Evidence;
use super::cut;
use super::loss::Loss;
use crate::journal::{Entry, Note, OpenedRun, RunInfo};
use crate::limits::{GARBAGE_TEXT_MAX_BYTES, START_GRACE_US};
use crate::time;

/// `attached`: from here on the machine is heard.
pub(super) fn attached(info: &RunInfo, how: Circumstances) -> Entry {
    let data = json!({
        "version": info.version,
        "package": info.package,
        "pid": info.pid,
        "started": info.started_us.map(time::rfc3339),
        "uuid": info.uuid,
        "address": info.address,
        "dialled_in": how.dialled_in,
    });
    Entry::note(Note::Attached, data.to_string(), info.attached_us)
}

/// `detached`: from here on it is not. Of a process that ended without a word, what it left behind.
pub(super) fn detached(
    reason: &str,
    ended: Option<&str>,
    evidence: Option<&Evidence>,
    at_us: i64,
) -> Entry {
    let mut data = json!({ "reason": reason });
    if let Some(ended) = ended {
        data["ended"] = Value::from(ended);
    }
    if let Some(evidence) = evidence {
        data["evidence"] = evidence.to_json();
    }
    Entry::note(Note::Detached, data.to_string(), at_us)
}

/// `gap` before an attachment, if something may have been missed; see [`missed`].
pub(super) fn gap(missed: &Missed, until_us: i64) -> Entry {
    let data = json!({
        "from": time::rfc3339(missed.from_us),
        "until": time::rfc3339(until_us),
        "reason": missed.reason,
    });
    Entry::note(Note::Gap, data.to_string(), until_us)
}

/// `gap` within an attachment: events that were let go because the journal took nothing.
pub(super) fn overflow(loss: &Loss) -> Entry {
    let data = json!({
        "from": time::rfc3339(loss.from_us),
        "until": time::rfc3339(loss.until_us),
        "reason": OVERFLOW,
        "count": loss.count,
        "lost": loss.by_name,
    });
    Entry::note(Note::Gap, data.to_string(), loss.until_us)
}

/// `gap` within an attachment: the recorder was letting events go when it was killed.
pub(super) fn overflow_unknown(from_us: i64, until_us: i64) -> Entry {
    let data = json!({
        "from": time::rfc3339(from_us),
        "until": time::rfc3339(until_us),
        "reason": format!("{OVERFLOW}, and then the recorder was killed"),
    });
    Entry::note(Note::Gap, data.to_string(), until_us)
}

const OVERFLOW: &str = "events came faster than the journal took them";

/// `garbage`: bytes that are no message.
pub(super) fn garbage(garbage: &Garbage, at_us: i64) -> Entry {
    let data = json!({
        "why": garbage.to_string(),
        "offset": garbage.offset,
        "length": garbage.len,
        "sample": String::from_utf8_lossy(&garbage.sample),
    });
    Entry::note(Note::Garbage, data.to_string(), at_us)
}

/// `garbage`: a message that is not what it should be.
pub(super) fn stray(why: &str, text: &str, at_us: i64) -> Entry {
    let data = json!({
        "why": why,
        "length": text.len(),
        "text": cut(text, GARBAGE_TEXT_MAX_BYTES),
    });
    Entry::note(Note::Garbage, data.to_string(), at_us)
}

/// A stretch of time before an attachment in which something may have been missed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Missed {
    pub(super) from_us: i64,
    pub(super) reason: &'static str,
}

/// How an attachment came about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances {
    /// QEMU dialled us.
    pub(super) dialled_in: bool,
    /// Since when this recorder runs, microseconds since 1970.
    pub(super) recorder_since_us: i64,
}

/// What may have been missed before an attachment.
///
/// A process that was attached to before: everything since. A process that is new: everything since its
/// start, unless it dialled in right then. A process of which we know neither: everything since the
/// machine was last heard, if it ever was.
pub(super) fn missed(opened: &OpenedRun, info: &RunInfo, how: Circumstances) -> Option<Missed> {
    let heard = opened.heard_until_us;
    let (from_us, reason) = match (opened.continued, info.started_us, heard) {
        (true, _, Some(heard)) if heard < how.recorder_since_us => {
            (heard, "the recorder was not running")
        }
        (true, _, Some(heard)) => (heard, "the connection to QEMU was lost"),
        (_, Some(started), heard) => {
            let from = started.max(heard.unwrap_or(i64::MIN));
            if how.dialled_in && info.attached_us - from <= START_GRACE_US {
                return None;
            }
            (from, "QEMU was not attached to yet")
        }
        (_, None, Some(heard)) => (
            heard,
            "the machine was not attached to; whether it ran is unknown",
        ),
        (_, None, None) => return None,
    };
    (from_us < info.attached_us).then_some(Missed { from_us, reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::RunId;

    const S: i64 = 1_000_000;

    /// A run opened at 100 s by a recorder that runs since 50 s.
    #[track_caller]
    fn check(
        continued: bool,
        heard_s: Option<i64>,
        started_s: Option<i64>,
        dialled_in: bool,
        expected: Option<(i64, &str)>,
    ) {
        let info = RunInfo {
            machine: "web".to_owned(),
            started_us: started_s.map(|s| s * S),
            attached_us: 100 * S,
            ..RunInfo::default()
        };
        let opened = OpenedRun {
            run: RunId::of(1),
            continued,
            heard_until_us: heard_s.map(|s| s * S),
        };
        let how = Circumstances {
            dialled_in,
            recorder_since_us: 50 * S,
        };
        let found = missed(&opened, &info, how);
        let found = found.as_ref().map(|m| (m.from_us / S, m.reason));
        assert_eq!(found, expected);
    }

    #[test]
    fn gaps_have_the_right_bounds() {
        check(
            true,
            Some(60),
            Some(10),
            false,
            Some((60, "the connection to QEMU was lost")),
        );
        check(
            true,
            Some(40),
            Some(10),
            false,
            Some((40, "the recorder was not running")),
        );
        check(
            false,
            None,
            Some(90),
            false,
            Some((90, "QEMU was not attached to yet")),
        );
        check(
            false,
            Some(95),
            Some(90),
            false,
            Some((95, "QEMU was not attached to yet")),
        );
        check(
            false,
            None,
            Some(90),
            true,
            Some((90, "QEMU was not attached to yet")),
        );
        check(false, None, Some(99), true, None);
        check(false, Some(60), Some(99), true, None);
        check(
            false,
            Some(60),
            None,
            false,
            Some((
                60,
                "the machine was not attached to; whether it ran is unknown",
            )),
        );
        check(false, None, None, false, None);
        check(false, None, Some(100), false, None);
    }
}
