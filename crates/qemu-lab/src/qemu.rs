//! Describing and starting a machine.

use std::{
    io,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use crate::{
    Kernel, LabError, Machine, QemuBinary, Version,
    files::write_halt_rom,
    limits::{LOOK_INTERVAL, PORT_ATTEMPTS_MAX, START_TIMEOUT},
    linux::{self, Shell},
    monitor::Monitor,
    ports,
    process::Process,
    qtest::Qtest,
};

/// The lab's own two sockets. QEMU dials them, so that nobody has to guess when they are ready.
const CONTROL_SOCKET: &str = "lab.sock";
const QTEST_SOCKET: &str = "qtest.sock";

/// Stands for [`Machine::port`] in arguments.
const PORT_PLACEHOLDER: &str = "{port}";

/// What a machine of [`Board::S390`] starts, in its folder.
pub const KERNEL_FILE: &str = "kernel.img";

/// What kind of machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Board {
    /// QEMU's `pc` of the x86-64 target.
    #[default]
    Pc,
    /// QEMU's `q35` of the x86-64 target: a PC with PCI Express.
    Q35,
    /// QEMU's `pseries` of the ppc64 target.
    Pseries,
    /// QEMU's `s390-ccw-virtio` of the s390x target. It starts the file [`KERNEL_FILE`], which has
    /// to be made with [`Qemu::files`].
    S390,
}

impl Board {
    fn name(self) -> &'static str {
        match self {
            Board::Pc => "pc",
            Board::Q35 => "q35",
            Board::Pseries => "pseries",
            Board::S390 => "s390-ccw-virtio",
        }
    }
}

/// A machine to be started: a bare PC without firmware, disks or display, in a temporary folder
/// of its own, which is also its working directory.
///
/// ```no_run
/// use qemu_lab::{Qemu, Version, qemu};
///
/// let mut machine = Qemu::new(&qemu(Version::new(7, 2))?).monitor("qmp").start()?;
/// // The code under test would now connect to machine.monitor_path("qmp").
/// machine.run("stop")?;
/// machine.event("STOP")?;
/// # Ok::<(), qemu_lab::LabError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "call start()"]
pub struct Qemu {
    binary: QemuBinary,
    board: Board,
    linux: Option<Kernel>,
    arguments: Vec<String>,
    memory: Option<String>,
    prepare: Option<fn(&Path) -> io::Result<()>>,
    monitors: Vec<(String, bool)>,
    dialled: Vec<PathBuf>,
}

impl Qemu {
    /// A machine of this QEMU, with nothing but its processor, 64 MiB of memory and chipset.
    pub fn new(binary: &QemuBinary) -> Qemu {
        Qemu {
            binary: binary.clone(),
            board: Board::default(),
            linux: None,
            arguments: Vec::new(),
            memory: None,
            prepare: None,
            monitors: Vec::new(),
            dialled: Vec::new(),
        }
    }

    /// Another kind of machine. Its program has to stand beside the binary's.
    pub fn board(mut self, board: Board) -> Qemu {
        self.board = board;
        self
    }

    /// Boots a real Linux, which then runs what [`Machine::shell`] tells it. It gets 256 MiB of
    /// memory unless told otherwise. `scripts/setup` fetches its parts.
    pub fn linux(mut self, kernel: Kernel) -> Qemu {
        self.linux = Some(kernel);
        self
    }

    /// Adds one argument.
    pub fn arg(mut self, argument: impl Into<String>) -> Qemu {
        self.arguments.push(argument.into());
        self
    }

