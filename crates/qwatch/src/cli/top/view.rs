//! The picture: what is in the [`App`], drawn for a terminal of any size.

use anstyle::{AnsiColor, Color as AnyColor, Effects};
use jiff::tz::TimeZone;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Cell, Paragraph, Row as TableRow, Table, TableState, Wrap};

use super::app::{App, Pane, Row, Screen};
use super::text;
use crate::output::escape::visible;
use crate::output::{Palette, summary};
use crate::record::{Origin, Record};
use crate::time;

/// How things look.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) zone: TimeZone,
    pub(super) palette: Palette,
    pub(super) colored: bool,
}

/// Lines of the screen below which the events are not worth their place.
const EVENTS_FROM_LINES: u16 = 10;

/// Draws all of it; gives how many lines the page of text, if it is one, can be scrolled down.
pub(super) fn draw(app: &App, look: &Look, frame: &mut Frame<'_>) -> usize {
    let [head, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(header(app, look, head.width), head);
    frame.render_widget(footer(app, look), foot);
    let text = match app.screen {
        Screen::Overview => {
            overview(app, look, frame, body);
            return 0;
        }
        Screen::Machine => text::machine(app),
        Screen::Event => text::event(app, look),
        Screen::Help => text::help(),
    };
    page(app, text, frame, body)
}

/// What the journal is, how many machines are how, and the time.
fn header(app: &App, look: &Look, width: u16) -> Line<'static> {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for row in app.machines() {
        let word = row.state.run_state().word();
        match counts.iter_mut().find(|(known, _)| *known == word) {
            Some((_, count)) => *count += 1,
            None => counts.push((word, 1)),
        }
    }
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let all: usize = counts.iter().map(|(_, count)| count).sum();
    let recorder = if app.recorded {
        ""
    } else {
        ", no recorder runs"
    };
    let states: String = counts
        .iter()
        .map(|(word, count)| format!(" · {count} {word}"))
        .collect();
    let machines = if all == 1 { "machine" } else { "machines" };
    let left = format!("qwatch top  {all} {machines}{states}{recorder}");
    let clock = time::human(app.now_us, &look.zone);
    let clock = clock.get(11..19).unwrap_or_default().to_owned();
    let room = usize::from(width).saturating_sub(clock.len() + 1);
    let left = fitted(&left, room);
    let line = format!("{left:room$} {clock}");
    Line::styled(line, Style::new().add_modifier(Modifier::REVERSED))
}

/// What the keys do here, or what there is to say.
fn footer(app: &App, look: &Look) -> Line<'static> {
    let (filter, typing) = app.filter_text();
    if typing {
        let typed = visible(filter).into_owned();
        return Line::from(format!(
            "/{typed}_   Enter filters, Esc gives up, empty for all machines"
        ));
    }
    if let Some(message) = &app.message {
        return Line::from(visible(message).into_owned());
    }
    let keys = match (app.screen, app.focus) {
        (Screen::Overview, Pane::Machines) => {
            "↑↓ machine  Enter why  Tab events  a all  / filter  s sort  ? help  q quit"
        }
        (Screen::Overview, Pane::Events) => {
            "↑↓ event  Enter details  f follow  Tab machines  a all  ? help  q quit"
        }
        _ => "↑↓ PgUp PgDn scroll  Esc back  q quit",
    };
    let filtered = match filter {
        "" => String::new(),
        text => format!("[{}] ", visible(text)),
    };
    Line::from(vec![
        Span::styled(filtered, look.style(look.palette.notice)),
        Span::styled(keys, look.style(look.palette.dim)),
    ])
}

fn overview(app: &App, look: &Look, frame: &mut Frame<'_>, area: Rect) {
    let listed = app.listed();
    let rows = u16::try_from(listed.len()).unwrap_or(u16::MAX);
    // The machines take what they need, up to half; a small screen is all theirs.
    let events = match area.height < EVENTS_FROM_LINES {
        true => 0,
        false => area.height - rows.saturating_add(1).min(area.height / 2),
    };
    let [machines, lower] =
        Layout::vertical([Constraint::Fill(1), Constraint::Length(events)]).areas(area);
    draw_machines(app, look, &listed, frame, machines);
    if events > 0 {
        draw_events(app, look, frame, lower);
    }
}

