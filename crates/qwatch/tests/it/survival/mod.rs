//! The recorder is killed again and again: what the journal says afterwards is what was sent.
//!
//! Every test throws dice and prints the seed; `QWATCH_SURVIVAL_SEED` plays it again (as far as the
//! kernel's scheduling lets it).

mod check;
mod ends;
mod hammer;
mod kept;
mod lost;
mod numbers;
mod peer;
mod sender;
mod upgrade;

use std::env;
use std::ops::Range;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use qwatch::record::Record;

use crate::recorder::{Place, Recorder};
use crate::supervisor::Supervisor;

/// Pseudo-random numbers (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Seeded by the clock, or as the environment says.
    pub(crate) fn new(test: &str) -> Self {
        let given = env::var("QWATCH_SURVIVAL_SEED").ok();
        let seed = given.and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            u64::from(now.expect("a clock").subsec_nanos())
        });
        say(&format!("{test}: QWATCH_SURVIVAL_SEED={seed}"));
        Self(seed)
    }

    /// Other dice, of the same seed.
    pub(crate) fn split(&mut self) -> Self {
        Self(self.next())
    }

    /// A number of the range.
    pub(crate) fn roll(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// To be seen when the test fails, or is run with `--nocapture`.
#[expect(
    clippy::print_stderr,
    reason = "the harness shows it where it is wanted"
)]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

/// Waits for a moment within the recorder's life, to kill it then: some lives end before it is ready, most
/// while it records.
fn live_a_while(supervisor: &Supervisor, dice: &mut Dice) {
    let early = dice.roll(0..4) == 0;
    if !early {
        let ready = supervisor.said("READY=1").len();
        supervisor.wait("READY=1 of this life", |said| {
            said.iter().filter(|line| *line == "READY=1").count() >= ready.max(1)
        });
    }
    let moment = Instant::now() + Duration::from_micros(dice.roll(0..60_000));
    supervisor.wait_until(moment, &|_| false);
}

/// Waits until so many numbers of each machine are in the journal; gives all records.
#[track_caller]
fn wait_numbers(place: &Place, wanted: &[(&str, u64)]) -> Vec<Record> {
    let counts = |records: &[Record]| {
        let found = numbers::numbers(records);
        let of = |name: &str| found.get(name).map_or(0, Vec::len) as u64;
        let counts: Vec<_> = wanted.iter().map(|(name, _)| of(name)).collect();
        counts
    };
    let waited = place.wait(|records| {
        let found = counts(records);
        let mut both = found.iter().zip(wanted);
        both.all(|(count, (_, wanted))| count >= wanted)
    });
    waited.unwrap_or_else(|records| {
        let found = counts(&records);
        let missing: Vec<_> = found
            .iter()
            .zip(wanted)
            .filter(|(count, (_, wanted))| *count < wanted)
            .collect();
        let holes: Vec<_> = missing
            .iter()
            .filter_map(|(_, (name, _))| {
                let found = numbers::numbers(&records).remove(*name)?;
                Some((*name, numbers::first_hole(&found).to_vec()))
            })
            .collect();
        panic!("(found, (machine, wanted)): {missing:?}, first holes: {holes:?}")
    })
}

fn path(place: &Place, name: &str) -> String {
    place.path(name).to_str().expect("UTF-8").to_owned()
}

fn next_life(supervisor: &Supervisor, recorder: Recorder) -> Recorder {
    recorder.kill();
    supervisor.start()
}
