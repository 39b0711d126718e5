//! Events that no recipe causes, and why. A list that is wrong fails the test.

use qemu_lab::Version;
use qmp_events::EventKind;

use super::Play;

/// Events of the vocabulary that these QEMUs, on such a host, cannot be made to emit.
const IMPOSSIBLE: &[(EventKind, &str)] = &[
    (EventKind::CpuPolarizationChange, "s390x only, under KVM"),
    (EventKind::HvBalloonStatusReport, "needs a Windows guest"),
    (
        EventKind::RdmaGidStatusChanged,
        "needs an RDMA device of the host",
    ),
    (
        EventKind::VfioMigration,
        "needs a device of the host with VFIO",
    ),
    (EventKind::VfuClientHangup, "needs a build with vfio-user"),
];

/// The same for one version.
const IMPOSSIBLE_ON: &[(EventKind, Version, &str)] = &[(
    EventKind::ColoExit,
    Version::new(10, 0),
    "with 10.0 the migration ends before the machines are in step",
)];

/// Why an event is not seen on a version, if that is known.
pub(super) fn reason(kind: EventKind, tested: Version) -> Option<String> {
    let facts = kind.facts();
    let version = qmp_events::Version {
        major: tested.major,
        minor: tested.minor,
    };
    if version < facts.since {
        return Some(format!("since {}", facts.since));
    }
    if let Some(removed) = facts.removed
        && removed <= version
    {
        return Some(format!("removed in {removed}"));
    }
    let on_all = IMPOSSIBLE
        .iter()
        .filter(|(listed, _)| *listed == kind)
        .map(|(_, why)| why);
    let on_this = IMPOSSIBLE_ON
        .iter()
        .filter(|(listed, on, _)| *listed == kind && *on == tested)
        .map(|(_, _, why)| why);
    on_all.chain(on_this).next().map(|why| (*why).to_owned())
}

/// Whether an event came on a version.
pub(super) fn seen(plays: &[Play], kind: EventKind, version: Version) -> usize {
    let of_version = plays.iter().filter(|play| play.version == version);
    of_version
        .filter(|play| play.heard.iter().any(|event| event.name == kind.name()))
        .count()
}

/// Events that should not have come, and events that should have.
pub(super) fn stale(versions: &[Version], plays: &[Play]) -> Vec<String> {
    let mut wrong = Vec::new();
    for kind in EventKind::ALL {
        for version in versions {
            let name = kind.name();
            let problem = match (seen(plays, *kind, *version), reason(*kind, *version)) {
                (0, None) => format!("{name} did not come on {version}, nobody knows why"),
                (1.., Some(why)) => format!("{name} came on {version} in spite of: {why}"),
                _ => continue,
            };
            wrong.push(problem);
        }
    }
    wrong
}
