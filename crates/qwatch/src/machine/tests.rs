//! The fold and its explanations.

use super::rules::RuleId;
use super::testing::{fold, record_us};
use super::*;

const ERROR: &str = r#"BLOCK_IO_ERROR {"device": "", "node-name": "disk0", "qom-path": "/machine/peripheral/hd0", "operation": "write", "action": "stop", "nospace": true, "reason": "No space left on device"}"#;
const ATTACHED_10: &str = r#"attached {"version": "10.0.2", "package": "", "pid": 7, "started": null, "uuid": null, "address": "unix:/run/vm/web 1.qmp"}"#;
const ASKED_PAUSED: &str = r#"state {"asked": "STOP", "query-status": {"status": "paused", "running": false}, "query-block": [{"device": "", "qdev": "hd0", "io-status": "ok"}], "query-jobs": []}"#;
const ASKED_FULL: &str = r#"state {"asked": "STOP", "query-status": {"status": "io-error", "running": false}, "query-block": [{"device": "", "qdev": "hd0", "io-status": "nospace", "inserted": {"node-name": "disk0", "file": "/srv/vm/disk.img"}}], "query-jobs": []}"#;

fn found(state: &State) -> Option<String> {
    let cause = state.cause()?;
    Some(format!("{} {}", cause.certainty.word(), cause.id.name()))
}

/// Folds lines, one a second, and compares state, since when (in seconds) and cause.
#[track_caller]
fn check(lines: &[&str], word: &str, since_s: i64, cause: &str) -> State {
    let state = fold(lines);
    let since = state.since().map(|mark| mark.time_us / 1_000_000);
    assert_eq!(
        (state.run_state().word(), since, found(&state).as_deref()),
        (word, Some(since_s), Some(cause))
    );
    state
}

/// The numbers of the records in the explanation.
fn chain(state: &State) -> Vec<u64> {
    let cause = state.cause().expect("a cause");
    cause.chain.iter().filter_map(|mark| mark.seq).collect()
}

/// Folds lines, each with its stamp and its time of receipt in milliseconds.
fn fold_ms(lines: &[(i64, i64, &str)]) -> State {
    let mut state = State::default();
    for ((stamp, received, line), seq) in lines.iter().zip(1..) {
        let mut record = record_us(stamp * 1000, received * 1000, line);
        record.seq = Some(seq);
        state.apply(&record);
    }
    state
}

