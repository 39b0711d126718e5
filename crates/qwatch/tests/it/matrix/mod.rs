//! Every recipe on every real QEMU, through the whole product: QEMU, `qwatch record`, the journal,
//! `qwatch history` and `qwatch watch`. What the lab's own monitor captured beside it is the truth.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use qemu_lab::{LabError, LabEvent, QemuBinary, Recipe, Version, installed, recipes};
use qmp_events::Message;
use qwatch::journal::{Follower, Query, Reader};
use qwatch::record::{Origin, Record};

use crate::recorder::Place;

mod absent;
mod listed;
mod live;
mod promises;
mod readback;
mod table;

/// Machines at a time. Most of a machine's life is waiting, so more than there are processors.
const AT_ONCE: usize = 4;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one recipe did on one QEMU.
struct Play {
    version: Version,
    recipe: &'static Recipe,
    /// The machine's name in the journal.
    machine: String,
    /// What the lab's own monitor heard.
    heard: Vec<LabEvent>,
    /// What a person needs to know of the machine if something is wrong.
    report: String,
}

impl Play {
    /// An error message that shows everything.
    fn failure(&self, problem: &str) -> String {
        format!("{}: {problem}\n{}", self.machine, self.report)
    }
}

#[test]
fn every_event_of_every_qemu_through_the_whole_product() {
    let started = Instant::now();
    let binaries = installed().unwrap_or_else(|error| panic!("{error}"));
    let place = Place::new();
    let recorder = place.listen();
    let live = live::Live::start(&place, &binaries[0]).unwrap_or_else(|error| panic!("{error}"));
    let mut failures = Vec::new();
    let mut plays = Vec::new();
    for outcome in play_all(&place, &binaries) {
        match outcome {
            Ok(play) => plays.push(play),
            Err(problem) => failures.push(problem),
        }
    }
    recorder.stop();
    let mut stored = stored_events(&place);
    let printed = readback::history(&place.journal());
    let lines: Vec<&str> = printed.lines().collect();
    failures.extend(live.same_as(&lines).err());
    let mut shown = readback::by_machine(&lines);
    for play in &plays {
        let stored = stored.remove(&play.machine).unwrap_or_default();
        let shown = shown.remove(&play.machine).unwrap_or_default();
        let problems = [
            same_as_heard(play, &stored),
            readback::same_as_stored(&stored, &shown),
            typed(&stored),
            promises::kept(play, &stored),
        ];
        failures.extend(
            problems
                .into_iter()
                .filter_map(Result::err)
                .map(|problem| play.failure(&problem)),
        );
    }
    let versions: Vec<Version> = binaries.iter().map(|binary| binary.version).collect();
    failures.extend(absent::stale(&versions, &plays));
    let seconds = started.elapsed().as_secs_f64();
    let text = table::table(&versions, &plays, seconds);
    // Past the test runner's capture: the table is what a person wants to see of this test.
    io::stdout()
        .write_all(text.as_bytes())
        .expect("standard output");
    assert!(
        failures.is_empty(),
        "{} failures\n{}",
        failures.len(),
        failures.join("\n\n")
    );
}

/// Plays every recipe on every QEMU it works on, some at a time.
fn play_all(place: &Place, binaries: &[QemuBinary]) -> Vec<Result<Play, String>> {
    let mut tasks: Vec<(&QemuBinary, &'static Recipe)> = binaries
        .iter()
        .flat_map(|binary| {
            recipes::all()
                .filter(|recipe| recipe.works_on(binary.version))
                .filter(|recipe| (recipe.host_lacks)().is_none())
                .map(move |recipe| (binary, recipe))
        })
        .collect();
    // Those that take longest begin first.
    tasks.sort_by_key(|(_, recipe)| recipe.linux.is_none());
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((binary, recipe)) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push(
                play(place, binary, recipe)
                    .map_err(|error| format!("QEMU {}, {}: {error}", binary.version, recipe.name)),
            );
        }
        done
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("a worker panicked"))
            .collect()
    })
}

