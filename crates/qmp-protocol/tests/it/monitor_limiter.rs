//! The rate limiter against the plainest model of QEMU's rules, and QEMU's measured behaviour.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use qmp_events::facts::LIMIT_PERIOD;
use qmp_events::{EventKind, Version};
use qmp_protocol::limits::LIMITER_SLOTS_MAX;
use qmp_protocol::monitor::{Admission, Ended, LimitKey, Limiter};

const V7_2: Version = Version::new(7, 2);

fn port(id: u32) -> LimitKey {
    let data = format!("{{\"open\": true, \"id\": \"p{id}\"}}");
    LimitKey::of(EventKind::VserportChange, Some(&data), V7_2).unwrap()
}

/// A limiter on a clock of its own, which notes what is sent when.
struct World {
    start: Instant,
    limiter: Limiter<u32>,
    /// Milliseconds and event.
    sent: Vec<(u64, u32)>,
    replaced: Vec<u32>,
}

impl World {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            limiter: Limiter::default(),
            sent: Vec::new(),
            replaced: Vec::new(),
        }
    }

    /// Lets the time pass to `ms`, firing each timer when it is due.
    fn run_to(&mut self, ms: u64) {
        let now = self.start + Duration::from_millis(ms);
        while let Some(due) = self.limiter.poll_timeout().filter(|due| *due <= now) {
            let at = u64::try_from((due - self.start).as_millis()).unwrap();
            while let Some(ended) = self.limiter.handle_timeout(due) {
                if let Ended::Send(event) = ended {
                    self.sent.push((at, event));
                }
            }
        }
    }

    fn emit(&mut self, ms: u64, key: LimitKey, event: u32) {
        self.run_to(ms);
        let now = self.start + Duration::from_millis(ms);
        match self.limiter.admit(now, key, event) {
            Admission::Send(event) => self.sent.push((ms, event)),
            Admission::Held => {}
            Admission::Replaced(event) => self.replaced.push(event),
        }
    }
}

/// The rules as a person would say them, for one key: at each millisecond, is a window open, and what
/// waits in it?
fn model(emits: &[(u64, u32)], until: u64) -> Vec<(u64, u32)> {
    let mut sent = Vec::new();
    let (mut window_ends, mut waiting) = (None, None);
    for ms in 0..=until {
        if window_ends == Some(ms) {
            window_ends = None;
            if let Some(event) = waiting.take() {
                sent.push((ms, event));
                window_ends = Some(ms + 1000);
            }
        }
        for (_, event) in emits.iter().filter(|(at, _)| *at == ms) {
            if window_ends.is_some() {
                waiting = Some(*event);
            } else {
                sent.push((ms, *event));
                window_ends = Some(ms + 1000);
            }
        }
    }
    sent
}

proptest! {
    #[test]
    fn agrees_with_the_model(
        schedule in prop::collection::vec((0_u64..600, 0_u32..3), 0..60),
    ) {
        let mut world = World::new();
        let mut by_key: HashMap<u32, Vec<(u64, u32)>> = HashMap::new();
        let mut ms = 0;
        for (event, (wait, key)) in (0_u32..).zip(&schedule) {
            ms += wait;
            world.emit(ms, port(*key), event);
            by_key.entry(*key).or_default().push((ms, event));
        }
        let until = ms + 3000;
        world.run_to(until);
        prop_assert!(world.limiter.is_empty(), "a quiet machine keeps no state");

        let key_of = |event: u32| schedule[usize::try_from(event).unwrap()].1;
        for (key, emits) in &by_key {
            let sent = world.sent.iter().filter(|(_, event)| key_of(*event) == *key);
            let sent: Vec<(u64, u32)> = sent.copied().collect();
            prop_assert_eq!(&sent, &model(emits, until));
            prop_assert!(sent.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 1000));
            prop_assert_eq!(sent.last().map(|sent| sent.1), emits.last().map(|emit| emit.1));
        }
        prop_assert_eq!(world.sent.len() + world.replaced.len(), schedule.len());
    }
}

/// Measured on QEMU 7.2: 20 triggers at once, then silence.
#[test]
fn of_a_burst_the_first_and_the_last_are_sent() {
    let mut world = World::new();
    for event in 0..20 {
        world.emit(u64::from(event), port(0), event);
    }
    world.run_to(5000);
    assert_eq!(world.sent, [(0, 0), (1000, 19)]);
}

/// Measured on QEMU 7.2: a trigger every 100 ms for 3.5 s.
#[test]
fn a_stream_is_thinned_to_one_a_second_and_ends_with_the_newest() {
    let mut world = World::new();
    for event in 0..36 {
        world.emit(u64::from(event) * 100, port(0), event);
    }
    world.run_to(9000);
    let times: Vec<u64> = world.sent.iter().map(|(ms, _)| *ms).collect();
    assert_eq!(times, [0, 1000, 2000, 3000, 4000]);
    assert_eq!(world.sent.last(), Some(&(4000, 35)));
}

#[test]
fn a_timer_that_fires_late_counts_from_when_it_fired() {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let mut limiter = Limiter::default();
    limiter.admit(at(0), port(0), 1);
    limiter.admit(at(500), port(0), 2);
    assert_eq!(limiter.handle_timeout(at(1300)), Some(Ended::Send(2)));
    assert_eq!(limiter.poll_timeout(), Some(at(1300) + LIMIT_PERIOD));
}

#[test]
fn two_keys_do_not_touch_and_ties_keep_their_order() {
    let mut world = World::new();
    for (event, key) in [(0, 0), (1, 1), (2, 1), (3, 0)] {
        world.emit(0, port(key), event);
    }
    world.run_to(1000);
    assert_eq!(world.sent, [(0, 0), (0, 1), (1000, 3), (1000, 2)]);
}

#[test]
fn a_full_table_is_bounded_and_still_loses_no_last_event() {
    let mut world = World::new();
    let keys = u32::try_from(LIMITER_SLOTS_MAX).unwrap() + 500;
    for key in 0..keys {
        world.emit(0, port(key), key);
    }
    assert_eq!(
        world.limiter.len(),
        LIMITER_SLOTS_MAX + 1,
        "one slot for all the rest"
    );
    world.run_to(2500);
    assert_eq!(world.sent.last(), Some(&(1000, keys - 1)));
    assert!(world.limiter.is_empty());
}

#[test]
fn which_events_are_limited_depends_on_the_release() {
    let error = r#"{"action": "stop", "qom-path": "/machine/peripheral/d0"}"#;
    let report = r#"{"action": "report", "qom-path": "/machine/peripheral/d0"}"#;
    let key = |data, major, minor| {
        LimitKey::of(
            EventKind::BlockIoError,
            Some(data),
            Version::new(major, minor),
        )
    };
    assert_eq!(key(error, 7, 2), None);
    assert_eq!(key(error, 9, 2), key(report, 10, 2));
    assert!(key(error, 9, 2).is_some());
    assert_eq!(key(error, 11, 0), None);
    assert!(key(report, 11, 0).is_some());

    let port = |id: &str, major, minor| {
        let data = format!("{{\"id\": \"{id}\", \"open\": true}}");
        LimitKey::of(
            EventKind::VserportChange,
            Some(&data),
            Version::new(major, minor),
        )
        .unwrap()
    };
    assert_eq!(port("a", 2, 4), port("b", 2, 4));
    assert_ne!(port("a", 2, 6), port("b", 2, 6));
    assert_eq!(LimitKey::of(EventKind::Stop, None, V7_2), None);
    assert!(LimitKey::of(EventKind::RtcChange, Some("{\"offset\": 1}"), V7_2).is_some());
}
