//! Random scripts: the same bytes out of a seed to both sides.
//!
//! `QWATCH_TWIN_SEED` sets where the seeds begin and `QWATCH_TWIN_SCRIPTS` how many there are: a soak.

use std::env;
use std::time::Instant;

use qmp_protocol::monitor::Parser;

use crate::generate::{Dice, command, piece};
use crate::pair::Pair;
use crate::script::{Door, NEGOTIATE, NEGOTIATE_OOB, Script, Step};
use crate::{each_qemu, say};

/// Scripts played to each QEMU unless told otherwise.
const SCRIPTS: u64 = 500;

/// How often a failing script is played again to find what of it is enough to fail.
const SHRINKING_RUNS_MAX: usize = 300;

/// Messages that may come at once where they are queued; QEMU queues 8.
const MESSAGES_MAX: usize = 3;

/// A script in the making.
#[derive(Clone)]
struct Draft {
    start: Start,
    pieces: Vec<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    Greeted,
    Ready,
    /// With out-of-band execution: in step, as who is faster is anybody's guess otherwise.
    Oob,
    Pretty,
}

#[test]
fn random_scripts() {
    let setting = |name: &str| {
        env::var(name)
            .ok()
            .map(|text| text.parse().expect("a number"))
    };
    let first = setting("QWATCH_TWIN_SEED").unwrap_or(0);
    let count = setting("QWATCH_TWIN_SCRIPTS").unwrap_or(SCRIPTS);
    each_qemu(|binary| {
        let started = Instant::now();
        let mut pair = Pair::start(binary)?;
        let mut bytes = 0;
        for seed in first..first + count {
            let draft = Draft::of(seed);
            match pair.compare(&draft.script()) {
                Ok(transcript) => bytes += transcript.len(),
                Err(_) => {
                    let (draft, difference) = draft.shrink(&mut pair);
                    let version = binary.version;
                    panic!("QEMU {version}, seed {seed}, of it enough:\n{draft}\n{difference}");
                }
            }
        }
        let (version, seconds) = (binary.version, started.elapsed().as_secs_f64());
        say(&format!(
            "QEMU {version}: {count} random scripts, {bytes} bytes equal, {seconds:.1} s"
        ));
        Ok(())
    });
}

impl Draft {
    fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let start = match dice.below(12) {
            0 => Start::Greeted,
            1 | 2 => Start::Oob,
            3 => Start::Pretty,
            _ => Start::Ready,
        };
        let count = 1 + dice.below(8);
        let pieces = (0..count).map(|_| match start {
            Start::Oob => in_band_or_urgent(&mut dice),
            _ => piece(&mut dice),
        });
        let pieces = pieces.collect();
        Self { start, pieces }
    }

    fn script(&self) -> Script {
        let (door, negotiate) = match self.start {
            Start::Greeted => (Door::First, None),
            Start::Ready => (Door::First, Some(NEGOTIATE)),
            Start::Oob => (Door::First, Some(NEGOTIATE_OOB)),
            Start::Pretty => (Door::Pretty, Some(NEGOTIATE)),
        };
        let mut script = Script::new().connect('A', door);
        if let Some(negotiate) = negotiate {
            script = script.send('A', negotiate);
        }
        for piece in &self.pieces {
            // In two writes, to be read in two parts or one.
            let (head, tail) = piece.split_at(piece.len() / 2);
            script = script.send('A', head).send('A', tail);
            if self.start == Start::Oob {
                script = script.resync('A');
            }
        }
        script.resync('A').step(Step::Close('A'))
    }

    /// Leaves out what is not needed to fail.
    fn shrink(mut self, pair: &mut Pair) -> (Self, String) {
        let fails = |draft: &Self, pair: &mut Pair| pair.compare(&draft.script()).err();
        let mut difference = match fails(&self, pair) {
            Some(difference) => difference,
            None => "it did not fail again".to_owned(),
        };
        let mut runs = 0;
        let mut smaller = true;
        while std::mem::take(&mut smaller) {
            for candidate in self.candidates() {
                runs += 1;
                if runs > SHRINKING_RUNS_MAX {
                    return (self, difference);
                }
                if let Some(other) = fails(&candidate, pair) {
                    (self, difference, smaller) = (candidate, other, true);
                    break;
                }
            }
        }
        (self, difference)
    }

    /// Everything a little smaller: a piece less, or less of a piece.
    fn candidates(&self) -> Vec<Self> {
        let mut candidates = Vec::new();
        for number in 0..self.pieces.len() {
            let mut without = self.clone();
            without.pieces.remove(number);
            candidates.push(without);
        }
        for (number, piece) in self.pieces.iter().enumerate() {
            let mut size = piece.len() / 2;
            while size > 0 {
                for start in (0..piece.len()).step_by(size) {
                    let mut less = self.clone();
                    less.pieces[number].drain(start..piece.len().min(start + size));
                    candidates.push(less);
                }
                size /= 2;
            }
        }
        candidates
    }
}

/// A command of few messages, even if something in it is wrong: QEMU (7.2 and 10.0) ends with a failed
/// assertion if one byte ends two messages, as the last of `1}` does, while seven wait in the queue.
fn in_band_or_urgent(dice: &mut Dice) -> Vec<u8> {
    loop {
        let member = dice.pick(&["execute", "exec-oob"]);
        let command = command(dice, member);
        let (mut parser, mut rest) = (Parser::default(), command.as_slice());
        let messages = std::iter::from_fn(|| parser.next(&mut rest)).count();
        if messages <= MESSAGES_MAX {
            return command;
        }
    }
}

/// As in the files of scripts.
impl std::fmt::Display for Draft {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(out, "connect {:?}", self.start)?;
        for piece in &self.pieces {
            write!(out, "> ")?;
            for &byte in piece {
                match byte {
                    b'%' | 0..0x20 | 0x7F.. => write!(out, "%{byte:02X}")?,
                    _ => write!(out, "{}", char::from(byte))?,
                }
            }
            writeln!(out)?;
        }
        Ok(())
    }
}
