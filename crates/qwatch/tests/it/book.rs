//! `qwatch events`: the book of events.

use crate::command::run;

#[test]
fn the_table_has_every_event() {
    let said = run(&["events"]);
    assert_eq!(said.code, 0);
    assert_eq!(said.out.lines().count(), 1 + 60);
    insta::assert_snapshot!("events_table", said.out);
}

#[test]
fn the_pages_of_events_with_everything_an_event_can_have() {
    for name in [
        "BLOCK_IO_ERROR",
        "GUEST_PANICKED",
        "MEM_UNPLUG_ERROR",
        "NIC_RX_FILTER_CHANGED",
    ] {
        insta::assert_snapshot!(format!("events_{name}"), run(&["events", name]).out);
    }
}

#[test]
fn json_is_one_object_an_event_with_all_facts() {
    let said = run(&["events", "--json"]);
    let events: Vec<serde_json::Value> = said
        .out
        .lines()
        .map(|line| serde_json::from_str(line).expect("an object"))
        .collect();
    assert_eq!(events.len(), 60);
    let error = events
        .iter()
        .find(|e| e["event"] == "BLOCK_IO_ERROR")
        .expect("it is there");
    assert_eq!(error["limits"][1]["except"]["value"], "stop");
    assert_eq!(error["members"][0]["name"], "qom-path");
    assert_eq!(error["members"][0]["since"], "9.2");
    assert_eq!(run(&["events", "--json", "stop"]).out.lines().count(), 1);
}

#[test]
fn a_part_of_a_name_gives_a_table_and_a_slip_a_suggestion() {
    let said = run(&["events", "tray"]);
    assert!(said.out.contains("DEVICE_TRAY_MOVED"), "{}", said.out);
    assert!(said.out.starts_with("DEVICE_TRAY_MOVED\n") || said.out.starts_with("EVENT "));
    let said = run(&["events", "BLOCK_IO_EROR"]);
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    insta::assert_snapshot!(said.err, @r"
    qwatch: error: there is no event `BLOCK_IO_EROR` in the vocabulary
      did you mean BLOCK_IO_ERROR?
    ");
}
