//! The facts: counts per release, rate limits per release, and a golden list of every event and
//! member, so that no fact changes unseen.

use std::fmt::Write as _;

use qmp_events::{
    EventKind, Version,
    facts::{Doc, EventFacts, MemberFacts, TypeFacts},
};

fn version(text: &str) -> Version {
    text.parse().unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn all() -> impl Iterator<Item = &'static EventFacts> {
    EventKind::ALL.iter().map(|kind| kind.facts())
}

fn event(name: &str) -> &'static EventFacts {
    EventKind::from_name(name).expect("a known event").facts()
}

#[test]
fn sixty_events_in_alphabetical_order() {
    let names: Vec<_> = all().map(|facts| facts.name).collect();
    assert_eq!(names.len(), 60);
    assert!(names.is_sorted(), "{names:?}");
    for &kind in EventKind::ALL {
        assert_eq!(EventKind::from_name(kind.name()), Some(kind));
    }
    assert_eq!(EventKind::from_name("stop"), None);
}

#[test]
fn thirty_five_are_of_the_document_of_2016_and_one_of_them_is_gone() {
    let seed: Vec<_> = all().filter(|facts| facts.seed.is_some()).collect();
    assert_eq!(seed.len(), 35);
    let gone: Vec<_> = seed
        .iter()
        .filter(|facts| facts.removed.is_some())
        .collect();
    assert_eq!(gone.len(), 1);
    assert_eq!(gone[0].name, "MEM_UNPLUG_ERROR");
    // The document is of 2.6: it cannot have anything newer.
    assert!(seed.iter().all(|facts| facts.since <= version("2.6")));
}

#[test]
fn events_per_release() {
    // Counted in the schema of each release; the other releases from 2.1 on changed nothing.
    let counts = [
        ("2.1", 32),
        ("2.2", 32),
        ("2.3", 33),
        ("2.4", 35),
        ("2.5", 35),
        ("2.6", 37),
        ("2.11", 37),
        ("2.12", 39),
        ("3.0", 41),
        ("3.1", 42),
        ("4.0", 42),
        ("4.1", 42),
        ("4.2", 44),
        ("5.0", 45),
        ("5.1", 46),
        ("5.2", 48),
        ("6.1", 48),
        ("6.2", 49),
        ("7.0", 49),
        ("7.1", 50),
        ("7.2", 52),
        ("8.1", 52),
        ("8.2", 54),
        ("9.0", 54),
        ("10.0", 56),
        ("10.1", 56),
        ("10.2", 57),
        ("11.0", 57),
        ("11.1", 57),
    ];
    for (release, count) in counts {
        let exist = all()
            .filter(|facts| facts.exists_in(version(release)))
            .count();
        assert_eq!(exist, count, "in {release}");
    }
    let removed: Vec<_> = all()
        .filter_map(|facts| Some((facts.name, facts.removed?.to_string())))
        .collect();
    assert_eq!(
        removed,
        [
            ("COMMAND_DROPPED", "4.0".into()),
            ("MEM_UNPLUG_ERROR", "9.1".into()),
            ("RDMA_GID_STATUS_CHANGED", "9.1".into()),
        ]
    );
}

#[test]
fn rate_limits_per_release() {
    let slot = |name, release| {
        event(name)
            .limit_at(version(release))
            .map(|limit| limit.key)
    };
    for name in ["BALLOON_CHANGE", "RTC_CHANGE", "WATCHDOG"] {
        assert_eq!(slot(name, "1.1"), None);
        assert_eq!(slot(name, "1.2"), Some(None));
        // One slot still: RTC_CHANGE's `qom-path` of 7.0 never became a key.
        assert_eq!(slot(name, "11.1"), Some(None));
    }
    assert_eq!(slot("QUORUM_FAILURE", "11.1"), Some(None));
    assert_eq!(slot("HV_BALLOON_STATUS_REPORT", "8.1"), None);
    assert_eq!(slot("HV_BALLOON_STATUS_REPORT", "8.2"), Some(None));
    for (name, last_without, first_with, key) in [
        ("QUORUM_REPORT_BAD", "2.5", "2.6", "node-name"),
        ("VSERPORT_CHANGE", "2.4", "2.5", "id"),
        ("MEMORY_DEVICE_SIZE_CHANGE", "6.1", "6.2", "qom-path"),
    ] {
        assert_eq!(slot(name, last_without), Some(None));
        assert_eq!(slot(name, first_with), Some(Some(key)));
        assert_eq!(slot(name, "11.1"), Some(Some(key)));
    }
    assert_eq!(slot("BLOCK_IO_ERROR", "9.1"), None);
    assert_eq!(slot("BLOCK_IO_ERROR", "9.2"), Some(Some("qom-path")));
    let except = |release| {
        event("BLOCK_IO_ERROR")
            .limit_at(version(release))
            .unwrap()
            .except
    };
    assert_eq!(except("10.2"), None);
    assert_eq!(except("11.0"), Some(("action", "stop")));

    assert_eq!(all().filter(|facts| !facts.limits.is_empty()).count(), 9);
    let latched: Vec<_> = all()
        .filter_map(|facts| Some((facts.name, facts.latch?)))
        .collect();
    assert_eq!(
        latched,
        [
            ("BLOCK_WRITE_THRESHOLD", "block-set-write-threshold"),
            ("NIC_RX_FILTER_CHANGED", "query-rx-filter"),
        ]
    );
}

