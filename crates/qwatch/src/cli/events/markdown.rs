//! The book of events as one Markdown document: `docs/events.md` is this.

use std::fmt::Write;

use qmp_events::Version;
use qmp_events::facts::{EnumFacts, EventFacts, MemberFacts, TypeFacts};

use super::page::{enums, releases};
use super::seen::seen;

const INTRODUCTION: &str = "\
# QEMU's events

What each event means, since when QEMU has it, what is in it, how often it comes. `qwatch events
NAME` prints the same. All of it comes from the vocabulary in `crates/qmp-events`; this page is
written by `qwatch events --markdown` and a test keeps it so.

\"Seen\" names the recipes of `crates/qemu-lab` that make a real QEMU emit the event; a test runs
each of them on each version named, through the recorder and the journal.
";

/// The whole document.
pub(super) fn book(events: &[&EventFacts]) -> String {
    let mut out = format!("{INTRODUCTION}\n");
    for facts in events {
        let (name, anchor) = (facts.name, facts.name.to_lowercase());
        line(
            &mut out,
            &format!("- [{name}](#{anchor}): {}", facts.doc.summary()),
        );
    }
    for facts in events {
        section(&mut out, facts);
    }
    out
}

fn section(out: &mut String, facts: &EventFacts) {
    line(out, &format!("\n## {}\n", facts.name));
    line(out, &facts.doc.paragraphs().join("\n\n"));
    line(
        out,
        &format!("\n**In QEMU.** {}", releases(facts).join(" ")),
    );
    line(
        out,
        &format!("\n**Seen.** {}", seen(facts.name).sentences().join(" ")),
    );
    if facts.members.is_empty() {
        line(out, "\n**Data.** None.");
    } else {
        line(
            out,
            "\n| member | type | since | meaning |\n|---|---|---|---|",
        );
        members(out, facts.members, "");
    }
    for known in enums(facts.members) {
        values(out, known);
    }
    if let Some(seed) = facts.seed {
        let text = if seed.is_empty() {
            "No difference."
        } else {
            seed
        };
        line(
            out,
            &format!("\n**Compared with QEMU's event document of 2016.** {text}"),
        );
    }
}

/// One row a member; `path` is what stands before its name.
fn members(out: &mut String, members: &[MemberFacts], path: &str) {
    for member in members {
        let name = format!("{path}{}", member.name);
        let optional = if member.optional { ", optional" } else { "" };
        let cells = [
            format!("`{name}`"),
            format!("{}{optional}", member.ty.name()),
            since(member.since),
            cell(&member.doc.paragraphs()),
        ];
        line(out, &format!("| {} |", cells.join(" | ")));
        match member.ty {
            TypeFacts::Object(object) => self::members(out, object.members, &format!("{name}.")),
            TypeFacts::Union(union) => {
                for branch in union.branches {
                    let when = format!("`{name}` where `{}` is `{}`", union.tag, branch.name);
                    let doc = cell(&branch.doc.paragraphs());
                    let row = [when, "object".to_owned(), since(branch.since), doc];
                    line(out, &format!("| {} |", row.join(" | ")));
                    self::members(out, branch.object.members, &format!("{name}."));
                }
            }
            _ => {}
        }
    }
}

fn values(out: &mut String, known: &EnumFacts) {
    line(
        out,
        &format!("\nValues of {}: {}\n", known.name, known.doc.summary()),
    );
    for value in known.values {
        let since = value.since.map(|version| format!(" (since {version})"));
        let since = since.unwrap_or_default();
        let doc = value.doc.paragraphs().join(" ");
        line(out, &format!("- `{}`{since}: {doc}", value.name));
    }
}

fn since(version: Option<Version>) -> String {
    version
        .map(|version| version.to_string())
        .unwrap_or_default()
}

/// Text for a cell of a table, where a bar would end it.
fn cell(paragraphs: &[String]) -> String {
    paragraphs.join(" ").replace('|', "\\|")
}

fn line(out: &mut String, text: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}
