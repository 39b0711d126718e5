//! A service manager of the tests' own: it hears what the recorder says at `NOTIFY_SOCKET`, keeps the
//! descriptors it is given, and hands them to the next recorder, as systemd does.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tempfile::TempDir;

use crate::recorder::Recorder;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Pause between two looks at what nobody tells.
const LOOK: Duration = Duration::from_millis(20);

/// Descriptors in one message at most; systemd takes more, the recorder sends one.
const FDS_MAX: usize = 8;

/// What the supervisor says to itself, to know that all before it was heard.
const BARRIER: &str = "BARRIER-OF-THE-TEST=";

/// A supervisor of one service, which it starts again and again.
pub(crate) struct Supervisor {
    dir: TempDir,
    program: PathBuf,
    options: Vec<String>,
    variables: Vec<(String, String)>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    /// Kept, and given to each that is started.
    store: Vec<(String, OwnedFd)>,
    /// Every line that was said.
    said: Vec<String>,
}

impl Supervisor {
    /// A supervisor of `qwatch record` with these options.
    pub(crate) fn new(options: &[&str]) -> Self {
        let dir = TempDir::new().expect("a folder");
        let socket = UnixDatagram::bind(dir.path().join("notify")).expect("a socket");
        let shared = Arc::new(Shared::default());
        let hearing = Arc::clone(&shared);
        // It ends with the test's process: the socket is not worth more.
        thread::spawn(move || hearing.hear(&socket));
        Self {
            dir,
            program: env!("CARGO_BIN_EXE_qwatch").into(),
            options: options.iter().map(|&option| option.to_owned()).collect(),
            variables: vec![],
            shared,
        }
    }

    /// The next recorder is this program: an upgrade.
    pub(crate) fn install(&mut self, program: &Path) {
        program.clone_into(&mut self.program);
    }

    /// The next recorder gets other options.
    pub(crate) fn configure(&mut self, options: &[&str]) {
        self.options = options.iter().map(|&option| option.to_owned()).collect();
    }

    /// A variable for whoever is started from now on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Hands over this descriptor, too: socket activation.
    pub(crate) fn hand_over(&self, name: &str, fd: OwnedFd) {
        self.shared.lock().store.push((name.to_owned(), fd));
    }

    /// Starts a recorder with all that is kept. It is not waited for.
    pub(crate) fn start(&self) -> Recorder {
        // What the one before it said last counts.
        self.settle();
        let mut names = vec![];
        let mut fds = vec![];
        for (place, (name, fd)) in self.shared.lock().store.iter().enumerate() {
            names.push(name.clone());
            fds.push(FdMapping {
                parent_fd: fd.try_clone().expect("descriptors enough"),
                child_fd: i32::try_from(place + 3).expect("not that many"),
            });
        }
        let mut command = Command::new("sh");
        command
            .args(["-c", "export LISTEN_PID=$$; exec \"$@\"", "sh"])
            .arg(&self.program)
            .arg("record")
            .args(&self.options)
            .env("NOTIFY_SOCKET", self.dir.path().join("notify"))
            .env("LISTEN_FDS", names.len().to_string())
            .env("LISTEN_FDNAMES", names.join(":"))
            .env("TZ", "UTC")
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command.fd_mappings(fds).expect("each number once");
        Recorder::spawn(&mut command)
    }

    /// Starts a recorder and waits until it says that it is ready.
    #[track_caller]
    pub(crate) fn start_ready(&self) -> Recorder {
        let before = self.said("READY=1").len();
        let recorder = self.start();
        self.wait("READY=1", |said| count(said, "READY=1") > before);
        recorder
    }

    /// Waits until what was said is as wanted; gives all lines.
    #[track_caller]
    pub(crate) fn wait(&self, what: &str, wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
        let until = Instant::now() + PATIENCE;
        match self.wait_until(until, &wanted) {
            (said, true) => said,
            (said, false) => panic!("the recorder did not say {what}: {said:#?}"),
        }
    }

