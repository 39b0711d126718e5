//! What is to be done when. Pure: the time is passed in, counted from the start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::deed::Deed;

/// Deeds that follow one another.
#[derive(Clone, Debug, PartialEq)]
pub struct Sequence {
    /// Each with its time after the beginning of the sequence, ascending.
    pub deeds: Vec<(Duration, Deed)>,
    /// It is repeated.
    pub repeat: Option<Repeat>,
}

impl Sequence {
    /// What is done at once, and what is left for later.
    pub fn split(&self) -> (Vec<Deed>, Option<Self>) {
        if self.repeat.is_some() {
            return (Vec::new(), Some(self.clone()));
        }
        let at_once = |(at, _): &&(Duration, Deed)| at.is_zero();
        let now: Vec<Deed> = self
            .deeds
            .iter()
            .take_while(at_once)
            .map(|(_, deed)| deed.clone())
            .collect();
        let rest: Vec<_> = self.deeds.iter().skip(now.len()).cloned().collect();
        let later = (!rest.is_empty()).then_some(Self {
            deeds: rest,
            repeat: None,
        });
        (now, later)
    }
}

/// How a sequence is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeat {
    /// From one beginning to the next.
    pub every: Duration,
    /// How often in all; `None`: without end.
    pub times: Option<u32>,
}

/// Everything that is still to come.
#[derive(Debug, Default)]
pub struct Timeline {
    /// By time; what was added first comes first.
    pending: BTreeMap<(Duration, u64), Pending>,
    added: u64,
}

/// A sequence under way.
#[derive(Debug)]
struct Pending {
    sequence: Arc<Sequence>,
    begun: Duration,
    /// The deed that is next.
    next: usize,
    /// Beginnings, this one included.
    left: Option<u32>,
}

impl Timeline {
    /// A sequence begins at `at`.
    pub fn add(&mut self, at: Duration, sequence: Arc<Sequence>) {
        let left = match sequence.repeat {
            Some(repeat) => repeat.times,
            None => Some(1),
        };
        self.begin(at, sequence, left);
    }

    /// When the next deed is due; `None`: never.
    pub fn next_at(&self) -> Option<Duration> {
        let ((at, _), _) = self.pending.first_key_value()?;
        Some(*at)
    }

    /// The next deed that is due. Call it until it gives `None`.
    pub fn pop_due(&mut self, now: Duration) -> Option<Deed> {
        let (at, _) = *self.pending.first_key_value()?.0;
        if at > now {
            return None;
        }
        let (_, mut pending) = self.pending.pop_first()?;
        let (_, deed) = pending.sequence.deeds.get(pending.next)?.clone();
        if pending.next == 0
            && let Some(repeat) = pending.sequence.repeat
        {
            let left = pending.left.map(|left| left.saturating_sub(1));
            let sequence = Arc::clone(&pending.sequence);
            self.begin(pending.begun + repeat.every, sequence, left);
        }
        pending.next += 1;
        self.insert(pending);
        Some(deed)
    }

    fn begin(&mut self, begun: Duration, sequence: Arc<Sequence>, left: Option<u32>) {
        if left != Some(0) {
            self.insert(Pending {
                sequence,
                begun,
                next: 0,
                left,
            });
        }
    }

    fn insert(&mut self, pending: Pending) {
        if let Some((offset, _)) = pending.sequence.deeds.get(pending.next) {
            self.added += 1;
            let at = pending.begun + *offset;
            self.pending.insert((at, self.added), pending);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn sequence(deeds: &[(u64, &str)], repeat: Option<(u64, Option<u32>)>) -> Arc<Sequence> {
        let deeds = deeds.iter().map(|(at, line)| {
            let deed = Deed::from_line(line).expect("a deed");
            (ms(*at), deed)
        });
        Arc::new(Sequence {
            deeds: deeds.collect(),
            repeat: repeat.map(|(every, times)| Repeat {
                every: ms(every),
                times,
            }),
        })
    }

    /// Everything that happens until `end`, with its time.
    fn played(timeline: &mut Timeline, end: u64) -> Vec<(u64, Deed)> {
        let mut all = Vec::new();
        while let Some(at) = timeline.next_at().filter(|at| *at <= ms(end)) {
            while let Some(deed) = timeline.pop_due(at) {
                let at = u64::try_from(at.as_millis()).expect("small");
                all.push((at, deed));
            }
        }
        all
    }

    fn deed(line: &str) -> Deed {
        Deed::from_line(line).expect("a deed")
    }

    #[test]
    fn sequences_run_beside_one_another() {
        let mut timeline = Timeline::default();
        timeline.add(ms(10), sequence(&[(0, "stop"), (20, "continue")], None));
        timeline.add(ms(20), sequence(&[(0, "suspend")], None));
        assert_eq!(timeline.pop_due(ms(9)), None);
        assert_eq!(
            played(&mut timeline, 1000),
            [
                (10, deed("stop")),
                (20, deed("suspend")),
                (30, deed("continue"))
            ]
        );
        assert_eq!(timeline.next_at(), None);
    }

    #[test]
    fn a_loop_goes_on_until_its_number_is_reached() {
        let mut timeline = Timeline::default();
        let twice = Some((100, Some(2)));
        timeline.add(ms(5), sequence(&[(0, "stop"), (150, "continue")], twice));
        let times: Vec<u64> = played(&mut timeline, 1000).iter().map(|it| it.0).collect();
        assert_eq!(
            times,
            [5, 105, 155, 255],
            "the second begins before the first ends"
        );
        let mut timeline = Timeline::default();
        timeline.add(ms(0), sequence(&[(0, "stop")], Some((10, None))));
        assert_eq!(played(&mut timeline, 100).len(), 11);
        timeline.add(ms(0), sequence(&[(0, "stop")], Some((10, Some(0)))));
        timeline.add(ms(0), sequence(&[], None));
        assert_eq!(timeline.next_at(), Some(ms(110)));
    }
}