fn play(place: &Place, binary: &QemuBinary, recipe: &'static Recipe) -> Result<Play, LabError> {
    let name = format!("{} on {}", recipe.name, binary.version);
    let journal = Watcher::new(place, &name);
    let qemu = recipe.machine(binary).dial_out(place.socket());
    let mut machine = qemu.args(["-name", &name]).start()?;
    journal.wait("the recorder to attach", |records| {
        records.iter().any(|record| record.name == "state")
    })?;
    recipe.perform(&mut machine)?;
    if !recipe.exits {
        // QEMU writes to one monitor after the other: the lab may be ahead of the recorder.
        let heard = machine.events().len();
        journal.wait("all that the lab heard", |records| {
            let from_qemu = |record: &&Record| record.origin == Origin::Qemu;
            records.iter().filter(from_qemu).count() >= heard
        })?;
        machine.kill()?;
    }
    journal.wait("the end of the machine", |records| {
        records.iter().any(|record| record.name == "detached")
    })?;
    Ok(Play {
        version: binary.version,
        recipe,
        heard: machine.events(),
        report: machine.report(),
        machine: name,
    })
}

/// Waits for records of one machine.
struct Watcher<'a> {
    follower: Follower,
    from: u64,
    machine: &'a str,
}

impl<'a> Watcher<'a> {
    fn new(place: &Place, machine: &'a str) -> Self {
        let follower = Follower::open(&place.journal()).expect("the journal");
        let from = follower.reader().last_seq().expect("the last record");
        Self {
            follower,
            from,
            machine,
        }
    }

    fn wait(&self, what: &str, wanted: impl Fn(&[Record]) -> bool) -> Result<(), LabError> {
        let until = Instant::now() + PATIENCE;
        let only = |name: &str| name == self.machine;
        loop {
            let last = self.follower.reader().last_seq().expect("the last record");
            let query = Query::default().after(self.from).machines(&only);
            let records = self.follower.reader().records(&query).expect("a query");
            let records: Vec<Record> = records.map(|record| record.expect("a record")).collect();
            if wanted(&records) {
                return Ok(());
            }
            let left = until.saturating_duration_since(Instant::now());
            if !self.follower.wait_past(last, left).expect("readable") {
                let names: Vec<String> = records.into_iter().map(|record| record.name).collect();
                return Err(LabError::TimedOut {
                    what: format!("{what} in the journal, which has {names:?}"),
                    within: PATIENCE,
                });
            }
        }
    }
}

/// An event in the journal.
struct Stored {
    record: Record,
    /// The line as QEMU sent it.
    line: String,
}

/// All events in the journal by machine, in its order.
fn stored_events(place: &Place) -> HashMap<String, Vec<Stored>> {
    let reader = Reader::open(&place.journal()).expect("a reader");
    let mut stored: HashMap<String, Vec<Stored>> = HashMap::new();
    for record in reader.records(&Query::default()).expect("a query") {
        let record = record.expect("a record");
        if record.origin == Origin::Qemu {
            let seq = record.seq.expect("a number");
            let line = reader.line(seq).expect("readable").expect("a line");
            let machine = stored.entry(record.machine.clone()).or_default();
            machine.push(Stored { record, line });
        }
    }
    stored
}

/// The journal has, byte for byte and in its order, what the lab heard; what came in the moment
/// of the kill may have reached only one of them.
fn same_as_heard(play: &Play, stored: &[Stored]) -> Result<(), String> {
    let heard: Vec<&str> = play.heard.iter().map(|event| event.line.as_str()).collect();
    let stored: Vec<&str> = stored.iter().map(|event| event.line.as_str()).collect();
    let common = heard.len().min(stored.len());
    let complete = play.recipe.exits && heard.len() != stored.len();
    if heard.is_empty() || stored.is_empty() || complete || heard[..common] != stored[..common] {
        return Err(format!(
            "QEMU sent\n{heard:#?}\nthe journal has\n{stored:#?}"
        ));
    }
    Ok(())
}

/// The vocabulary knows all of it, and encoding gives QEMU's bytes back.
fn typed(stored: &[Stored]) -> Result<(), String> {
    for Stored { line, .. } in stored {
        let message = Message::decode(line).map_err(|error| format!("{error}: {line}"))?;
        let outside = message.outside();
        if !outside.is_empty() {
            return Err(format!("{outside:?} is outside the vocabulary: {line}"));
        }
        let encoded = message.encode();
        if encoded != *line {
            return Err(format!("{line}\nbecame\n{encoded}"));
        }
    }
    Ok(())
}
