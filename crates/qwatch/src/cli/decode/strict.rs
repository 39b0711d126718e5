//! `--strict`: what was outside the vocabulary.

use std::collections::BTreeMap;

use qmp_events::{Message, Outside};

use crate::cli::Ui;

/// So many different findings are told one by one; further ones are only counted.
const FINDINGS_MAX: usize = 1000;

/// What was outside the vocabulary: each finding once, with its first place and how often it came.
#[derive(Default)]
pub(super) struct Outsiders {
    findings: BTreeMap<String, Finding>,
    /// Occurrences of findings beyond [`FINDINGS_MAX`].
    untold: u64,
}

struct Finding {
    offset: u64,
    count: u64,
}

impl Outsiders {
    /// Looks at an event that begins at `offset`, bytes from the start of the input.
    pub(super) fn look(&mut self, message: &Message<'_>, offset: u64) {
        for outside in message.outside() {
            let text = match &outside {
                Outside::Event(_) => outside.to_string(),
                _ => format!("{}: {outside}", message.event.name()),
            };
            if let Some(finding) = self.findings.get_mut(&text) {
                finding.count += 1;
            } else if self.findings.len() < FINDINGS_MAX {
                self.findings.insert(text, Finding { offset, count: 1 });
            } else {
                self.untold += 1;
            }
        }
    }

    /// Tells the user; whether there was anything to tell.
    pub(super) fn report(&self, ui: Ui) -> bool {
        let mut findings: Vec<_> = self.findings.iter().collect();
        findings.sort_by_key(|(_, finding)| finding.offset);
        for (text, finding) in findings {
            let more = match finding.count {
                1 => String::new(),
                count => format!(" ({count} times)"),
            };
            ui.note(&format!("byte {}: {text}{more}", finding.offset));
        }
        if self.untold > 0 {
            ui.note(&format!("and {} more of other kinds", self.untold));
        }
        !self.findings.is_empty()
    }
}