fn draw_machines(
    app: &App,
    look: &Look,
    listed: &[(&str, &Row)],
    frame: &mut Frame<'_>,
    area: Rect,
) {
    let names = listed.iter().map(|(name, _)| visible(name).chars().count());
    let name = u16::try_from(names.max().unwrap_or(7).clamp(7, 24)).unwrap_or(24);
    let chosen = app.chosen().map(|(name, _)| name);
    let at = listed.iter().position(|(name, _)| Some(*name) == chosen);
    // Only what is seen is made: there may be thousands.
    let height = usize::from(area.height.saturating_sub(1));
    let first = at.unwrap_or(0).saturating_sub(height.saturating_sub(1));
    let rows = listed
        .iter()
        .skip(first)
        .take(height)
        .map(|(name, row)| machine_row(name, row, app.now_us, look));
    let widths = [
        Constraint::Length(name),
        Constraint::Min(18),
        Constraint::Length(6),
        Constraint::Length(6),
        Constraint::Length(18),
        Constraint::Length(4),
        Constraint::Length(7),
    ];
    let head = [
        "MACHINE",
        "STATE",
        "SINCE",
        "EV/MIN",
        "LAST EVENT",
        "GAPS",
        "QEMU",
    ];
    let head =
        TableRow::new(head.map(|title| Cell::from(title).style(look.style(look.palette.dim))));
    let table = Table::new(rows, widths)
        .header(head)
        .row_highlight_style(cursor(app.focus == Pane::Machines));
    let mut state = TableState::new().with_selected(at.map(|at| at - first));
    frame.render_stateful_widget(table, area, &mut state);
}

fn machine_row(name: &str, row: &Row, now_us: i64, look: &Look) -> TableRow<'static> {
    let state = row.state.run_state();
    let mark = if row.state.is_heard() || state.word() == "gone" {
        ""
    } else {
        "?"
    };
    let detail = row
        .state
        .detail()
        .map_or(String::new(), |detail| format!(" ({})", visible(detail)));
    let since = row
        .state
        .since_us()
        .map_or_else(String::new, |us| age(now_us - us));
    let last = row.last.as_deref().unwrap_or("-");
    let gaps = match row.gaps {
        0 => String::new(),
        gaps => gaps.to_string(),
    };
    let rate = match row.per_minute(now_us) {
        0 => String::new(),
        rate => rate.to_string(),
    };
    TableRow::new([
        Cell::from(visible(name).into_owned()).style(look.style(look.palette.machine)),
        Cell::from(format!("{}{mark}{detail}", state.word())).style(look.of_state(state.word())),
        Cell::from(Text::from(since).right_aligned()),
        Cell::from(Text::from(rate).right_aligned()),
        Cell::from(visible(last).into_owned()).style(look.style(look.palette.of(last))),
        Cell::from(Text::from(gaps).right_aligned()).style(look.style(look.palette.gap)),
        Cell::from(visible(&row.qemu).into_owned()),
    ])
}

fn draw_events(app: &App, look: &Look, frame: &mut Frame<'_>, area: Rect) {
    let [title, list] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    let of = match (app.all_events, app.chosen()) {
        (false, Some((name, _))) => format!(" Events of {} ", visible(name)),
        _ => " Events of all machines ".to_owned(),
    };
    let mode = if app.event.is_some() {
        " stopped here, f follows "
    } else {
        " live "
    };
    let width = usize::from(title.width);
    let rule = "─".repeat(width.saturating_sub(of.chars().count() + mode.len() + 2));
    let rule = fitted(&format!("─{of}{rule}{mode}─"), width);
    frame.render_widget(Line::styled(rule, look.style(look.palette.dim)), title);
    let shown = app.shown_events();
    let height = usize::from(list.height);
    let at = shown
        .iter()
        .position(|record| record.seq == app.event && app.event.is_some());
    let end = match at {
        Some(at) => (at + height.div_ceil(2)).clamp(height.min(shown.len()), shown.len()),
        None => shown.len(),
    };
    let first = end.saturating_sub(height);
    let lines: Vec<Line<'_>> = shown[first..end]
        .iter()
        .enumerate()
        .map(|(number, record)| {
            let line = event_line(record, app.all_events, look, usize::from(list.width));
            match at == Some(first + number) {
                true => line.patch_style(cursor(app.focus == Pane::Events)),
                false => line,
            }
        })
        .collect();
    frame.render_widget(Paragraph::new(lines), list);
}

