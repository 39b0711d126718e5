//! The rules as one Markdown document: `docs/why.md` is this.

use std::fmt::Write;

use super::{Rule, Step, all};
use crate::machine::run::Effect;

const INTRODUCTION: &str = "\
# Why is it stopped?

Every cause that `qwatch why` can name: how it is recognised, what it means, what to do. All of it
comes from the rules in `crates/qwatch/src/machine/rules`; this page is written by `qwatch why --rules`
and a test keeps it so.

A cause is **certain** if the records leave no other explanation, **likely** if they fit and would fit
something else too, **unknown** if they do not tell; then `qwatch why` names the time nobody listened
in, if that hides the proof. Events may arrive after what they led to: QEMU sends some of them at most
once a second, and the last of a burst comes late, with its old stamp. Rules look at stamps, so order
of arrival does not matter.

In commands, `{monitor}` is the machine's monitor, `{machine}` its name; `qwatch why` fills them in.
";

const CHAPTERS: &[(&str, Option<Effect>)] = &[
    ("It stands still", Some(Effect::Stop)),
    ("It has not started", Some(Effect::Wait)),
    ("It sleeps", Some(Effect::Sleep)),
    ("It runs", Some(Effect::Run)),
    ("It was reset", Some(Effect::Reset)),
    ("It was switched off", Some(Effect::Shutdown)),
    ("Its process ended without a word", Some(Effect::End)),
    ("Worth knowing beside that", None),
];

/// The whole document.
pub fn markdown() -> String {
    let mut out = format!("{INTRODUCTION}\n");
    for (title, effect) in CHAPTERS {
        line(&mut out, &format!("- {title}"));
        for rule in all().filter(|rule| rule.effect == *effect) {
            let name = rule.id.name();
            line(&mut out, &format!("  - [{name}](#{name}): {}", rule.title));
        }
    }
    for (title, effect) in CHAPTERS {
        line(&mut out, &format!("\n## {title}"));
        for rule in all().filter(|rule| rule.effect == *effect) {
            section(&mut out, rule);
        }
    }
    out
}

fn section(out: &mut String, rule: &Rule) {
    line(
        out,
        &format!(
            "\n### {}\n\n**{}**\n",
            rule.id.name(),
            first_upper(rule.title)
        ),
    );
    line(out, rule.meaning);
    line(out, &format!("\n**Recognised by.** {}", rule.recognised));
    line(out, "\n**What to do.**\n");
    for Step { say, command } in rule.next {
        let command = match *command {
            "" => String::new(),
            command => format!(": `{command}`"),
        };
        line(out, &format!("- {say}{command}"));
    }
    line(out, &format!("\n**Source.** {}.", rule.source));
}

fn first_upper(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string());
    format!("{}{}", first.unwrap_or_default(), chars.as_str())
}

fn line(out: &mut String, text: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}
