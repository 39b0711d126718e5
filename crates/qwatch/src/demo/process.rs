//! The machines' processes: as with QEMU, one each, so that the recorder sees one end.

use std::ffi::OsStr;
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;

use super::cast;
use super::script::{What, day};
use super::{DemoError, Role};

/// A machine's process, told what happens to it. Killed when dropped.
#[derive(Debug)]
pub(super) struct Actor {
    child: Child,
    orders: Option<ChildStdin>,
}

impl Actor {
    /// Starts the process of a machine: this program once more.
    pub(super) fn start(name: &str, sockets: &Path) -> io::Result<Self> {
        let program = std::env::current_exe()?;
        let role = [OsStr::new("--role"), OsStr::new(name), sockets.as_os_str()];
        let mut child = Command::new(program)
            .arg("demo")
            .args(role)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        let orders = child.stdin.take();
        Ok(Self { child, orders })
    }

    /// The line of the script with this number is the machine's. One that has ended hears nothing.
    pub(super) fn tell(&mut self, number: usize) {
        if let Some(orders) = &mut self.orders
            && writeln!(orders, "{number}").is_err()
        {
            self.orders = None;
        }
    }

    /// Whether the process still runs.
    pub(super) fn lives(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        // It has ended already, unless the demo was broken off.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The other side: is a machine until it ends, or until nobody tells it anything any more.
///
/// # Errors
/// Nobody of that name is in the cast, or its sockets cannot be made.
pub fn play_role(role: &Role) -> Result<(), DemoError> {
    let machine = cast::start(&role.name, &role.sockets);
    let machine = machine.ok_or_else(|| DemoError::NoSuchRole(role.name.clone()))??;
    let fate = machine.fate();
    let name = role.name.clone();
    thread::spawn(move || {
        let day = day();
        for order in io::stdin().lock().lines().map_while(Result::ok) {
            let step = order.parse().ok().and_then(|number: usize| day.get(number));
            if let Some(What::Happens(who, action)) = step.map(|step| &step.what)
                && *who == name
            {
                fate.act(action);
            }
        }
        // Whoever told us what happens is gone.
        fate.act(&crate::emulate::Action::Die);
    });
    let ended = machine.wait();
    ended.map_err(|error| DemoError::Machine(error.into()))
}
