//! Without anybody who keeps the descriptors, what is lost is told.

use super::check::{holes_are_told, no_hole_in_seq};
use super::numbers::{count, numbers};
use super::peer::Peer;
use super::sender::Sender;
use super::{Dice, path};
use crate::recorder::{Place, named};

#[test]
fn without_a_supervisor_every_hole_is_covered_by_a_gap_and_nothing_comes_twice() {
    const KILLS: usize = 25;
    let mut dice = Dice::new("kills without a supervisor");
    let place = Place::new();
    let peer = Peer::listening("peer", &place.path("peer.sock"), dice.split());
    let dials = Sender::dialling("dials", &place.socket());
    let listen = format!("unix:{}", path(&place, "q.sock"));
    let options = ["--listen", &listen, "--monitor", &path(&place, "peer.sock")];
    for life in 1..=KILLS {
        let recorder = place.record(&options);
        let (soon, then) = (dice.roll(1..100), dice.roll(100..600));
        // All the time: also while it is attaching. Not the first time: a QEMU that dials right after its start
        // is taken to have said nothing before.
        if life > 1 {
            peer.send(soon);
            dials.send(soon);
        }
        place.wait_for("both attached again", |records| {
            ["peer", "dials"]
                .iter()
                .all(|name| named(records, name, "attached").len() >= life)
        });
        let (before, some) = (place.last(), dice.roll(0..then));
        peer.send(then);
        dials.send(then);
        place.wait_for("some of it", |records| {
            let new = records.iter().filter(|record| record.seq > before);
            new.count() as u64 >= some
        });
        recorder.kill();
        peer.send(dice.roll(0..50));
        dials.send(dice.roll(0..50));
    }
    let recorder = place.record(&options);
    place.wait_for("both attached again", |records| {
        ["peer", "dials"]
            .iter()
            .all(|name| named(records, name, "attached").len() > KILLS)
    });
    let before = place.last();
    peer.send(50);
    dials.send(50);
    let records = place.wait_for("the last numbers", |records| {
        let new: Vec<_> = records
            .iter()
            .filter(|record| record.seq > before)
            .cloned()
            .collect();
        ["peer", "dials"].iter().all(|name| count(&new, name) >= 50)
    });
    recorder.stop();
    no_hole_in_seq(&records);
    holes_are_told(&records, "peer", &peer.state().stamps_us);
    holes_are_told(&records, "dials", &dials.stamps_us());
    let found = numbers(&records);
    let heard = found["peer"].len();
    assert!(heard > KILLS * 50 && heard < peer.state().stamps_us.len());
}