#[test]
fn run_states_and_their_turns() {
    let state = fold(&["attached {}"]);
    assert_eq!(
        (state.run_state(), state.since(), state.cause()),
        (RunState::Unknown, None, None)
    );
    check(&["RESUME", "RESUME"], "running", 1, "likely started");
    check(&["RESUME", "STOP"], "paused", 2, "unknown stop-unexplained");
    check(
        &["RESUME", "STOP", "RESUME"],
        "running",
        3,
        "likely continued",
    );
    check(&["SUSPEND"], "suspended", 1, "certain guest-sleeps");
    check(&["SUSPEND", "WAKEUP"], "running", 2, "certain guest-woke");
    check(
        &["SUSPEND", "RESET"],
        "running",
        2,
        "certain woken-by-reset",
    );
    check(
        &["SUSPEND", "STOP", "RESUME"],
        "suspended",
        3,
        "certain guest-sleeps",
    );
    check(
        &["STOP", "RESET"],
        "paused",
        1,
        "certain reset-while-stopped",
    );
    let waits = r#"state {"query-status": {"status": "prelaunch"}}"#;
    let state = check(&[waits], "waiting", 1, "certain not-started");
    assert_eq!(state.waits_for(), Some("prelaunch"));
    let state = check(&[waits, "RESUME"], "running", 2, "certain started");
    assert_eq!(state.waits_for(), None);
    check(
        &["STOP", r#"state {"query-block": []}"#],
        "paused",
        1,
        "unknown stop-unexplained",
    );
}

#[test]
fn a_disk_error_explains_its_stop_from_before_and_after() {
    let state = check(&["RESUME", ERROR, "STOP"], "paused", 3, "certain disk-full");
    assert_eq!(chain(&state), [2, 3]);
    assert_eq!(
        state.cause().and_then(|cause| cause.subject).as_deref(),
        Some("/machine/peripheral/hd0")
    );
    let report = r#"BLOCK_IO_ERROR {"device": "d", "operation": "read", "action": "report", "nospace": false}"#;
    check(&[report, "STOP"], "paused", 2, "unknown stop-unexplained");
    let broken = r#"BLOCK_IO_ERROR {"device": "d", "operation": "read", "action": "stop", "nospace": false, "reason": "x"}"#;
    check(&[broken, "STOP"], "paused", 2, "certain disk-error");
    check(
        &[ERROR, "STOP", "RESUME", "STOP"],
        "paused",
        4,
        "unknown stop-unexplained",
    );

    // Held back by the rate limit: later on the wire, earlier by its stamp.
    let late = fold_ms(&[
        (0, 0, ATTACHED_10),
        (1, 1, "RESUME"),
        (500, 500, "STOP"),
        (499, 592, ERROR),
    ]);
    assert_eq!(found(&late).as_deref(), Some("certain disk-full"));
    assert_eq!(chain(&late), [4, 3]);
    let remarks = late.cause().expect("a cause").remarks;
    assert!(
        remarks[0].starts_with("BLOCK_IO_ERROR arrived 92ms after its STOP"),
        "{remarks:?}"
    );

    // A request that fails while the machine stops for another reason is stamped later.
    let after = fold_ms(&[(1, 1, "RESUME"), (500, 500, "STOP"), (501, 501, ERROR)]);
    assert_eq!(found(&after).as_deref(), Some("likely disk-full"));

    // It belongs to the stop before.
    let past = fold_ms(&[
        (1, 1, "RESUME"),
        (500, 500, "STOP"),
        (600, 600, "RESUME"),
        (499, 900, ERROR),
        (950, 950, "STOP"),
    ]);
    assert_eq!(found(&past).as_deref(), Some("unknown stop-unexplained"));
    let stops: Vec<_> = past
        .past_stops()
        .map(|(cause, end)| (cause.id, end.seq))
        .collect();
    assert_eq!(stops, [(RuleId::DiskFull, Some(3))]);
}

#[test]
fn an_error_that_was_merged_away_is_told_by_the_queries() {
    let lines = [ATTACHED_10, "RESUME", "STOP", ASKED_FULL];
    let state = check(&lines, "paused", 3, "certain disk-full");
    let cause = state.cause().expect("a cause");
    assert_eq!(
        (chain(&state), cause.subject.as_deref()),
        (vec![3, 4], Some("hd0"))
    );
    assert!(
        cause.remarks[0].contains("QEMU 10.0.2 sends at most one a second"),
        "{cause:?}"
    );
    let steps = state.steps("web 1", &cause);
    assert_eq!(
        steps[0].0,
        "Make room where the disk's image lies: /srv/vm/disk.img"
    );
    assert_eq!(
        steps[1].1.as_deref(),
        Some("qwatch execute 'unix:/run/vm/web 1.qmp' cont")
    );

    // The event of the stop before, late, changes nothing.
    let lines = [
        ATTACHED_10,
        "RESUME",
        ERROR,
        "STOP",
        ASKED_FULL,
        "RESUME",
        "STOP",
        ASKED_FULL,
    ];
    check(&lines, "paused", 7, "certain disk-full");
    let failed = ASKED_FULL.replace("nospace", "failed");
    check(&["STOP", &failed], "paused", 1, "certain disk-error");
}

#[test]
fn a_client_stopped_it_if_nothing_else_did() {
    check(
        &["RESUME", "STOP", ASKED_PAUSED],
        "paused",
        2,
        "certain client-stop",
    );
    let unsure = r#"state {"query-status": {"status": "paused"}}"#;
    check(
        &["RESUME", "STOP", unsure],
        "paused",
        2,
        "likely client-stop",
    );
    // QEMU's own word counts for more than an event of the same moment.
    check(
        &["RESUME", ERROR, "STOP", ASKED_PAUSED],
        "paused",
        3,
        "certain client-stop",
    );
}

#[test]
fn watchdogs_by_their_action() {
    let watchdog = |action: &str| format!(r#"WATCHDOG {{"action": "{action}"}}"#);
    check(
        &["RESUME", &watchdog("pause"), "STOP"],
        "paused",
        3,
        "certain watchdog-pause",
    );
    let late = fold_ms(&[
        (1, 1, "RESUME"),
        (500, 500, "STOP"),
        (499, 1490, &watchdog("pause")),
    ]);
    assert_eq!(found(&late).as_deref(), Some("certain watchdog-pause"));
    assert!(late.cause().expect("a cause").remarks[0].starts_with("WATCHDOG arrived"));
    let reset = r#"RESET {"guest": true, "reason": "guest-reset"}"#;
    let by = |lines: &[&str]| fold(lines).reset_cause().expect("a reset").id;
    assert_eq!(
        by(&["RESUME", &watchdog("reset"), reset]),
        RuleId::WatchdogReset
    );
    assert_eq!(by(&["RESUME", reset]), RuleId::GuestReset);
    let late = fold_ms(&[(500, 500, reset), (499, 1490, &watchdog("reset"))]);
    assert_eq!(
        late.reset_cause().expect("a reset").id,
        RuleId::WatchdogReset
    );
    // Long ago is another story.
    let old = fold_ms(&[(0, 0, &watchdog("reset")), (60_000, 60_000, reset)]);
    assert_eq!(old.reset_cause().expect("a reset").id, RuleId::GuestReset);
    let off = r#"SHUTDOWN {"guest": true, "reason": "guest-shutdown"}"#;
    check(
        &["RESUME", &watchdog("shutdown"), "POWERDOWN", off],
        "shutdown",
        4,
        "likely watchdog-shutdown",
    );
    let ended = r#"detached {"reason": "x", "ended": "exited"}"#;
    check(
        &["RESUME", &watchdog("poweroff"), ended],
        "gone",
        3,
        "certain watchdog-poweroff",
    );
}

#[test]
fn panics_stay_panics() {
    let panic = |action: &str| {
        format!(
            r#"GUEST_PANICKED {{"action": "{action}", "info": {{"type": "tdx", "error-code": 1, "message": "oh"}}}}"#
        )
    };
    let lines = ["RESUME", &panic("pause"), "STOP"];
    let state = check(&lines, "panicked", 2, "certain guest-panic");
    assert_eq!(chain(&state), [2, 3]);
    assert!(state.cause().expect("a cause").remarks[0].starts_with("TDX guest"));
    let asked = r#"state {"asked": "STOP", "query-status": {"status": "guest-panicked"}}"#;
    let lines = ["RESUME", &panic("pause"), "STOP", asked];
    assert_eq!(
        chain(&check(&lines, "panicked", 2, "certain guest-panic")),
        [2, 3, 4]
    );
    let off = r#"SHUTDOWN {"guest": true, "reason": "guest-panic"}"#;
    let ended = r#"detached {"reason": "x", "ended": "exited"}"#;
    let lines = ["RESUME", &panic("poweroff"), "STOP", off, ended];
    assert_eq!(
        chain(&check(&lines, "gone", 5, "certain panic-shutdown")),
        [2, 3, 4, 5]
    );
    let state = check(&["RESUME", &panic("run")], "running", 1, "likely started");
    assert_eq!(state.findings()[0].id, RuleId::PanicRun);
    check(
        &[&panic("pause"), "STOP", "RESET"],
        "paused",
        3,
        "certain reset-while-stopped",
    );
}

#[test]
fn shutdowns_by_reason_kept_or_not() {
    let off = |reason: &str| format!(r#"SHUTDOWN {{"guest": false, "reason": "{reason}"}}"#);
    let ended = r#"detached {"reason": "x", "ended": "exited after SHUTDOWN"}"#;
    for (reason, cause) in [
        ("guest-shutdown", "certain guest-shutdown"),
        ("guest-reset", "certain no-reboot"),
        ("host-qmp-quit", "certain quit"),
        ("host-qmp-system-reset", "certain host-reset-off"),
        ("host-signal", "certain signal"),
        ("host-ui", "certain window-closed"),
        ("host-error", "certain host-error"),
        ("something-new", "unknown shutdown-unexplained"),
    ] {
        check(&["RESUME", &off(reason)], "shutdown", 2, cause);
        let state = check(&["RESUME", &off(reason), ended], "gone", 3, cause);
        assert_eq!(chain(&state), [2, 3]);
    }
    check(&["SHUTDOWN"], "shutdown", 1, "unknown shutdown-unexplained");
    check(
        &["POWERDOWN", &off("guest-shutdown")],
        "shutdown",
        2,
        "likely power-button",
    );
    check(
        &["SUSPEND_DISK", &off("guest-shutdown")],
        "shutdown",
        2,
        "certain hibernated",
    );
    let lines = ["RESUME", "POWERDOWN", &off("guest-shutdown"), "STOP"];
    let state = check(&lines, "shutdown", 3, "certain no-shutdown");
    assert_eq!(chain(&state), [2, 3, 4]);
    let remarks = state.cause().expect("a cause").remarks;
    assert_eq!(
        remarks,
        ["Switched off: power button, guest obeyed (likely)."]
    );
    check(
        &["SHUTDOWN", "STOP", "RESET", "RESUME"],
        "running",
        4,
        "likely continued",
    );
}

#[test]
fn an_end_without_shutdown_is_judged_by_what_is_left_of_the_process() {
    let ended = |evidence: &str| {
        format!(
            r#"detached {{"reason": "x", "ended": "exited without SHUTDOWN", "evidence": {evidence}}}"#
        )
    };
    for (evidence, cause) in [
        ("{}", "unknown end-unexplained"),
        (
            r#"{"kernel_says": "oom", "signal": "SIGKILL", "oom_kill": 1}"#,
            "certain oom-killed",
        ),
        (r#"{"oom_kill": 1}"#, "likely oom-killed"),
        (
            r#"{"signal": "SIGSEGV", "crashed": true}"#,
            "certain crashed",
        ),
        (r#"{"kernel_says": "fault"}"#, "certain crashed"),
        (
            r#"{"signal": "SIGKILL", "crashed": false}"#,
            "certain killed",
        ),
        (r#"{"exit_code": 1}"#, "certain exited-early"),
    ] {
        check(&["RESUME", &ended(evidence)], "gone", 2, cause);
    }
    let fatal = r#"MEMORY_FAILURE {"recipient": "hypervisor", "action": "fatal", "flags": {"action-required": true, "recursive": false}}"#;
    check(
        &["RESUME", fatal, &ended("{}")],
        "gone",
        3,
        "certain memory-fatal",
    );
    let state = check(
        &["RESUME", r#"detached {"reason": "away"}"#],
        "running",
        1,
        "likely started",
    );
    assert!(!state.is_heard());
}

#[test]
fn migrations_away_and_here() {
    let phase = |status: &str| format!(r#"MIGRATION {{"status": "{status}"}}"#);
    let pass = r#"MIGRATION_PASS {"pass": 3}"#;
    let lines = ["RESUME", &phase("setup"), &phase("active"), pass, "STOP"];
    check(&lines, "paused", 5, "likely switching-over");
    let completed = phase("completed");
    let lines = [&lines[..], &[&completed]].concat();
    let state = check(&lines, "paused", 5, "certain migrated-away");
    let migration = state.migration().expect("a migration");
    assert_eq!(
        (
            migration.passes,
            migration.is_over(),
            migration.length_us(0)
        ),
        (3, true, 4_000_000)
    );
    // Without the events only the query tells.
    let asked = r#"state {"asked": "STOP", "query-status": {"status": "postmigrate"}}"#;
    check(
        &["RESUME", "STOP", asked],
        "paused",
        2,
        "certain migrated-away",
    );
    let waits = r#"state {"query-status": {"status": "inmigrate"}}"#;
    let lines = [
        waits,
        &phase("setup"),
        &phase("active"),
        "RESUME",
        &phase("completed"),
    ];
    let state = check(&lines, "running", 4, "certain migration-arrived");
    assert!(state.migration().expect("a migration").incoming);
    let state = fold(&["RESUME", &phase("active"), &phase("failed")]);
    assert_eq!(state.findings()[0].id, RuleId::MigrationFailed);
}

#[test]
fn what_happened_unheard_is_said_to_be() {
    let gap = r#"gap {"from": "1970-01-01T00:00:02.000000Z", "until": "1970-01-01T00:00:03.000000Z", "reason": "the recorder was not running"}"#;
    let lines = ["attached {}", "RESUME", gap, "attached {}", ASKED_FULL];
    let state = check(&lines, "paused", 5, "certain disk-full");
    let cause = state.cause().expect("a cause");
    assert_eq!(
        cause.unheard.expect("a gap").reason,
        "the recorder was not running"
    );
    // Nothing need have happened.
    let lines = [
        "attached {}",
        "RESUME",
        "STOP",
        ASKED_PAUSED,
        gap,
        "attached {}",
        ASKED_PAUSED,
    ];
    let state = check(&lines, "paused", 3, "certain client-stop");
    assert_eq!(state.cause().expect("a cause").unheard, None);
    // It stood still for another reason before.
    let lines = [
        "attached {}",
        "RESUME",
        "STOP",
        ASKED_PAUSED,
        gap,
        "attached {}",
        ASKED_FULL,
    ];
    let state = check(&lines, "paused", 3, "certain disk-full");
    assert!(state.cause().expect("a cause").unheard.is_some());
}

#[test]
fn answers_that_were_overtaken_by_events_count_less() {
    let running = r#"state {"query-status": {"status": "running"}}"#;
    check(
        &["attached {}", "STOP", running],
        "paused",
        2,
        "unknown stop-unexplained",
    );
    check(
        &["attached {}", "RESUME", ASKED_PAUSED],
        "running",
        2,
        "likely started",
    );
    check(
        &["attached {}", running],
        "running",
        2,
        "certain found-running",
    );
}

#[test]
fn a_new_process_has_nothing_of_the_old_one_but_its_end() {
    let mut state = fold(&[
        "RESUME",
        r#"JOB_STATUS_CHANGE {"id": "j", "status": "running"}"#,
        r#"detached {"reason": "x", "ended": "y"}"#,
    ]);
    let mut attached = record_us(9_000_000, 9_000_000, ATTACHED_10);
    attached.run = Some(2);
    state.apply(&attached);
    assert_eq!(
        (state.run_state(), state.jobs().count()),
        (RunState::Unknown, 0)
    );
    let previous = state.previous().expect("a process before");
    assert_eq!(previous.run, RunState::Gone);
    assert_eq!(
        previous.cause.as_ref().expect("a cause").id,
        RuleId::EndUnexplained
    );
}

/// A state of an older fold must not be taken for one of this: where this test fails because a record does
/// something else to a state, or a state is written otherwise, `SNAPSHOT_VERSION` is to be raised.
#[test]
fn the_form_of_a_snapshot_has_a_number() {
    let job = r#"BLOCK_JOB_COMPLETED {"type": "backup", "device": "b", "len": 9, "offset": 1, "speed": 0, "error": "x"}"#;
    let story = [
        ATTACHED_10,
        "RESUME",
        r#"VNC_CONNECTED {"server": {"host": "::1", "service": "5900", "family": "ipv6", "auth": "vnc"}, "client": {"host": "::1", "service": "4", "family": "ipv6"}}"#,
        job,
        r#"MIGRATION {"status": "failed"}"#,
        r#"DEVICE_DELETED {"device": "net0", "path": "/machine/peripheral/net0"}"#,
        r#"VSERPORT_CHANGE {"id": "p", "open": true}"#,
        r#"RTC_CHANGE {"offset": -3}"#,
        r#"GUEST_PANICKED {"action": "run", "info": {"type": "sev", "set": 0, "code": 1}}"#,
        "RESET",
        ERROR,
        "STOP",
        ASKED_FULL,
        "RESUME",
        "POWERDOWN",
        "SHUTDOWN",
    ];
    let text = fold(&story).to_snapshot();
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let pretty = serde_json::to_string_pretty(&value).expect("JSON");
    insta::assert_snapshot!("snapshot_of_a_state", pretty);
    let other = text.replacen("\"version\":1", "\"version\":0", 1);
    assert_ne!(other, text);
    assert_eq!(State::from_snapshot(&other), None);
    assert_eq!(State::from_snapshot("no JSON"), None);
}
