//! The table of events and the page of one.

use std::fmt::Write;

use anstyle::Style;
use qmp_events::Version;
use qmp_events::facts::{
    BranchFacts, Doc, EnumFacts, EventFacts, LimitSince, MemberFacts, TypeFacts,
};

use super::seen::seen;
use crate::output::{Palette, paint};

/// Text is wrapped to this many columns.
const TEXT_COLUMNS: usize = 88;
const INDENT: &str = "    ";

/// One line an event: name, first release, rate limit, what happened.
pub(super) fn table(events: &[&EventFacts], palette: Palette) -> String {
    let wide = |cells: &mut dyn Iterator<Item = usize>| cells.max().unwrap_or(0);
    let names = wide(&mut events.iter().map(|facts| facts.name.len())).max("EVENT".len());
    let limits = wide(&mut events.iter().map(|facts| limit_cell(facts).len())).max("LIMIT".len());
    let mut out = String::new();
    let head = format!("{:names$}  SINCE  {:limits$}  MEANING", "EVENT", "LIMIT");
    line(&mut out, &paint(palette.dim, &head));
    for facts in events {
        let name = paint(palette.of(facts.name), &format!("{:names$}", facts.name));
        let since = facts.since.to_string();
        let limit = limit_cell(facts);
        let gone = match facts.removed {
            Some(removed) => format!(" (removed in {removed})"),
            None => String::new(),
        };
        let summary = facts.doc.summary();
        line(
            &mut out,
            &format!("{name}  {since:>5}  {limit:limits$}  {summary}{gone}"),
        );
    }
    out
}

/// Everything known about one event.
pub(super) fn page(facts: &EventFacts, palette: Palette) -> String {
    let mut out = String::new();
    line(&mut out, &paint(palette.of(facts.name), facts.name));
    prose(&mut out, facts.doc, INDENT);
    heading(&mut out, "In QEMU", palette);
    for sentence in releases(facts) {
        wrapped(&mut out, &sentence, INDENT);
    }
    heading(&mut out, "Seen in real QEMUs", palette);
    for sentence in seen(facts.name).sentences() {
        wrapped(&mut out, &sentence, INDENT);
    }
    heading(&mut out, "Data", palette);
    if facts.members.is_empty() {
        line(&mut out, &format!("{INDENT}none"));
    }
    members(&mut out, facts.members, INDENT, palette);
    for known in enums(facts.members) {
        heading(&mut out, &format!("Values of {}", known.name), palette);
        wrapped(&mut out, &known.doc.summary(), INDENT);
        values(&mut out, known, palette);
    }
    if let Some(seed) = facts.seed {
        heading(
            &mut out,
            "Compared with QEMU's event document of 2016",
            palette,
        );
        let text = if seed.is_empty() {
            "No difference."
        } else {
            seed
        };
        wrapped(&mut out, text, INDENT);
    }
    out
}

fn limit_cell(facts: &EventFacts) -> String {
    match (facts.limits.last(), facts.latch) {
        (Some(limit), _) => match limit.key {
            Some(key) => format!("1/s per {key}"),
            None => "1/s".to_owned(),
        },
        (None, Some(_)) => "once".to_owned(),
        (None, None) => "-".to_owned(),
    }
}

pub(super) fn releases(facts: &EventFacts) -> Vec<String> {
    let mut sentences = vec![match facts.removed {
        Some(removed) => format!("Since {}, removed in {removed}.", facts.since),
        None => format!("Since {}.", facts.since),
    }];
    if facts.unstable {
        sentences.push("Marked unstable: it may change or vanish without notice.".to_owned());
    }
    sentences.extend(facts.limits.iter().map(limit_sentence));
    if facts.limits.is_empty() {
        sentences.push("Not rate-limited.".to_owned());
    }
    if let Some(command) = facts.latch {
        sentences.push(format!(
            "Sent once, then not again until {command} is executed."
        ));
    }
    sentences
}

