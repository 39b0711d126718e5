//! The machines of the demo, and where they are reached.

use std::path::{Path, PathBuf};
use std::time::Duration;

use qmp_monitor::BuildError;

use crate::emulate::{Emulated, MachineSettings};

/// One machine of the demo: name, release of QEMU, memory in MiB, disks, SPICE or VNC, who dials.
struct Role {
    name: &'static str,
    version: &'static str,
    package: &'static str,
    memory_mib: i64,
    disks: &'static [&'static str],
    spice: bool,
    /// It dials the recorder; else the recorder dials it.
    dials: bool,
}

/// Ten years of QEMU.
const ROLES: [Role; 4] = [
    Role {
        name: "web",
        version: "7.2.22",
        package: "Debian 1:7.2+dfsg-7",
        memory_mib: 4096,
        disks: &["root"],
        spice: false,
        dials: true,
    },
    Role {
        name: "db",
        version: "10.0.2",
        package: "",
        memory_mib: 16384,
        disks: &["root", "data"],
        spice: false,
        dials: true,
    },
    Role {
        name: "build",
        version: "11.1.0",
        package: "",
        memory_mib: 8192,
        disks: &["root", "cache"],
        spice: false,
        dials: true,
    },
    Role {
        name: "attic",
        version: "2.6.0",
        package: "",
        memory_mib: 1024,
        disks: &["root"],
        spice: true,
        dials: false,
    },
];

/// Pause between attempts to reach the recorder, as `reconnect-ms=100`.
const REDIAL: Duration = Duration::from_millis(100);

/// Starts a machine's monitor; `None`: nobody of that name is in the cast.
pub(super) fn start(name: &str, sockets: &Path) -> Option<Result<Emulated, BuildError>> {
    let role = ROLES.iter().find(|role| role.name == name)?;
    Some(Emulated::start(settings(name)?, |builder| {
        let builder = builder.listen_unix(operator_socket(sockets, role.name));
        match role.dials {
            true => builder.dial_unix(recorder_socket(sockets), REDIAL),
            false => builder.listen_unix(monitor_socket(sockets, role.name)),
        }
    }))
}

/// What a machine is; `None`: nobody of that name is in the cast.
pub(super) fn settings(name: &str) -> Option<MachineSettings> {
    let (role, number) = ROLES
        .iter()
        .zip(1_u64..)
        .find(|(role, _)| role.name == name)?;
    Some(MachineSettings {
        name: role.name.to_owned(),
        uuid: format!("d0e5c0de-0000-4000-8000-{number:012x}"),
        version: role.version.to_owned(),
        package: role.package.to_owned(),
        disks: role.disks.iter().map(|&disk| disk.to_owned()).collect(),
        ports: vec!["org.qemu.guest_agent.0".to_owned()],
        memory: role.memory_mib << 20,
        spice: role.spice,
    })
}

/// The names of the machines, in the order of the cast.
pub fn machine_names() -> impl Iterator<Item = &'static str> {
    ROLES.iter().map(|role| role.name)
}

/// Where the recorder listens.
pub(super) fn recorder_socket(sockets: &Path) -> PathBuf {
    sockets.join("recorder.sock")
}

/// The monitor of a machine's operator.
pub(super) fn operator_socket(sockets: &Path, machine: &str) -> PathBuf {
    sockets.join(format!("{machine}.operator.sock"))
}

/// The monitors that the recorder dials.
pub(super) fn dialled(sockets: &Path) -> impl Iterator<Item = PathBuf> {
    let roles = ROLES.iter().filter(|role| !role.dials);
    roles.map(move |role| monitor_socket(sockets, role.name))
}

fn monitor_socket(sockets: &Path, machine: &str) -> PathBuf {
    sockets.join(format!("{machine}.sock"))
}