    /// Waits until what was said is as wanted, or the time has come; true if it is as wanted.
    pub(crate) fn wait_until(
        &self,
        until: Instant,
        wanted: &dyn Fn(&[String]) -> bool,
    ) -> (Vec<String>, bool) {
        let mut state = self.shared.lock();
        loop {
            if wanted(&state.said) {
                return (state.said.clone(), true);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return (state.said.clone(), false);
            }
            let waited = self.shared.moved.wait_timeout(state, left);
            state = waited.expect("no panic").0;
        }
    }

    /// Waits until something is true that nobody tells: it is looked at again and again.
    #[track_caller]
    pub(crate) fn wait_for(&self, what: &str, wanted: impl Fn() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !wanted() {
            assert!(Instant::now() < until, "{what} did not come");
            self.wait_until(Instant::now() + LOOK, &|_| false);
        }
    }

    /// Every line that begins so, up to now.
    pub(crate) fn said(&self, beginning: &str) -> Vec<String> {
        self.settle();
        let state = self.shared.lock();
        let lines = state.said.iter().filter(|line| line.starts_with(beginning));
        lines.cloned().collect()
    }

    /// The names of what is kept.
    pub(crate) fn kept(&self) -> Vec<String> {
        self.settle();
        let state = self.shared.lock();
        state.store.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Returns when everything that was sent before has been heard.
    fn settle(&self) {
        let socket = UnixDatagram::unbound().expect("a socket");
        let path = self.dir.path().join("notify");
        let number = self.shared.lock().said.len();
        let mine = format!("{BARRIER}{number}-{:?}", thread::current().id());
        socket.send_to(mine.as_bytes(), path).expect("heard");
        let mut state = self.shared.lock();
        while !state.said.contains(&mine) {
            let waited = self.shared.moved.wait_timeout(state, PATIENCE);
            let (now, timed_out) = waited.expect("no panic");
            assert!(!timed_out.timed_out(), "the supervisor hears nothing");
            state = now;
        }
        state.said.retain(|line| *line != mine);
    }
}

fn count(said: &[String], line: &str) -> usize {
    said.iter().filter(|said| *said == line).count()
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    fn hear(&self, socket: &UnixDatagram) {
        loop {
            let mut text = [0; 8192];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut place = [IoSliceMut::new(&mut text)];
            let flags = RecvFlags::CMSG_CLOEXEC;
            let Ok(received) = recvmsg(socket, &mut place, &mut control, flags) else {
                return;
            };
            let mut fds = vec![];
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(rights) = message {
                    fds.extend(rights);
                }
            }
            let text = String::from_utf8_lossy(&text[..received.bytes]).into_owned();
            self.lock().take(&text, fds);
            self.moved.notify_all();
        }
    }
}

impl State {
    /// As systemd does it: a descriptor that is kept already is not taken again, whatever its name.
    fn take(&mut self, text: &str, fds: Vec<OwnedFd>) {
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        let name = value("FDNAME=").unwrap_or("stored");
        if value("FDSTORE=") == Some("1") {
            assert_eq!(value("FDPOLL="), Some("0"), "{text}");
            for fd in fds {
                if !self.store.iter().any(|(_, kept)| same(kept, &fd)) {
                    self.store.push((name.to_owned(), fd));
                }
            }
        } else if value("FDSTOREREMOVE=") == Some("1") {
            self.store.retain(|(kept, _)| kept != name);
        }
        self.said.extend(text.lines().map(str::to_owned));
    }
}

/// Whether two descriptors are one open socket.
fn same(one: &impl AsFd, other: &impl AsFd) -> bool {
    let identity = |fd: &dyn AsFd| {
        let found = rustix::fs::fstat(fd.as_fd()).expect("open");
        (found.st_dev, found.st_ino)
    };
    identity(one) == identity(other)
}
