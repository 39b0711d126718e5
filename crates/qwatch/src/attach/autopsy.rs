//! What a process that ended without a word leaves behind: its exit status while nobody has reaped it, the
//! count of out-of-memory kills of its control group, the kernel's log.
//!
//! Best effort, and only reads files: whoever started QEMU has its exit status, we do not. What is found is
//! written into the `detached` record; the rules of `machine/rules/end.rs` say what it means.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde_json::{Value, json};

use crate::limits::{KERNEL_LINES_MAX, KERNEL_LOG_MAX_RECORDS, KERNEL_LOG_SPAN_S};

/// What is remembered of a process while it lives.
#[derive(Debug)]
pub(super) struct Watch {
    pid: u32,
    group: Option<Group>,
}

/// What was found of a process that is no more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Evidence {
    exit: Option<Exit>,
    /// By how much the count of kills for want of memory rose in its group, and that group.
    oom_kills: Option<(u64, String)>,
    /// What the kernel's log says of it.
    kernel: Vec<String>,
}

/// How a process exited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Code(i32),
    Signal { number: i32, core: bool },
}

/// The control group that limits its memory.
#[derive(Debug)]
struct Group {
    name: String,
    counter: PathBuf,
    oom_kills: u64,
}

/// Remembers what will be compared when the process has ended.
pub(super) fn before(pid: u32) -> Watch {
    Watch {
        pid,
        group: Group::of(pid),
    }
}

impl Watch {
    /// Looks at what is left of the process; `None` if that is nothing.
    pub(super) fn after(&self) -> Option<Evidence> {
        let oom_kills = self.group.as_ref().and_then(|group| {
            let more = read_counter(&group.counter)?.checked_sub(group.oom_kills)?;
            (more > 0).then(|| (more, group.name.clone()))
        });
        let evidence = Evidence {
            exit: fs::read_to_string(format!("/proc/{}/stat", self.pid))
                .ok()
                .and_then(|stat| exit_of(&stat)),
            oom_kills,
            kernel: kernel_lines(self.pid),
        };
        (evidence != Evidence::default()).then_some(evidence)
    }
}

impl Evidence {
    /// The member `evidence` of the record.
    pub(super) fn to_json(&self) -> Value {
        let mut found = json!({});
        match self.exit {
            Some(Exit::Code(code)) => found["exit_code"] = code.into(),
            Some(Exit::Signal { number, core }) => {
                found["signal"] = signal_name(number).into();
                found["crashed"] = is_fault(number).into();
                found["core_dumped"] = core.into();
            }
            None => {}
        }
        if let Some((count, group)) = &self.oom_kills {
            found["oom_kill"] = (*count).into();
            found["group"] = group.as_str().into();
        }
        if !self.kernel.is_empty() {
            let says_oom = self.kernel.iter().any(|line| is_oom(line));
            found["kernel_says"] = if says_oom { "oom" } else { "fault" }.into();
            found["kernel"] = self.kernel.clone().into();
        }
        found
    }
}

impl Group {
    fn of(pid: u32) -> Option<Self> {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let counters = counters(&groups, &mounts);
        counters.into_iter().find_map(|(name, counter)| {
            let oom_kills = read_counter(&counter)?;
            Some(Self {
                name,
                counter,
                oom_kills,
            })
        })
    }
}

/// The files that count, by `/proc/PID/cgroup` and `/proc/self/mountinfo`: of version 2 and of version 1.
fn counters(groups: &str, mounts: &str) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(group)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let (kind, file) = match controllers {
            "" => ("cgroup2", "memory.events"),
            list if list.split(',').any(|one| one == "memory") => ("cgroup", "memory.oom_control"),
            _ => continue,
        };
        for (root, point) in mount_points(mounts, kind) {
            // The mount may show a part of the tree only.
            let below = group
                .strip_prefix(root.trim_end_matches('/'))
                .unwrap_or(group);
            let folder = Path::new(&point).join(below.trim_start_matches('/'));
            found.push((group.to_owned(), folder.join(file)));
        }
    }
    found
}

