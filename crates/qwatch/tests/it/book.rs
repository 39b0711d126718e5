//! `qwatch events`: the book of events.

use crate::command::run;

#[test]
fn the_table_has_every_event_on_a_line() {
    let said = run(&["events"]);
    assert_eq!(said.code, 0);
    let lines: Vec<_> = said.out.lines().collect();
    assert_eq!(lines.len(), 1 + 60);
    assert_eq!(
        lines[0],
        "EVENT                           SINCE  LIMIT              MEANING"
    );
    for expected in [
        "BLOCK_IO_ERROR                   0.13  1/s per qom-path   ",
        "NIC_RX_FILTER_CHANGED             1.6  once               ",
        "STOP                             0.12  -                  ",
    ] {
        assert!(
            lines.iter().any(|line| line.starts_with(expected)),
            "{}",
            said.out
        );
    }
    let gone = lines
        .iter()
        .find(|line| line.starts_with("MEM_UNPLUG_ERROR"));
    assert!(
        gone.is_some_and(|line| line.ends_with(" (removed in 9.1)")),
        "{gone:?}"
    );
}

#[test]
fn the_page_of_an_event_with_everything_an_event_can_have() {
    insta::assert_snapshot!(run(&["events", "guest-panicked"]).out);
    let page = run(&["events", "BLOCK_IO_ERROR"]).out;
    for expected in [
        "    Rate-limited since 9.2: at most one a second for the same qom-path;",
        "    qom-path  string, since 9.2\n",
        "    node-name  string, optional, since 2.8\n",
        "\nValues of BlockErrorAction\n",
        "\nCompared with QEMU's event document of 2016\n",
    ] {
        assert!(page.contains(expected), "{expected}\n{page}");
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
