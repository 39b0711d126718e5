//! What an emulated machine answers when asked for its state: always what its events said.

use qmp_events::Version;
use qmp_events::vocabulary::{JobStatus, JobType};
use qmp_monitor::{CommandResult, Object, Value, generic_error};

use super::jobs::Job;
use super::machine::{Disk, Machine, RunState};
use super::screens::{Channel, DISPLAY_HOST, Peer, SPICE_PORT, VNC_PORT};

/// The queries there are.
pub(super) const QUERIES: [&str; 9] = [
    "query-status",
    "query-block",
    "query-block-jobs",
    "query-jobs",
    "query-migrate",
    "query-balloon",
    "query-vnc",
    "query-spice",
    "query-chardev",
];

/// Releases before this one tell `singlestep`.
const SINGLESTEP_REMOVED: Version = Version::new(9, 0);

impl Machine {
    /// Answers one of [`QUERIES`].
    pub(super) fn query(&self, name: &str) -> CommandResult {
        Ok(match name {
            "query-status" => self.status(),
            "query-block" => list(&self.disks, disk),
            "query-block-jobs" => list(&self.jobs, block_job),
            "query-jobs" => list(&self.jobs, job),
            "query-migrate" => {
                let status = self.migration.as_ref().map(|status| status.as_str());
                Object::new().with_some("status", status).into()
            }
            "query-balloon" => Object::new().with("actual", self.balloon).into(),
            "query-vnc" => self.vnc(),
            "query-spice" => self.spice(),
            "query-chardev" => list(&self.settings.ports, |port| self.port_state(port)),
            _ => return Err(generic_error("The emulated machine has no such query")),
        })
    }

    fn status(&self) -> Value {
        let singlestep = (self.version < SINGLESTEP_REMOVED).then_some(false);
        Object::new()
            .with("running", self.run == RunState::Running)
            .with_some("singlestep", singlestep)
            .with("status", self.run.as_str())
            .into()
    }

    fn vnc(&self) -> Value {
        if self.settings.spice {
            return Object::new().with("enabled", false).into();
        }
        Object::new()
            .with("enabled", true)
            .with("host", DISPLAY_HOST)
            .with("family", "ipv4")
            .with("service", VNC_PORT)
            .with("auth", "vnc")
            .with("clients", list(&self.screens.vnc, vnc_client))
            .into()
    }

    fn spice(&self) -> Value {
        let base = Object::new()
            .with("enabled", self.settings.spice)
            .with("migrated", false);
        if !self.settings.spice {
            return base.with("mouse-mode", "unknown").into();
        }
        let port: i64 = SPICE_PORT.parse().unwrap_or(0);
        base.with("host", DISPLAY_HOST)
            .with("port", port)
            .with("auth", "spice")
            .with("mouse-mode", "client")
            .with("channels", list(&self.screens.spice, spice_channel))
            .into()
    }

    fn port_state(&self, port: &str) -> Value {
        Object::new()
            .with("label", port)
            .with("filename", "unix:server")
            .with(
                "frontend-open",
                self.open_ports.iter().any(|open| open == port),
            )
            .into()
    }
}

fn list<T>(elements: &[T], describe: impl Fn(&T) -> Value) -> Value {
    Value::Array(elements.iter().map(describe).collect())
}

fn disk(disk: &Disk) -> Value {
    let inserted = Object::new()
        .with("file", format!("/var/lib/vm/{}.qcow2", disk.node))
        .with("node-name", disk.node.as_str())
        .with("ro", false)
        .with("drv", "qcow2");
    Object::new()
        .with("device", "")
        .with("qdev", disk.qom_path())
        .with("type", "unknown")
        .with("removable", false)
        .with("locked", false)
        .with("inserted", inserted)
        .with("io-status", disk.io_status)
        .into()
}

fn block_job(job: &Job) -> Value {
    Object::new()
        .with("type", job.kind.as_str())
        .with("device", job.id.as_str())
        .with("len", job.length)
        .with("offset", job.offset)
        .with("busy", job.status == JobStatus::Running)
        .with("paused", false)
        .with("speed", 0_i64)
        .with("io-status", "ok")
        .with("ready", job.status == JobStatus::Ready)
        .with("status", job.status.as_str())
        .with("auto-finalize", true)
        .with("auto-dismiss", true)
        .into()
}

fn job(job: &Job) -> Value {
    Object::new()
        .with("id", job.id.as_str())
        .with("type", job.kind.as_str())
        .with("status", job.status.as_str())
        .with("current-progress", job.offset)
        .with("total-progress", job.length)
        .into()
}

fn vnc_client(peer: &Peer) -> Value {
    Object::new()
        .with("host", peer.host.as_str())
        .with("service", peer.port.as_str())
        .with("family", "ipv4")
        .with("websocket", false)
        .into()
}

fn spice_channel(channel: &Channel) -> Value {
    Object::new()
        .with("host", channel.peer.host.as_str())
        .with("port", channel.peer.port.as_str())
        .with("family", "ipv4")
        .with("connection-id", channel.connection)
        .with("channel-type", channel.kind)
        .with("channel-id", 0_i64)
        .with("tls", false)
        .into()
}

/// Whether jobs of this kind wait in the state `ready` to be completed.
pub(super) fn has_ready(kind: &JobType) -> bool {
    matches!(kind, JobType::Mirror | JobType::Commit)
}
