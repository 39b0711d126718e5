//! The messages, as a manager of the test's own receives them.

use std::ffi::OsString;
use std::io::{IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tempfile::TempDir;

use super::*;

/// A manager, and what it hears.
fn manager(variables: &[(&str, &str)]) -> (Manager, UnixDatagram, TempDir) {
    let dir = TempDir::new().expect("a folder");
    let path = dir.path().join("notify");
    let heard = UnixDatagram::bind(&path).expect("a socket");
    let environment = Environment::of(7, |name| match name {
        "NOTIFY_SOCKET" => Some(path.clone().into_os_string()),
        _ => Some(OsString::from(
            variables.iter().find(|(known, _)| *known == name)?.1,
        )),
    });
    (Manager::of(&environment), heard, dir)
}

fn next(heard: &UnixDatagram) -> (String, Vec<OwnedFd>) {
    let mut text = [0; 1024];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        heard,
        &mut [IoSliceMut::new(&mut text)],
        &mut control,
        RecvFlags::DONTWAIT,
    )
    .expect("a message");
    let mut fds = vec![];
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    let text = String::from_utf8_lossy(&text[..received.bytes]).into_owned();
    (text, fds)
}

#[test]
fn states_are_told_in_the_words_of_the_protocol() {
    let (manager, heard, _dir) = manager(&[("WATCHDOG_USEC", "500000"), ("WATCHDOG_PID", "7")]);
    manager.ready("recording 2 machines");
    assert_eq!(next(&heard).0, "READY=1\nSTATUS=recording 2 machines\n");
    manager.status("web\nREADY=1\u{1b}");
    assert_eq!(next(&heard).0, "STATUS=web READY=1 \n");
    manager.reloading();
    let text = next(&heard).0;
    let time = text
        .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
        .and_then(|rest| rest.trim_end().parse::<u64>().ok());
    assert!(time.is_some_and(|time| time > 0), "{text}");
    manager.ping();
    assert_eq!(next(&heard).0, "WATCHDOG=1\n");
    manager.stopping();
    assert_eq!(next(&heard).0, "STOPPING=1\nSTATUS=stopping\n");
    assert_eq!(manager.watchdog(), Some(Duration::from_millis(500)));
}

#[test]
fn a_kept_descriptor_is_the_same_connection() {
    let (manager, heard, _dir) = manager(&[]);
    let (mut ours, mut theirs) = UnixStream::pair().expect("a pair");
    manager.keep("qmp-1f", ours.as_fd()).expect("kept");
    let (text, mut fds) = next(&heard);
    assert_eq!(text, "FDSTORE=1\nFDNAME=qmp-1f\nFDPOLL=0\n");
    assert_eq!(fds.len(), 1);
    let mut kept = UnixStream::from(fds.remove(0));
    theirs.write_all(b"last").expect("written");
    drop(theirs);
    let mut text = String::new();
    kept.read_to_string(&mut text).expect("read");
    assert_eq!(text, "last");
    assert_eq!(ours.read(&mut [0; 8]).expect("an end"), 0);
    manager.forget("qmp-1f");
    assert_eq!(next(&heard).0, "FDSTOREREMOVE=1\nFDNAME=qmp-1f\n");
}

#[test]
fn a_name_that_would_be_a_second_line_is_refused() {
    let (manager, heard, _dir) = manager(&[]);
    let (ours, _theirs) = UnixStream::pair().expect("a pair");
    for name in ["", "a:b", "a\nREADY=1", "ü", &"x".repeat(256)] {
        let error = manager.keep(name, ours.as_fd()).expect_err("no name");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        manager.forget(name);
    }
    heard.set_nonblocking(true).expect("a socket");
    let error = heard.recv(&mut [0; 8]).expect_err("nothing was said");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn an_abstract_address_is_as_good() {
    let name = format!("qwatch-test-notify-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("an address");
    let heard = UnixDatagram::bind_addr(&address).expect("a socket");
    let manager = Manager::of(&Environment {
        notify_socket: Some(format!("@{name}").into()),
        ..Environment::default()
    });
    manager.status("here");
    assert_eq!(next(&heard).0, "STATUS=here\n");
    assert!(!manager.keeps_descriptors());
}

#[test]
fn without_a_manager_nothing_is_kept_and_nothing_fails() {
    let nobody = Manager::default();
    let (ours, _theirs) = UnixStream::pair().expect("a pair");
    nobody.keep("qmp-1f", ours.as_fd()).expect("nothing to do");
    nobody.ready("");
    assert!(!nobody.keeps_descriptors() && nobody.watchdog().is_none());
    // One that cannot be reached is told nothing, and stops nobody.
    for address in ["vsock:2:1234", "/no/such/folder/notify"] {
        let manager = Manager::of(&Environment {
            notify_socket: Some(address.into()),
            keeps_descriptors: true,
            ..Environment::default()
        });
        manager.ready("");
    }
}

#[test]
fn listening_and_connected_sockets_are_told_apart() {
    let dir = TempDir::new().expect("a folder");
    let listener = UnixListener::bind(dir.path().join("s")).expect("a socket");
    let (ours, _theirs) = UnixStream::pair().expect("a pair");
    let inherited = |fd: OwnedFd| Inherited {
        name: String::new(),
        fd,
    };
    assert!(inherited(listener.into()).is_listening());
    assert!(!inherited(ours.into()).is_listening());
}
