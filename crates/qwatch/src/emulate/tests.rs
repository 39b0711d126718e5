//! Stories of emulated machines: what happens, what is emitted, what is answered afterwards.

use qmp_events::vocabulary::{
    BlockErrorAction, GuestPanicAction, IoOperationType, JobType, WatchdogAction,
};
use qmp_monitor::compact;

use super::*;

fn machine(version: &str) -> Machine {
    let settings = MachineSettings {
        name: "vm".to_owned(),
        uuid: "6c1f0a9e-0000-4000-8000-000000000001".to_owned(),
        version: version.to_owned(),
        package: String::new(),
        disks: vec!["disk0".to_owned()],
        ports: vec!["agent0".to_owned()],
        memory: 1 << 30,
        spice: false,
    };
    Machine::new(settings).expect("a version")
}

fn running(version: &str) -> Machine {
    let mut machine = machine(version);
    assert_eq!(names(&mut machine, Action::PowerOn), ["RESUME"]);
    machine
}

fn names(machine: &mut Machine, action: Action) -> Vec<String> {
    let outcome = machine.act(&action);
    let names = outcome.events.iter().map(|event| event.name().to_owned());
    names.collect()
}

fn asked(machine: &Machine, query: &str) -> String {
    compact(&machine.query(query).expect("an answer"))
}

fn full_disk() -> Action {
    Action::DiskError {
        disk: "disk0".into(),
        operation: IoOperationType::Write,
        action: BlockErrorAction::Stop,
        reason: "No space left on device".into(),
    }
}