#[test]
fn keys_and_exceptions_of_limits_exist() {
    for facts in all() {
        let member = |name: &str| facts.members.iter().find(|member| member.name == name);
        assert!(
            facts.limits.is_sorted_by_key(|limit| limit.since),
            "{}",
            facts.name
        );
        for limit in facts.limits {
            if let Some(key) = limit.key {
                let since = member(key).expect("the key is a member").since;
                assert!(
                    since.is_none_or(|since| since <= limit.since),
                    "{}",
                    facts.name
                );
            }
            if let Some((name, value)) = limit.except {
                let TypeFacts::Enum(words) = member(name).expect("a member").ty else {
                    panic!("{}: {name} is no enum", facts.name);
                };
                assert!(words.values.iter().any(|word| word.name == value));
            }
        }
    }
}

#[test]
fn members_come_after_their_event_and_before_its_end() {
    for facts in all() {
        // Older releases had the event without a schema.
        let first = facts.since.max(version("2.1"));
        for member in facts.members {
            let since = member.since.unwrap_or(version("99.0"));
            assert!(first < since, "{}.{}", facts.name, member.name);
        }
        assert!(facts.removed.is_none_or(|removed| facts.since < removed));
    }
}

#[test]
fn unstable_events_are_those_of_s390x() {
    let unstable: Vec<_> = all()
        .filter(|facts| facts.unstable)
        .map(|facts| facts.name)
        .collect();
    assert_eq!(
        unstable,
        ["CPU_POLARIZATION_CHANGE", "SCLP_CPI_INFO_AVAILABLE"]
    );
}

#[test]
fn everything_is_documented_in_sentences() {
    let mut texts = Vec::new();
    for facts in all() {
        texts.push((facts.name.to_owned(), facts.doc));
        member_texts(facts.name, facts.members, &mut texts);
        if let Some(seed) = facts.seed {
            assert!(
                seed.is_empty() || seed.ends_with('.'),
                "{}: {seed}",
                facts.name
            );
        }
    }
    assert!(texts.len() > 400, "{}", texts.len());
    for (path, doc) in texts {
        let paragraphs = doc.paragraphs();
        assert_eq!(paragraphs.first(), Some(&doc.summary()), "{path}");
        for paragraph in paragraphs {
            assert!(
                paragraph.ends_with('.') || paragraph.ends_with(".)"),
                "{path}: {paragraph}"
            );
            assert!(paragraph.is_ascii(), "{path}: {paragraph}");
            assert!(!paragraph.contains("  "), "{path}: {paragraph}");
            assert_eq!(paragraph.matches('`').count() % 2, 0, "{path}: {paragraph}");
        }
    }
}

fn member_texts(path: &str, members: &[MemberFacts], texts: &mut Vec<(String, Doc)>) {
    for member in members {
        let path = format!("{path}.{}", member.name);
        texts.push((path.clone(), member.doc));
        match member.ty {
            TypeFacts::Enum(facts) => {
                texts.push((facts.name.to_owned(), facts.doc));
                let values = facts.values.iter();
                texts.extend(values.map(|value| (format!("{path}={}", value.name), value.doc)));
            }
            TypeFacts::Object(facts) => {
                texts.push((facts.name.to_owned(), facts.doc));
                member_texts(&path, facts.members, texts);
            }
            TypeFacts::Union(facts) => {
                texts.push((facts.name.to_owned(), facts.doc));
                for branch in facts.branches {
                    texts.push((format!("{path}={}", branch.name), branch.doc));
                    member_texts(&path, branch.object.members, texts);
                }
            }
            _ => {}
        }
    }
}

/// The facts as lines of text. `tests/data/facts.txt` holds them; after a change that is meant,
/// put what this test prints there.
#[test]
fn golden_list() {
    let mut list = String::new();
    for facts in all() {
        write!(list, "{} {}", facts.name, facts.since).unwrap();
        if let Some(removed) = facts.removed {
            write!(list, " removed {removed}").unwrap();
        }
        list.push('\n');
        write_members(facts.name, facts.members, &mut list);
    }
    let golden = include_str!("../data/facts.txt");
    if list != golden {
        println!("{list}");
        let differs = list
            .lines()
            .zip(golden.lines())
            .find(|(now, before)| now != before);
        panic!(
            "tests/data/facts.txt differs, first in {differs:?}; the list as it is now is above"
        );
    }
}

fn write_members(path: &str, members: &[MemberFacts], list: &mut String) {
    for member in members {
        let path = format!("{path}.{}", member.name);
        let optional = if member.optional { " optional" } else { "" };
        let since = member
            .since
            .map(|since| format!(" {since}"))
            .unwrap_or_default();
        writeln!(list, "{path}: {}{optional}{since}", member.ty.name()).unwrap();
        match member.ty {
            TypeFacts::Enum(facts) => {
                for value in facts.values {
                    let since = value
                        .since
                        .map(|since| format!(" {since}"))
                        .unwrap_or_default();
                    writeln!(list, "{path} = {}{since}", value.name).unwrap();
                }
            }
            TypeFacts::Object(facts) => write_members(&path, facts.members, list),
            TypeFacts::Union(facts) => {
                for branch in facts.branches {
                    let since = branch
                        .since
                        .map(|since| format!(" {since}"))
                        .unwrap_or_default();
                    writeln!(list, "{path}.{} = {}{since}", facts.tag, branch.name).unwrap();
                    write_members(
                        &format!("{path}[{}]", branch.name),
                        branch.object.members,
                        list,
                    );
                }
            }
            _ => {}
        }
    }
}
