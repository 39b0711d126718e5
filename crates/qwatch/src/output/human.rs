//! One record as one line for people: time, machine, event, what matters of the data.

use anstyle::{AnsiColor, Style};
use jiff::tz::TimeZone;

use super::escape::visible;
use super::summary;
use crate::record::{Origin, Record};
use crate::time;

/// A machine's name takes at most this many columns; longer ones push the rest of their line.
const MACHINE_COLUMNS_MAX: usize = 24;
/// Wide enough for most events; longer names push the rest of their line.
const EVENT_COLUMNS: usize = 20;
/// `2026-01-31 12:00:00.000`
const TIME_COLUMNS: usize = 23;

/// The widths of the columns: they grow with what is seen and never shrink.
#[derive(Debug, Default)]
struct Columns {
    machine: usize,
}

impl Columns {
    /// Makes room for a machine's name.
    fn widen(&mut self, machine: &str) {
        let width = visible(machine).chars().count();
        self.machine = self.machine.max(width.min(MACHINE_COLUMNS_MAX));
    }
}

/// The colours of a line; all plain when colours are off.
#[derive(Clone, Copy, Debug, Default)]
pub struct Palette {
    /// Times and other background.
    pub dim: Style,
    /// Machine names.
    pub machine: Style,
    /// An event among many.
    pub plain: Style,
    /// An event after which the machine runs or a job is done.
    pub good: Style,
    /// An event that deserves a look.
    pub notice: Style,
    /// An event that means trouble.
    pub trouble: Style,
    /// A hole in the record.
    pub gap: Style,
    /// A note of the recorder's that is no hole.
    pub note: Style,
}

impl Palette {
    /// The colours, or none.
    pub fn new(colored: bool) -> Self {
        if !colored {
            return Self::default();
        }
        let color = |color: AnsiColor| Style::new().fg_color(Some(color.into()));
        Self {
            dim: Style::new().dimmed(),
            machine: color(AnsiColor::Cyan),
            plain: Style::new().bold(),
            good: color(AnsiColor::Green).bold(),
            notice: color(AnsiColor::Yellow).bold(),
            trouble: color(AnsiColor::Red).bold(),
            gap: color(AnsiColor::Magenta).bold(),
            note: Style::new().dimmed().bold(),
        }
    }

    /// The colour of an event or note by its name.
    pub fn of(&self, name: &str) -> Style {
        match name {
            "GUEST_PANICKED"
            | "BLOCK_IO_ERROR"
            | "BLOCK_JOB_ERROR"
            | "BLOCK_IMAGE_CORRUPTED"
            | "QUORUM_FAILURE"
            | "QUORUM_REPORT_BAD"
            | "MEMORY_FAILURE"
            | "WATCHDOG"
            | "MEM_UNPLUG_ERROR"
            | "DEVICE_UNPLUG_GUEST_ERROR"
            | "VFU_CLIENT_HANGUP"
            | "GUEST_CRASHLOADED" => self.trouble,
            "STOP"
            | "SHUTDOWN"
            | "RESET"
            | "POWERDOWN"
            | "SUSPEND"
            | "SUSPEND_DISK"
            | "BLOCK_JOB_CANCELLED"
            | "BLOCK_WRITE_THRESHOLD"
            | "COLO_EXIT"
            | "GUEST_PVSHUTDOWN" => self.notice,
            "RESUME"
            | "WAKEUP"
            | "BLOCK_JOB_COMPLETED"
            | "DUMP_COMPLETED"
            | "SPICE_MIGRATE_COMPLETED" => self.good,
            "gap" => self.gap,
            "attached" | "detached" | "state" | "garbage" => self.note,
            _ => self.plain,
        }
    }
}

/// `text` in `style`; nothing is added for a plain style.
pub(crate) fn paint(style: Style, text: &str) -> String {
    if style == Style::new() {
        return text.to_owned();
    }
    format!("{style}{text}{style:#}")
}