/// Root and mount point of each mount of a kind of control groups; of version 1 only the memory controller's.
fn mount_points(mounts: &str, kind: &str) -> Vec<(String, String)> {
    let mut points = Vec::new();
    for line in mounts.lines() {
        let Some((place, source)) = line.split_once(" - ") else {
            continue;
        };
        let mut source = source.split(' ');
        let (of, options) = (source.next(), source.nth(1).unwrap_or_default());
        let is_memory = kind == "cgroup2" || options.split(',').any(|option| option == "memory");
        if of != Some(kind) || !is_memory {
            continue;
        }
        let mut place = place.split(' ').skip(3);
        if let (Some(root), Some(point)) = (place.next(), place.next()) {
            points.push((root.to_owned(), point.to_owned()));
        }
    }
    points
}

fn read_counter(file: &Path) -> Option<u64> {
    oom_kills(&fs::read_to_string(file).ok()?)
}

/// The line `oom_kill N`, the same in both versions.
fn oom_kills(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    line?.trim().parse().ok()
}

/// From `/proc/PID/stat` of a process that has exited and was not reaped yet. What we may not see reads 0,
/// which is also a success; nobody is told that a QEMU succeeded on that ground.
fn exit_of(stat: &str) -> Option<Exit> {
    // The second member is the program's name in parentheses, which may hold anything.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut members = after_name.split_ascii_whitespace();
    let state = members.next()?;
    let status: i32 = members.nth(48)?.parse().ok()?;
    match (state, status & 0x7f, status >> 8) {
        ("Z" | "X", 0, 0) => None,
        ("Z" | "X", 0, code) => Some(Exit::Code(code)),
        ("Z" | "X", number, _) => Some(Exit::Signal {
            number,
            core: status & 0x80 != 0,
        }),
        _ => None,
    }
}

/// The signals that only faults of a program give, unless somebody sends them on purpose.
fn is_fault(signal: i32) -> bool {
    matches!(
        signal_name(signal).as_str(),
        "SIGILL" | "SIGTRAP" | "SIGABRT" | "SIGBUS" | "SIGFPE" | "SIGSEGV" | "SIGSYS"
    )
}

fn signal_name(number: i32) -> String {
    let name = match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        10 => "SIGUSR1",
        11 => "SIGSEGV",
        12 => "SIGUSR2",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        other => return format!("signal {other}"),
    };
    name.to_owned()
}

