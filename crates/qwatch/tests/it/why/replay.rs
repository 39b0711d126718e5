//! A snapshot and the records after it give the state that all records give, for whatever a QEMU or a
//! recorder may say.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use qmp_events::Timestamp;
use qwatch::journal::{Batch, Entry, Reader};
use qwatch::machine::State;
use qwatch::record::{Origin, Record};
use qwatch::states;

use super::{told, told_by};
use crate::command::run;
use crate::generate;
use crate::json::Json;
use crate::recorder::Place;
use crate::support::{NOON_US, journal, line, run_info};

/// However long its story and whatever it tells, a state takes no more than this as text.
const SNAPSHOT_MAX_BYTES: usize = 4 * 1024 * 1024;

/// The parts of a record that matter to a state.
type Draft = (Origin, String, Option<String>);

/// Any event with any members, and more often those that run states and jobs are made of.
fn event() -> BoxedStrategy<Draft> {
    let other = generate::any_message().prop_map(|message| {
        let name = message.member("event").expect("a name").text().to_owned();
        (
            Origin::Qemu,
            name,
            message.member("data").map(Json::as_qemu),
        )
    });
    let action = select(vec![
        "stop", "pause", "reset", "poweroff", "shutdown", "run", "report",
    ]);
    let acting = (
        select(vec!["BLOCK_IO_ERROR", "WATCHDOG", "GUEST_PANICKED"]),
        action,
        any::<bool>(),
    );
    let acting = acting.prop_map(|(name, action, full)| {
        let data = format!(
            r#"{{"device": "d", "operation": "write", "nospace": {full}, "action": "{action}"}}"#
        );
        (Origin::Qemu, name.to_owned(), Some(data))
    });
    let plain = select(vec![
        "STOP",
        "RESUME",
        "RESET",
        "SHUTDOWN",
        "SUSPEND",
        "WAKEUP",
        "POWERDOWN",
    ]);
    let plain = plain.prop_map(|name| (Origin::Qemu, name.to_owned(), None));
    let statuses = vec![
        "created",
        "running",
        "ready",
        "aborting",
        "concluded",
        "null",
        "pending",
    ];
    let job = (select(vec!["a", "b"]), select(statuses)).prop_map(|(id, status)| {
        let data = format!(r#"{{"id": "{id}", "status": "{status}"}}"#);
        (Origin::Qemu, "JOB_STATUS_CHANGE".to_owned(), Some(data))
    });
    prop_oneof![4 => other, 3 => plain, 2 => acting, 2 => job].boxed()
}

fn note() -> BoxedStrategy<Draft> {
    let status = select(vec![
        "running",
        "paused",
        "io-error",
        "prelaunch",
        "shutdown",
        "postmigrate",
        "?",
    ]);
    let state = (
        status,
        select(vec!["ok", "nospace", "failed"]),
        any::<bool>(),
    );
    let state = state.prop_map(|(status, io, asked)| {
        let asked = if asked { r#""asked": "STOP", "# } else { "" };
        let data = format!(
            r#"{{{asked}"query-status": {{"status": "{status}"}}, "query-jobs": [{{"id": "a", "status": "running"}}],
               "query-block": [{{"device": "d", "io-status": "{io}", "inserted": {{"file": "/f"}}}}],
               "query-vnc": {{"clients": [{{"host": "::1", "service": "5", "family": "ipv6"}}]}}}}"#
        );
        ("state".to_owned(), Some(data))
    });
    let other = select(vec![
        (
            "attached",
            r#"{"version": "10.0.2", "pid": 7, "address": "unix:/a"}"#,
        ),
        ("detached", r#"{"reason": "x"}"#),
        (
            "detached",
            r#"{"reason": "x", "ended": "y", "evidence": {"signal": "SIGKILL"}}"#,
        ),
        (
            "gap",
            r#"{"from": "2023-11-14T22:13:20.000000Z", "until": "bad", "reason": "z"}"#,
        ),
        ("garbage", "no JSON"),
    ]);
    let other = other.prop_map(|(name, data)| (name.to_owned(), Some(data.to_owned())));
    prop_oneof![state, other]
        .prop_map(|(name, data)| (Origin::Qwatch, name, data))
        .boxed()
}

/// A story of one machine: times that jump back, several processes.
fn story() -> BoxedStrategy<Vec<Record>> {
    let record = (
        prop_oneof![3 => event(), 1 => note()],
        -1_000_000..3_000_000_i64,
        0..20_u8,
    );
    vec(record, 0..80)
        .prop_map(|drafts| {
            let (mut received_us, mut run) = (NOON_US, 1);
            let records = drafts.into_iter().zip(1..);
            let records = records.map(|(((origin, name, data), late_us, turn), seq)| {
                received_us += 400_000;
                run += u64::from(turn == 0);
                Record {
                    seq: Some(seq),
                    machine: "web".to_owned(),
                    run: Some(run),
                    origin,
                    name,
                    timestamp: (origin == Origin::Qemu && turn != 1)
                        .then(|| Timestamp::from_unix_micros(received_us - late_us)),
                    received_us,
                    data,
                }
            });
            records.collect()
        })
        .boxed()
}

fn fold(state: &mut State, records: &[Record]) {
    records.iter().for_each(|record| state.apply(record));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_snapshot_and_the_rest_are_the_whole(records in story(), cut in any::<prop::sample::Index>()) {
        let mut whole = State::default();
        fold(&mut whole, &records);
        let (before, after) = records.split_at(cut.index(records.len() + 1));
        let mut first = State::default();
        fold(&mut first, before);
        let text = first.to_snapshot();
        prop_assert!(text.len() <= SNAPSHOT_MAX_BYTES);
        let mut rest = State::from_snapshot(&text).expect("of this version");
        prop_assert_eq!(&rest, &first);
        fold(&mut rest, after);
        prop_assert_eq!(&rest, &whole);
        // Whatever the state, it can be explained, and every word of that is safe to print.
        let causes = whole.cause().into_iter().chain(whole.findings()).chain(whole.reset_cause());
        for cause in causes.chain(whole.past_stops().map(|(cause, _)| cause)) {
            prop_assert!(!whole.steps("web", &cause).is_empty());
            let told = cause.chain.iter().map(|mark| &mark.text).chain(&cause.remarks);
            prop_assert!(told.into_iter().all(|text| !text.contains(char::is_control)));
        }
    }
}

/// A state never grows without end, whatever a guest says and how often.
#[test]
fn a_state_is_bounded() {
    let mut state = State::default();
    let long = "x".repeat(10_000);
    for number in 0..5_000_u64 {
        for (name, data) in [
            (
                "JOB_STATUS_CHANGE",
                format!(r#"{{"id": "{number}{long}", "status": "running"}}"#),
            ),
            (
                "VSERPORT_CHANGE",
                format!(r#"{{"id": "{number}{long}", "open": true}}"#),
            ),
            (
                "DEVICE_DELETED",
                format!(r#"{{"device": "{number}", "path": "{long}"}}"#),
            ),
            (
                "DEVICE_TRAY_MOVED",
                format!(r#"{{"device": "{number}{long}", "id": "{number}", "tray-open": true}}"#),
            ),
            (
                "VNC_CONNECTED",
                format!(
                    r#"{{"server": {{"host": "", "service": "", "family": "unix"}}, "client": {{"host": "{long}", "service": "{number}", "family": "unix"}}}}"#
                ),
            ),
            (
                "GUEST_PANICKED",
                format!(
                    r#"{{"action": "run", "info": {{"type": "tdx", "error-code": 1, "message": "{long}"}}}}"#
                ),
            ),
        ] {
            state.apply(&Record {
                seq: Some(number),
                machine: "web".to_owned(),
                run: Some(1),
                origin: Origin::Qemu,
                name: name.to_owned(),
                timestamp: None,
                received_us: NOON_US,
                data: Some(data),
            });
        }
    }
    let bytes = state.to_snapshot().len();
    assert!(bytes <= SNAPSHOT_MAX_BYTES, "{bytes}");
}

/// The recorder's keeper writes snapshots behind the records, and what is read with them is the same.
#[tokio::test]
async fn a_long_journal_is_opened_by_its_snapshots() {
    const ROUNDS: i64 = 3_000;
    let place = Place::new();
    let journal = journal(&place.journal());
    let writer = journal.writer();
    let reader = Reader::open(&place.journal()).expect("a reader");
    let keeper = tokio::spawn(states::keep(reader, journal.writer(), journal.position()));
    let run_id = writer
        .open_run(run_info("web", 7))
        .await
        .expect("a run")
        .run;
    let mut receipt = None;
    for round in 0..ROUNDS {
        let at_us = NOON_US + round * 1_000_000;
        let event = |name| Entry::event(&line(at_us, name, None), at_us).expect("an event");
        let entries = vec![event("STOP"), event("RESUME")];
        let batch = Batch {
            run: run_id,
            entries,
            end: None,
        };
        receipt = Some(writer.append(batch).await.expect("room"));
    }
    let last = *receipt
        .expect("some")
        .committed()
        .await
        .expect("committed")
        .end();
    let reader = Reader::open(&place.journal()).expect("a reader");
    let snapshot = loop {
        // Enough for two: the second one is awaited.
        match reader.snapshot(1, None).expect("readable") {
            Some((seq, _)) if seq > last / 2 => break seq,
            _ => tokio::task::yield_now().await,
        }
    };
    assert!(snapshot <= last);
    let machines = reader.machines().expect("readable");
    let known = states::load(&reader, &machines[0], None)
        .expect("readable")
        .expect("known");
    assert_eq!(
        (known.seq, told(&known.state).as_str()),
        (last, "running likely moment-over")
    );
    assert_eq!(known.state.pauses(), ROUNDS.unsigned_abs());
    // As it was then, in the middle of a stop.
    let then_us = NOON_US + 1_234_000_000;
    let then = states::load(&reader, &machines[0], Some(then_us))
        .expect("readable")
        .expect("known");
    assert_eq!(then.state.pauses(), 1_235);
    let path = place.journal().display().to_string();
    let at = qwatch::time::rfc3339(then_us);
    let said = run(&["why", "web", "--journal", &path, "--json", "--at", &at]);
    let answer: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(
        (told_by(&answer).as_str(), &answer["stops"]),
        ("running likely moment-over", &1_235.into())
    );
    drop(writer);
    journal.close().await.expect("closed");
    keeper.await.expect("no panic").expect("readable");
}