#[test]
fn a_full_disk_stops_the_machine_until_it_is_continued() {
    let mut vm = running("7.2");
    assert_eq!(names(&mut vm, full_disk()), ["BLOCK_IO_ERROR", "STOP"]);
    let status = r#"{"status": "io-error", "singlestep": false, "running": false}"#;
    assert_eq!(asked(&vm, "query-status"), status);
    assert!(asked(&vm, "query-block").contains(r#""io-status": "nospace""#));
    assert_eq!(
        names(&mut vm, full_disk()),
        [""; 0],
        "a stopped guest writes nothing"
    );
    assert_eq!(
        names(&mut vm, Action::Stop),
        [""; 0],
        "it is stopped already"
    );
    assert_eq!(names(&mut vm, Action::Continue), ["RESUME"]);
    assert!(asked(&vm, "query-block").contains(r#""io-status": "ok""#));
    assert_eq!(names(&mut vm, Action::Continue), [""; 0], "it runs already");
}

#[test]
fn a_mirror_goes_through_all_its_states() {
    let mut vm = running("10.0");
    let job = || "mirror0".into();
    let start = Action::JobStart {
        job: job(),
        kind: JobType::Mirror,
        length: 4096,
    };
    assert_eq!(names(&mut vm, start.clone()), ["JOB_STATUS_CHANGE"; 2]);
    assert_eq!(names(&mut vm, start), [""; 0], "its id is taken");
    vm.act(&Action::JobProgress {
        job: job(),
        offset: 1024,
    });
    assert!(asked(&vm, "query-block-jobs").contains(r#""offset": 1024"#));
    let ready = names(&mut vm, Action::JobReady { job: job() });
    assert_eq!(ready, ["JOB_STATUS_CHANGE", "BLOCK_JOB_READY"]);
    assert!(asked(&vm, "query-jobs").contains(r#""status": "ready""#));
    let end = vm.act(&Action::JobComplete { job: job() });
    let end: Vec<String> = end.events.iter().filter_map(Event::data_json).collect();
    let status = |word: &str| format!(r#"{{"status": "{word}", "id": "mirror0"}}"#);
    assert_eq!(end[0], status("waiting"));
    assert_eq!(end[1], status("pending"));
    assert!(
        end[2].contains(r#""offset": 4096"#) && !end[2].contains("error"),
        "{}",
        end[2]
    );
    assert_eq!(end[3..], [status("concluded"), status("null")]);
    assert_eq!(asked(&vm, "query-jobs"), "[]");
    assert_eq!(names(&mut vm, Action::JobReady { job: job() }), [""; 0]);
}

#[test]
fn a_failed_job_says_why_and_a_cancelled_one_that_it_was() {
    let mut vm = running("10.0");
    for (end, word) in [
        (
            Action::JobFail {
                job: "b".into(),
                error: "No such host".into(),
            },
            "BLOCK_JOB_COMPLETED",
        ),
        (Action::JobCancel { job: "b".into() }, "BLOCK_JOB_CANCELLED"),
    ] {
        vm.act(&Action::JobStart {
            job: "b".into(),
            kind: JobType::Backup,
            length: 8,
        });
        let events = vm.act(&end).events;
        let change = "JOB_STATUS_CHANGE";
        let names: Vec<&str> = events.iter().map(Event::name).collect();
        assert_eq!(names, [change, word, change, change]);
        let failed = events[1]
            .data_json()
            .expect("data")
            .contains("No such host");
        assert_eq!(failed, word == "BLOCK_JOB_COMPLETED");
    }
}

#[test]
fn a_panic_needs_a_reset() {
    let mut vm = running("10.0");
    let panic = Action::Panic {
        action: GuestPanicAction::Pause,
    };
    assert_eq!(names(&mut vm, panic), ["GUEST_PANICKED", "STOP"]);
    assert_eq!(vm.run_state(), RunState::GuestPanicked);
    assert_eq!(names(&mut vm, Action::Continue), [""; 0]);
    assert_eq!(names(&mut vm, Action::Reset { guest: false }), ["RESET"]);
    assert_eq!(vm.run_state(), RunState::Prelaunch);
    assert_eq!(names(&mut vm, Action::Continue), ["RESUME"]);
}

#[test]
fn what_follows_a_watchdog_depends_on_its_action() {
    for (action, expected, exits) in [
        (WatchdogAction::Reset, vec!["WATCHDOG", "RESET"], false),
        (WatchdogAction::Pause, vec!["WATCHDOG", "STOP"], false),
        (
            WatchdogAction::Shutdown,
            vec!["WATCHDOG", "POWERDOWN"],
            false,
        ),
        (WatchdogAction::Poweroff, vec!["WATCHDOG"], true),
        (WatchdogAction::InjectNmi, vec!["WATCHDOG"], false),
    ] {
        let mut vm = running("7.2");
        let outcome = vm.act(&Action::Watchdog { action });
        let names: Vec<&str> = outcome.events.iter().map(Event::name).collect();
        assert_eq!((names, outcome.exits), (expected, exits));
    }
}

#[test]
fn migrations_differ_by_release() {
    let day = [
        MigrationPhase::Setup,
        MigrationPhase::Active,
        MigrationPhase::Pass(2),
        MigrationPhase::Complete,
    ];
    let told = |version| -> Vec<String> {
        let mut vm = running(version);
        let events = day
            .into_iter()
            .flat_map(|phase| vm.act(&Action::Migrate(phase)).events);
        let words =
            events.map(|event| event.data_json().unwrap_or_else(|| event.name().to_owned()));
        words.collect()
    };
    let status = |word: &str| format!(r#"{{"status": "{word}"}}"#);
    let pass = |number: i64| format!(r#"{{"pass": {number}}}"#);
    let old = [
        status("setup"),
        pass(1),
        status("active"),
        pass(2),
        "STOP".to_owned(),
        status("completed"),
    ];
    assert_eq!(told("7.2"), old);
    let mut newer = old.to_vec();
    newer.insert(5, status("device"));
    assert_eq!(told("10.0"), newer);
    newer.remove(1);
    assert_eq!(told("11.1"), newer);
}

#[test]
fn visitors_are_told_by_events_and_by_queries() {
    let mut vm = running("10.0");
    let client = || "192.0.2.7:51000".into();
    assert_eq!(
        names(&mut vm, Action::VncLogin { client: client() }),
        [""; 0],
        "not connected"
    );
    assert_eq!(
        names(&mut vm, Action::VncConnect { client: client() }),
        ["VNC_CONNECTED"]
    );
    assert_eq!(
        names(&mut vm, Action::VncLogin { client: client() }),
        ["VNC_INITIALIZED"]
    );
    assert!(asked(&vm, "query-vnc").contains(r#""host": "192.0.2.7""#));
    assert_eq!(
        names(&mut vm, Action::VncLeave { client: client() }),
        ["VNC_DISCONNECTED"]
    );
    assert!(!asked(&vm, "query-vnc").contains("192.0.2.7"));

    let open = |channel| Action::SpiceConnect {
        client: "[2001:db8::1]:6000".into(),
        channel,
    };
    let first = vm.act(&open(1)).events;
    let second = vm.act(&open(2)).events;
    let id = |events: &[Event<'_>]| match &events[1] {
        Event::SpiceInitialized(event) => event.client.connection_id,
        other => panic!("{other:?}"),
    };
    assert_eq!(id(&first), id(&second), "channels of one client");
    let leave = Action::SpiceLeave {
        client: "[2001:db8::1]:6000".into(),
    };
    assert_eq!(names(&mut vm, leave), ["SPICE_DISCONNECTED"; 2]);
}

#[test]
fn nothing_happens_to_what_is_gone() {
    let mut vm = running("7.2");
    let end = vm.act(&Action::Quit);
    assert!(end.exits);
    assert_eq!(
        end.events[0].data_json().as_deref(),
        Some(r#"{"guest": false, "reason": "host-qmp-quit"}"#)
    );
    assert_eq!(vm.act(&Action::PowerOn), Outcome::default());
    let mut vm = running("7.2");
    let silent = vm.act(&Action::Die);
    assert_eq!((silent.events.len(), silent.exits), (0, true));
}

#[test]
fn the_balloon_and_the_ports_tell_changes_only() {
    let mut vm = running("10.0");
    assert_eq!(
        names(&mut vm, Action::Balloon { actual: 1 << 30 }),
        [""; 0],
        "as it was"
    );
    assert_eq!(
        names(&mut vm, Action::Balloon { actual: 1 << 29 }),
        ["BALLOON_CHANGE"]
    );
    assert_eq!(asked(&vm, "query-balloon"), r#"{"actual": 536870912}"#);
    let port = |port: &'static str, open| Action::Port {
        port: port.into(),
        open,
    };
    assert_eq!(names(&mut vm, port("agent0", true)), ["VSERPORT_CHANGE"]);
    assert_eq!(names(&mut vm, port("nowhere", true)), [""; 0]);
    assert!(asked(&vm, "query-chardev").contains(r#""frontend-open": true"#));
    let reset = names(&mut vm, Action::Reset { guest: true });
    assert_eq!(
        reset,
        ["RESET", "VSERPORT_CHANGE"],
        "a reset closes the ports"
    );
    assert_eq!(names(&mut vm, Action::Suspend), ["SUSPEND"]);
    assert_eq!(names(&mut vm, Action::WakeUp), ["WAKEUP"]);
    assert_eq!(
        names(&mut vm, Action::SetClock { offset: -2 }),
        ["RTC_CHANGE"]
    );
}