/// What the kernel's log says of a process just now; nothing where it may not be read.
fn kernel_lines(pid: u32) -> Vec<String> {
    let opened = File::options()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open("/dev/kmsg");
    let (Ok(mut log), Some(now_s)) = (opened, uptime_s()) else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    // Each read gives one record.
    let mut record = [0; 8192];
    for _ in 0..KERNEL_LOG_MAX_RECORDS {
        let length = match log.read(&mut record) {
            Ok(0) => break,
            Ok(length) => length,
            // Records were overwritten while we read: the next read goes on behind them.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::PIPE.raw_os_error()) => {
                continue;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        let text = String::from_utf8_lossy(&record[..length]);
        if let Some((at_s, line)) = kernel_record(&text)
            && at_s + KERNEL_LOG_SPAN_S >= now_s
            && tells_of(line, pid)
        {
            lines.push(line.to_owned());
        }
    }
    lines.truncate(KERNEL_LINES_MAX);
    lines
}

/// When, in seconds since the start of the system, and what: `6,1234,5678901234,-;text`.
fn kernel_record(record: &str) -> Option<(u64, &str)> {
    let (prefix, rest) = record.split_once(';')?;
    let us: u64 = prefix.split(',').nth(2)?.parse().ok()?;
    Some((us / 1_000_000, rest.lines().next()?))
}

fn uptime_s() -> Option<u64> {
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    uptime.split(['.', ' ']).next()?.parse().ok()
}

/// Whether a line says that the kernel killed this process for want of memory, or that it made a fault.
fn tells_of(line: &str, pid: u32) -> bool {
    let killed = line.contains(&format!("Killed process {pid} ("));
    let chosen = line.contains("oom-kill:") && line.contains(&format!(",pid={pid},"));
    let fault = line.contains(&format!("[{pid}]"))
        && [
            "segfault at",
            "trap ",
            "traps:",
            "general protection",
            "bad frame",
        ]
        .iter()
        .any(|words| line.contains(words));
    killed || chosen || fault
}

fn is_oom(line: &str) -> bool {
    line.contains("Killed process") || line.contains("oom-kill:")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZOMBIE: &str = "77 (qemu (x) ) Z 1 77 77 0 -1 4227084 1 0 0 0 0 0 0 0 20 0 1 0 100 0 0 \
        18446744073709551615 0 0 0 0 0 0 0 4096 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 STATUS";

    #[test]
    fn the_exit_status_is_read_while_nobody_has_reaped() {
        let exit = |status: &str| exit_of(&ZOMBIE.replace("STATUS", status));
        assert_eq!(
            exit("9"),
            Some(Exit::Signal {
                number: 9,
                core: false
            })
        );
        assert_eq!(
            exit("139"),
            Some(Exit::Signal {
                number: 11,
                core: true
            })
        );
        assert_eq!(exit("256"), Some(Exit::Code(1)));
        assert_eq!(exit("0"), None);
        assert_eq!(
            exit_of(&ZOMBIE.replace(") Z ", ") S ").replace("STATUS", "9")),
            None
        );
        assert_eq!(exit_of("77 (qemu) Z 1"), None);
    }

    #[test]
    fn groups_of_both_versions_have_their_counter() {
        let mounts = "30 24 0:26 / /sys/fs/cgroup ro,nosuid shared:9 - cgroup2 cgroup2 rw\n\
            41 30 0:36 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
            42 30 0:37 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        let files = |groups: &str| -> Vec<String> {
            let found = counters(groups, mounts).into_iter();
            found.map(|(_, file)| file.display().to_string()).collect()
        };
        assert_eq!(
            files("0::/machine.slice/vm1.scope\n"),
            ["/sys/fs/cgroup/machine.slice/vm1.scope/memory.events"]
        );
        assert_eq!(
            files("5:cpu:/x\n4:memory:/vm:1\n"),
            ["/sys/fs/cgroup/memory/vm:1/memory.oom_control"]
        );
        let part = mounts.replace("0:26 / /sys", "0:26 /machine.slice /sys");
        let found = counters("0::/machine.slice/vm1.scope\n", &part);
        assert_eq!(
            found[0].1,
            Path::new("/sys/fs/cgroup/vm1.scope/memory.events")
        );
        assert_eq!(
            oom_kills("low 0\noom 3\noom_kill 2\noom_group_kill 0\n"),
            Some(2)
        );
        assert_eq!(oom_kills("under_oom 0\n"), None);
    }

    #[test]
    fn the_kernel_tells_of_one_process_and_not_of_another() {
        let oom = "4,901,55000000,-;Memory cgroup out of memory: Killed process 77 (qemu-system-x86) total-vm:1kB\n SUBSYSTEM=x";
        let (at_s, line) = kernel_record(oom).expect("a record");
        assert_eq!(at_s, 55);
        assert!(tells_of(line, 77) && is_oom(line) && !tells_of(line, 7));
        let fault = "qemu-system-x86[77]: segfault at 0 ip 00007f sp 00007f error 4 in libc.so.6";
        assert!(tells_of(fault, 77) && !is_oom(fault) && !tells_of(fault, 777));
        assert!(!tells_of("audit: something [77]", 77));
    }

    #[test]
    fn evidence_has_members_for_the_rules() {
        let evidence = Evidence {
            exit: Some(Exit::Signal {
                number: 9,
                core: false,
            }),
            oom_kills: Some((1, "/vm".to_owned())),
            kernel: vec!["Out of memory: Killed process 77 (qemu)".to_owned()],
        };
        assert_eq!(
            evidence.to_json(),
            json!({
                "signal": "SIGKILL", "crashed": false, "core_dumped": false, "oom_kill": 1, "group": "/vm",
                "kernel_says": "oom", "kernel": ["Out of memory: Killed process 77 (qemu)"],
            })
        );
    }

    #[test]
    fn a_process_that_lives_leaves_nothing_behind() {
        let watch = before(std::process::id());
        let found = watch.after();
        assert_eq!(found.and_then(|evidence| evidence.exit), None);
    }
}