/// What one line shows.
pub(crate) struct Shown<'a> {
    /// Microseconds since 1970; `None` where nobody knows.
    pub(crate) time_us: Option<i64>,
    /// Empty where there is only one machine, and no name for it.
    pub(crate) machine: &'a str,
    pub(crate) name: &'a str,
    pub(crate) data: Option<&'a str>,
    pub(crate) origin: Origin,
}

impl<'a> From<&'a Record> for Shown<'a> {
    fn from(record: &'a Record) -> Self {
        Self {
            time_us: Some(record.time_us()),
            machine: &record.machine,
            name: &record.name,
            data: record.data.as_deref(),
            origin: record.origin,
        }
    }
}

/// Makes lines whose columns stand below each other.
pub(crate) struct Lines {
    zone: TimeZone,
    columns: Columns,
    palette: Palette,
}

impl Lines {
    pub(crate) fn new(zone: TimeZone, palette: Palette) -> Self {
        let columns = Columns::default();
        Self {
            zone,
            columns,
            palette,
        }
    }

    /// Makes room for a machine's name.
    pub(crate) fn widen(&mut self, machine: &str) {
        self.columns.widen(machine);
    }

    /// One line, without the line end.
    pub(crate) fn line(&mut self, shown: &Shown<'_>) -> String {
        self.columns.widen(shown.machine);
        let at = match shown.time_us {
            Some(us) => time::human(us, &self.zone),
            None => "(no clock)".to_owned(),
        };
        let mut line = paint(self.palette.dim, &padded(&at, TIME_COLUMNS));
        if self.columns.machine > 0 {
            let machine = padded(shown.machine, self.columns.machine);
            line.push_str("  ");
            line.push_str(&paint(self.palette.machine, &machine));
        }
        let name = padded(shown.name, EVENT_COLUMNS);
        let event = paint(self.palette.of(shown.name), &name);
        let mark = match shown.origin {
            Origin::Qwatch => "· ",
            Origin::Qemu => "",
        };
        let summary = summary(shown.name, shown.data);
        let line = format!("{line}  {event}  {mark}{summary}");
        line.trim_end().to_owned()
    }
}

fn padded(text: &str, width: usize) -> String {
    let text = visible(text);
    let missing = width.saturating_sub(text.chars().count());
    format!("{text}{}", " ".repeat(missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(machine: &str, name: &str, data: Option<&str>, palette: Palette) -> String {
        let shown = Shown {
            time_us: Some(1_700_000_000_123_456),
            machine,
            name,
            data,
            origin: Origin::Qemu,
        };
        let mut lines = Lines::new(TimeZone::UTC, palette);
        lines.widen("web-1");
        lines.line(&shown)
    }

    #[test]
    fn columns_stand_in_line() {
        let plain = Palette::default();
        let lines = [
            shown("db", "STOP", None, plain),
            shown(
                "db",
                "VSERPORT_CHANGE",
                Some(r#"{"open": true, "id": "agent"}"#),
                plain,
            ),
            shown(
                "a\x1b[2Jb",
                "MADE\u{202e}UP",
                Some(r#"{"x": "\u001b[31m"}"#),
                plain,
            ),
        ];
        insta::assert_snapshot!(lines.join("\n"), @r"
        2023-11-14 22:13:20.123Z  db     STOP
        2023-11-14 22:13:20.123Z  db     VSERPORT_CHANGE       agent opened by the guest
        2023-11-14 22:13:20.123Z  a\x1b[2Jb  MADE\u{202e}UP        x=\x1b[31m
        ");
    }

    #[test]
    fn colours_are_closed_again() {
        let text = shown("db", "STOP", None, Palette::new(true));
        assert!(text.contains("\u{1b}[33mSTOP"), "{text:?}");
        assert_eq!(text.matches("\u{1b}[0m").count(), 3, "{text:?}");
    }
}