/// Time, perhaps the machine, the event, and as much of what matters as fits.
fn event_line<'l>(record: &Record, with_machine: bool, look: &Look, width: usize) -> Line<'l> {
    let clock = time::human(record.time_us(), &look.zone);
    let clock = clock.get(11..23).unwrap_or(&clock).to_owned();
    let machine = match with_machine {
        true => format!("{:12} ", fitted(&visible(&record.machine), 12)),
        false => String::new(),
    };
    let name = visible(&record.name).into_owned();
    let mark = if record.origin == Origin::Qwatch {
        "· "
    } else {
        ""
    };
    let used = clock.len() + 3 + machine.chars().count() + name.chars().count().max(18);
    let said = format!("{mark}{}", summary(&record.name, record.data.as_deref()));
    Line::from(vec![
        Span::styled(clock, look.style(look.palette.dim)),
        Span::raw("  "),
        Span::styled(machine, look.style(look.palette.machine)),
        Span::styled(
            format!("{name:18} "),
            look.style(look.palette.of(&record.name)),
        ),
        Span::raw(fitted(&said, width.saturating_sub(used))),
    ])
}

/// A page of text, scrolled no further than its end, which is what it gives.
fn page(app: &App, text: Text<'static>, frame: &mut Frame<'_>, area: Rect) -> usize {
    let paragraph = Paragraph::new(text).wrap(Wrap { trim: false });
    let lines = paragraph.line_count(area.width);
    let furthest = lines.saturating_sub(usize::from(area.height));
    let scroll = u16::try_from(app.scroll.min(furthest)).unwrap_or(u16::MAX);
    frame.render_widget(paragraph.scroll((scroll, 0)), area);
    furthest
}

fn cursor(focused: bool) -> Style {
    let style = Style::new();
    match focused {
        true => style.add_modifier(Modifier::REVERSED),
        false => style.add_modifier(Modifier::BOLD),
    }
}

/// How long, in at most six columns.
pub(super) fn age(us: i64) -> String {
    let seconds = us.max(0) / 1_000_000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// The text, or its beginning and an ellipsis, in so many characters.
fn fitted(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    let kept: String = text.chars().take(columns.saturating_sub(1)).collect();
    match columns {
        0 => kept,
        _ => kept + "…",
    }
}

impl Look {
    /// The colours are the same as of the commands that print lines.
    pub(super) fn style(&self, style: anstyle::Style) -> Style {
        if !self.colored {
            return Style::new();
        }
        let mut out = Style::new();
        if let Some(AnyColor::Ansi(color)) = style.get_fg_color() {
            out = out.fg(ansi(color));
        }
        let effects = style.get_effects();
        if effects.contains(Effects::BOLD) {
            out = out.add_modifier(Modifier::BOLD);
        }
        if effects.contains(Effects::DIMMED) {
            out = out.add_modifier(Modifier::DIM);
        }
        out
    }

    fn of_state(&self, word: &str) -> Style {
        self.style(match word {
            "running" => self.palette.good,
            "paused" | "panicked" => self.palette.trouble,
            "gone" | "shutdown" => self.palette.dim,
            _ => self.palette.notice,
        })
    }
}

fn ansi(color: AnsiColor) -> Color {
    match color {
        AnsiColor::Red => Color::Red,
        AnsiColor::Green => Color::Green,
        AnsiColor::Yellow => Color::Yellow,
        AnsiColor::Blue => Color::Blue,
        AnsiColor::Magenta => Color::Magenta,
        AnsiColor::Cyan => Color::Cyan,
        _ => Color::Reset,
    }
}