/// What a rate limit means to the reader.
pub(super) fn limit_sentence(limit: &LimitSince) -> String {
    let slot = match limit.key {
        Some(key) => format!("for the same {key}"),
        None => "of the whole machine".to_owned(),
    };
    let except = match limit.except {
        Some((member, value)) => format!(", but not where {member} is {value}"),
        None => String::new(),
    };
    format!(
        "Rate-limited since {}: at most one a second {slot}{except}; of those in between only the last is sent.",
        limit.since
    )
}

fn members(out: &mut String, members: &[MemberFacts], indent: &str, palette: Palette) {
    for member in members {
        let mut about = vec![member.ty.name()];
        if member.optional {
            about.push("optional".to_owned());
        }
        about.extend(member.since.map(since));
        let name = paint(palette.machine, member.name);
        let about = paint(palette.dim, &about.join(", "));
        line(out, &format!("{indent}{name}  {about}"));
        let deeper = format!("{indent}{INDENT}");
        prose(out, member.doc, &deeper);
        match member.ty {
            TypeFacts::Object(object) => self::members(out, object.members, &deeper, palette),
            TypeFacts::Union(union) => {
                for branch in union.branches {
                    self::branch(out, union.tag, branch, &deeper, palette);
                }
            }
            _ => {}
        }
    }
}

fn branch(out: &mut String, tag: &str, branch: &BranchFacts, indent: &str, palette: Palette) {
    let when = format!("where {tag} is {}", branch.name);
    let since = branch.since.map(since).unwrap_or_default();
    let text = format!("{indent}{when}  {}", paint(palette.dim, &since));
    line(out, text.trim_end());
    let deeper = format!("{indent}{INDENT}");
    prose(out, branch.doc, &deeper);
    members(out, branch.object.members, &deeper, palette);
}

fn values(out: &mut String, known: &EnumFacts, palette: Palette) {
    for value in known.values {
        let since = value.since.map(since).unwrap_or_default();
        let name = paint(palette.machine, value.name);
        let text = format!("{INDENT}{name}  {}", paint(palette.dim, &since));
        line(out, text.trim_end());
        prose(out, value.doc, &format!("{INDENT}{INDENT}"));
    }
}

/// Every enum of the members, once, in the order of their first use.
pub(super) fn enums(members: &[MemberFacts]) -> Vec<&'static EnumFacts> {
    let mut found: Vec<&'static EnumFacts> = Vec::new();
    for member in members {
        let inner = match member.ty {
            TypeFacts::Enum(facts) => vec![facts],
            TypeFacts::Object(object) => enums(object.members),
            TypeFacts::Union(union) => {
                let branches = union.branches.iter();
                branches
                    .flat_map(|branch| enums(branch.object.members))
                    .collect()
            }
            _ => Vec::new(),
        };
        for facts in inner {
            if !found.iter().any(|known| known.name == facts.name) {
                found.push(facts);
            }
        }
    }
    found
}

fn since(version: Version) -> String {
    format!("since {version}")
}

fn heading(out: &mut String, text: &str, palette: Palette) {
    let style = if palette.plain == Style::new() {
        palette.plain
    } else {
        palette.plain.underline()
    };
    line(out, "");
    line(out, &paint(style, text));
}

fn prose(out: &mut String, doc: Doc, indent: &str) {
    for (at, paragraph) in doc.paragraphs().iter().enumerate() {
        if at > 0 {
            line(out, "");
        }
        wrapped(out, paragraph, indent);
    }
}

fn wrapped(out: &mut String, text: &str, indent: &str) {
    let mut row = indent.to_owned();
    for word in text.split_whitespace() {
        let is_first = row.len() == indent.len();
        if !is_first && row.chars().count() + 1 + word.chars().count() > TEXT_COLUMNS {
            line(out, &row);
            row.truncate(indent.len());
        } else if !is_first {
            row.push(' ');
        }
        row.push_str(word);
    }
    if row.len() > indent.len() {
        line(out, &row);
    }
}

fn line(out: &mut String, text: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}
