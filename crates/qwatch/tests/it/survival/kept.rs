//! Under a supervisor that keeps the descriptors nothing is lost, and nobody notices.

use qemu_lab::{LabError, Machine, Qemu, Version, qemu};

use super::check::{attached_once, no_hole_in_seq, recorded};
use super::hammer::{Hammer, NAMES, beats};
use super::numbers::{complete, numbers};
use super::peer::Peer;
use super::sender::Sender;
use super::{Dice, live_a_while, next_life, path, wait_numbers};
use crate::recorder::Place;
use crate::supervisor::Supervisor;

/// How often the recorder is killed.
const KILLS: usize = 220;

#[test]
fn two_hundred_kills_lose_nothing_and_nobody_notices() {
    let mut dice = Dice::new("kill storm");
    let place = Place::new();
    let peer = Peer::listening("peer", &place.path("peer.sock"), dice.split());
    let (tcp, tcp_address) = Sender::on_tcp("tcp");
    let dials = Sender::dialling("dials", &place.socket());
    let machine = real();
    let supervisor = Supervisor::new(&[
        "--journal",
        &path(&place, "j.db"),
        "--listen",
        &format!("unix:{}", path(&place, "q.sock")),
        "--monitor",
        &path(&place, "peer.sock"),
        "--monitor",
        &tcp_address,
        "--monitor",
        machine.monitor_path("qmp").to_str().expect("UTF-8"),
    ]);
    let mut recorder = supervisor.start_ready();
    for name in ["peer", "tcp", "dials", "real"] {
        place.wait_attached(name, 1);
    }
    let hammer = Hammer::new(machine);
    let (mut to_peer, mut to_senders) = (0, 0);
    for _ in 0..KILLS {
        let (many, more) = (dice.roll(50..300), dice.roll(50..400));
        to_peer += many;
        to_senders += more;
        hammer.beat(dice.roll(1..30));
        peer.send(many);
        tcp.send(more);
        dials.send(more);
        live_a_while(&supervisor, &mut dice);
        recorder = next_life(&supervisor, recorder);
    }
    let (machine, beaten) = hammer.rest();
    beaten.unwrap_or_else(|error| panic!("{error}"));
    let beats = beats(&machine);
    let sent = [
        ("peer", to_peer),
        ("tcp", to_senders),
        ("dials", to_senders),
    ];
    wait_numbers(&place, &sent);
    let records = place.wait_for("every beat", |records| {
        recorded(records, "real", &NAMES).len() >= beats.len()
    });
    recorder.stop();

    no_hole_in_seq(&records);
    assert_eq!(recorded(&records, "real", &NAMES), beats);
    attached_once(&records, "real");
    let found = numbers(&records);
    for (name, last) in sent {
        complete(name, &found[name], last);
        attached_once(&records, name);
    }
    nobody_noticed(&peer, &[&tcp, &dials]);
    let kept = supervisor.kept();
    assert_eq!(kept.len(), 5, "four connections and a listener: {kept:?}");
}

fn real() -> Machine {
    let start = || {
        let binary = qemu(Version::new(10, 0))?;
        Qemu::new(&binary)
            .args(["-name", "real"])
            .monitor("qmp")
            .start()
    };
    start().unwrap_or_else(|error: LabError| panic!("{error}"))
}

/// One session for all the time.
#[track_caller]
fn nobody_noticed(peer: &Peer, senders: &[&Sender]) {
    let seen = peer.state();
    let negotiations = seen
        .commands
        .iter()
        .filter(|name| *name == "qmp_capabilities");
    assert_eq!(
        (seen.sessions, negotiations.count()),
        (1, 1),
        "{:?}",
        seen.commands
    );
    for sender in senders {
        assert_eq!(sender.sessions(), (1, 1, 0));
    }
}

/// Machines come in while the recorder is killed: in the middle of the greeting, of the negotiation, of the
/// questions.
#[test]
fn a_recorder_killed_while_machines_come_in_loses_nothing_they_send() {
    const ROUNDS: usize = 40;
    const NUMBERS: u64 = 150;
    let mut dice = Dice::new("kills during attachment");
    let place = Place::new();
    let supervisor = Supervisor::new(&[
        "--journal",
        &path(&place, "j.db"),
        "--listen",
        &format!("unix:{}", path(&place, "q.sock")),
    ]);
    let mut recorder = supervisor.start_ready();
    let mut peers = vec![];
    for round in 0..ROUNDS {
        let name = format!("m{round}");
        peers.push(Peer::dialling(
            &name,
            &place.socket(),
            NUMBERS,
            dice.split(),
        ));
        live_a_while(&supervisor, &mut dice);
        recorder = next_life(&supervisor, recorder);
    }
    let wanted: Vec<_> = peers.iter().map(|peer| (peer.name(), NUMBERS)).collect();
    let records = wait_numbers(&place, &wanted);
    recorder.stop();
    no_hole_in_seq(&records);
    let found = numbers(&records);
    for peer in &peers {
        complete(peer.name(), &found[peer.name()], NUMBERS);
        attached_once(&records, peer.name());
        // One that was killed between taking it in and giving it to keep has asked nothing yet.
        let negotiated = peer
            .state()
            .commands
            .iter()
            .position(|name| name == "qmp_capabilities");
        assert_eq!(negotiated, Some(0));
    }
}