    /// Adds arguments. File names in them are relative to the machine's folder; `{port}` stands
    /// for a free TCP port, see [`Machine::port`].
    pub fn args<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Qemu {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Memory as `-m` takes it, instead of `64M`.
    pub fn memory(mut self, memory: impl Into<String>) -> Qemu {
        self.memory = Some(memory.into());
        self
    }

    /// Makes files in the machine's folder before it starts.
    pub fn files(mut self, prepare: fn(&Path) -> io::Result<()>) -> Qemu {
        self.prepare = Some(prepare);
        self
    }

    /// Adds a monitor for the code under test: QEMU listens at [`Machine::monitor_path`].
    pub fn monitor(mut self, name: &str) -> Qemu {
        self.monitors.push((name.to_owned(), false));
        self
    }

    /// As [`Qemu::monitor`], but QEMU prints every message over several lines.
    pub fn pretty_monitor(mut self, name: &str) -> Qemu {
        self.monitors.push((name.to_owned(), true));
        self
    }

    /// Adds a monitor that QEMU connects to a socket somebody else listens at, and connects
    /// again whenever that connection is lost. Nobody needs to listen yet.
    pub fn dial_out(mut self, socket: impl Into<PathBuf>) -> Qemu {
        self.dialled.push(socket.into());
        self
    }

    /// Starts the machine; returns once its devices exist and it answers commands.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from starting, with QEMU's own words from its standard error.
    pub fn start(self) -> Result<Machine, LabError> {
        let wants_port = |argument: &String| argument.contains(PORT_PLACEHOLDER);
        if !self.arguments.iter().any(wants_port) {
            return self.start_at(0);
        }
        // Between our look at a port and QEMU's use of it somebody else may take it.
        for _ in 1..PORT_ATTEMPTS_MAX {
            let started = self.clone().start_at(ports::free()?);
            match &started {
                Err(error) if error.to_string().contains(ports::TAKEN) => {}
                _ => return started,
            }
        }
        self.start_at(ports::free()?)
    }

    fn start_at(self, port: u16) -> Result<Machine, LabError> {
        let folder = tempfile::Builder::new()
            .prefix("qemu-lab-")
            .tempdir()
            .map_err(LabError::io("make a temporary folder"))?;
        let firmware = self.firmware(folder.path())?;
        if let Some(prepare) = self.prepare {
            prepare(folder.path()).map_err(LabError::io("write the machine's files"))?;
        }
        let sockets = Sockets::listen(folder.path(), self.linux.is_some())?;
        let arguments = self.command_line(firmware, port);
        let mut command = Command::new(self.program());
        command
            .args(&arguments)
            .current_dir(folder.path())
            // So that the host's own settings of SASL do not count.
            .env("SASL_CONF_PATH", folder.path());
        let mut process = Process::start(&mut command)?;
        match sockets.connect(&mut process) {
            Ok((monitor, qtest, shell)) => Ok(Machine {
                binary: self.binary,
                arguments,
                port,
                monitor,
                qtest,
                shell,
                process,
                folder,
            }),
            Err(problem) => {
                process.let_go(&problem);
                Err(problem.with_report(|| {
                    format!(
                        "command: qemu {}\nstderr:\n{}",
                        arguments.join(" "),
                        process.stderr()
                    )
                }))
            }
        }
    }

    /// Writes what the processor starts with; gives the arguments for it.
    fn firmware(&self, folder: &Path) -> Result<Vec<String>, LabError> {
        match self.linux {
            Some(kernel) => linux::prepare(kernel, folder),
            None if self.board == Board::S390 => Ok(strings(&["-kernel", KERNEL_FILE])),
            None => {
                write_halt_rom(folder).map_err(LabError::io("write the ROM"))?;
                Ok(strings(&["-bios", "halt.rom"]))
            }
        }
    }

    fn program(&self) -> PathBuf {
        match self.board {
            // It may have any name.
            Board::Pc | Board::Q35 => self.binary.path.clone(),
            Board::Pseries => self.binary.path.with_file_name("qemu-system-ppc64"),
            Board::S390 => self.binary.path.with_file_name("qemu-system-s390x"),
        }
    }

    fn command_line(&self, firmware: Vec<String>, port: u16) -> Vec<String> {
        let usual = match self.linux {
            Some(_) => linux::MEMORY,
            None => "64M",
        };
        let memory = self.memory.as_deref().unwrap_or(usual);
        let mut line = strings(&["-nodefaults", "-no-user-config", "-display", "none"]);
        line.extend(strings(&[
            "-M",
            self.board.name(),
            "-accel",
            "tcg",
            "-m",
            memory,
        ]));
        line.extend(firmware);
        line.extend(["-qmp".to_owned(), format!("unix:{CONTROL_SOCKET}")]);
        line.extend(["-qtest".to_owned(), format!("unix:{QTEST_SOCKET}")]);
        line.extend(strings(&["-qtest-log", "none"]));
        for (name, pretty) in &self.monitors {
            let option = if *pretty { "-qmp-pretty" } else { "-qmp" };
            line.extend([
                option.to_owned(),
                format!("unix:{name}.sock,server=on,wait=off"),
            ]);
        }
        for (number, socket) in self.dialled.iter().enumerate() {
            // `reconnect-ms` came with 9.2, which deprecated the other.
            let again = if self.binary.version < Version::new(9, 2) {
                "reconnect=1"
            } else {
                "reconnect-ms=100"
            };
            // QEMU wants a comma in a value doubled.
            let path = socket.display().to_string().replace(',', ",,");
            line.extend(["-chardev".to_owned()]);
            line.push(format!("socket,id=dial{number},path={path},{again}"));
            line.extend([
                "-mon".to_owned(),
                format!("chardev=dial{number},mode=control"),
            ]);
        }
        let port = port.to_string();
        let with_port = |argument: &String| argument.replace(PORT_PLACEHOLDER, &port);
        line.extend(self.arguments.iter().map(with_port));
        line
    }
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn listen(path: &Path) -> Result<UnixListener, LabError> {
    let listener =
        UnixListener::bind(path).map_err(LabError::io(format!("listen at {}", path.display())))?;
    listener
        .set_nonblocking(true)
        .map_err(LabError::io("make a socket non-blocking"))?;
    Ok(listener)
}

/// Where QEMU connects to the lab.
struct Sockets {
    control: UnixListener,
    qtest: UnixListener,
    shell: Option<UnixListener>,
}

impl Sockets {
    fn listen(folder: &Path, linux: bool) -> Result<Sockets, LabError> {
        let at = |name| listen(&folder.join(name));
        Ok(Sockets {
            control: at(CONTROL_SOCKET)?,
            qtest: at(QTEST_SOCKET)?,
            shell: linux.then(|| at(linux::SHELL_SOCKET)).transpose()?,
        })
    }

    /// Waits for QEMU to dial all of them and to answer.
    fn connect(&self, process: &mut Process) -> Result<(Monitor, Qtest, Option<Shell>), LabError> {
        let deadline = Instant::now() + START_TIMEOUT;
        let control = accept(process, &self.control, deadline)?;
        let qtest = Qtest::new(accept(process, &self.qtest, deadline)?)?;
        let shell = match &self.shell {
            Some(listener) => Some(Shell::new(accept(process, listener, deadline)?)?),
            None => None,
        };
        // The answer to the first command comes from QEMU's main loop: all devices are there then.
        let left = deadline.saturating_duration_since(Instant::now());
        let monitor = Monitor::negotiate(control, left)?;
        Ok((monitor, qtest, shell))
    }
}

fn accept(
    process: &mut Process,
    listener: &UnixListener,
    deadline: Instant,
) -> Result<UnixStream, LabError> {
    let slice = Timespec {
        tv_sec: 0,
        tv_nsec: LOOK_INTERVAL.subsec_nanos().into(),
    };
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream
                    .set_nonblocking(false)
                    .map_err(LabError::io("make a socket blocking"))?;
                return Ok(stream);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(LabError::io("accept QEMU's connection")(error)),
        }
        if process.exited()?.is_some() {
            return Err(LabError::Gone("QEMU's first connection".to_owned()));
        }
        if Instant::now() >= deadline {
            let what = "QEMU's first connection".to_owned();
            return Err(LabError::TimedOut {
                what,
                within: START_TIMEOUT,
            });
        }
        match poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&slice)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(LabError::io("wait for QEMU")(error.into())),
        }
    }
}

const _: () = assert!(LOOK_INTERVAL.as_millis() < Duration::from_secs(1).as_millis());
