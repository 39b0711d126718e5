//! The pages of text: a machine, an event, the keys.

use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span, Text};

use super::app::App;
use super::view::Look;
use crate::output::escape::{visible, visible_json};
use crate::output::pretty;
use crate::record::Record;
use crate::time;

/// Why the chosen machine is in its state: what `qwatch why` says.
pub(super) fn machine(app: &App) -> Text<'static> {
    let lines = app.why.lines().map(|line| Line::from(line.to_owned()));
    Text::from(lines.collect::<Vec<_>>())
}

/// All about the chosen event: what it means, its data, where it stands.
pub(super) fn event(app: &App, look: &Look) -> Text<'static> {
    let Some(record) = app.chosen_event() else {
        return Text::from("This event is no longer held: see qwatch history.");
    };
    let mut lines = vec![title(&record.name), Line::default()];
    lines.push(member("machine", &record.machine));
    lines.push(member("time", &time::human(record.time_us(), &look.zone)));
    lines.push(member(
        "received",
        &time::human(record.received_us, &look.zone),
    ));
    lines.push(member(
        "number",
        &record.seq.map_or("-".to_owned(), |seq| seq.to_string()),
    ));
    lines.push(Line::default());
    lines.extend(meaning(record));
    if let Some(data) = &record.data {
        let data = qmp_events::json::compact(data);
        let data = pretty(&visible_json(&data));
        lines.extend(data.lines().map(|line| Line::from(line.to_owned())));
    }
    Text::from(lines)
}

/// What the book of events says of it.
fn meaning(record: &Record) -> Vec<Line<'static>> {
    let Some(kind) = qmp_events::EventKind::from_name(&record.name) else {
        return Vec::new();
    };
    let paragraphs = kind.facts().doc.paragraphs();
    let lines = paragraphs
        .into_iter()
        .flat_map(|text| [Line::from(text), Line::default()]);
    lines.collect()
}

/// The keys.
pub(super) fn help() -> Text<'static> {
    let mut lines = vec![title("Keys"), Line::default()];
    let keys = [
        (
            "↑ ↓ j k",
            "one line up, down; PgUp, PgDn a page; Home, End (g, G) to the ends",
        ),
        ("Tab", "from the machines to the events and back"),
        (
            "Enter",
            "on a machine: why it is in its state; on an event: all of it",
        ),
        ("Esc", "back; out of the events: follow them again"),
        ("a", "events of all machines, or of the chosen one"),
        ("f", "follow the newest event again"),
        (
            "/",
            "list only machines whose name has this in it, or fits a glob (web*)",
        ),
        (
            "s",
            "sort: trouble first, by name, by activity, by last heard",
        ),
        ("?", "this page"),
        ("q Ctrl-C", "quit"),
    ];
    lines.extend(keys.map(|(key, what)| member(key, what)));
    lines.push(Line::default());
    lines.push(Line::from(
        "A question mark behind a state: nobody listens to the machine now, it is the last one known.",
    ));
    lines.push(Line::from("EV/MIN: events heard within the last minute."));
    Text::from(lines)
}

fn title(text: &str) -> Line<'static> {
    Line::styled(
        visible(text).into_owned(),
        Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED),
    )
}

fn member(name: &str, value: &str) -> Line<'static> {
    Line::from(vec![
        Span::styled(
            format!("{name:10}"),
            Style::new().add_modifier(Modifier::BOLD),
        ),
        Span::raw(visible(value).into_owned()),
    ])
}
