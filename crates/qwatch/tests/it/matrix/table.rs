//! The table that the test prints: events by versions.

use std::fmt::Write;

use qemu_lab::{Version, recipes};
use qmp_events::EventKind;

use super::{Play, absent};

/// How many recipes showed each event on each version, or why none did.
pub(super) fn table(versions: &[Version], plays: &[Play], seconds: f64) -> String {
    let mut text = format!("\n{:<30}", "recipes that showed it on");
    for version in versions {
        let _ = write!(text, "{version:>6}");
    }
    text.push('\n');
    for kind in EventKind::ALL {
        let _ = write!(text, "{:<30}", kind.name());
        let mut reasons = Vec::new();
        for version in versions {
            match absent::seen(plays, *kind, *version) {
                0 => {
                    text.push_str("     -");
                    reasons.extend(absent::reason(*kind, *version));
                }
                count => {
                    let _ = write!(text, "{count:>6}");
                }
            }
        }
        reasons.dedup();
        if !reasons.is_empty() {
            let _ = write!(text, "  {}", reasons.join(", "));
        }
        text.push('\n');
    }
    for recipe in recipes::all() {
        if let Some(why) = (recipe.host_lacks)() {
            let _ = writeln!(text, "NOT PLAYED: {}, as {why}", recipe.name);
        }
    }
    let lines: usize = plays.iter().map(|play| play.heard.len()).sum();
    for version in versions {
        let events = EventKind::ALL
            .iter()
            .filter(|kind| absent::seen(plays, **kind, *version) > 0)
            .count();
        let recipes = plays.iter().filter(|play| play.version == *version).count();
        let _ = writeln!(text, "QEMU {version}: {events} events by {recipes} recipes");
    }
    let _ = writeln!(
        text,
        "{} machines, {lines} events in all, {seconds:.1} s",
        plays.len()
    );
    text
}
