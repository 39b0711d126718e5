//! A monitor in an event loop of the embedder's.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use qmp_events::vocabulary::Resume;
use qmp_monitor::{Driver, Monitor};
use rustix::event::{PollFd, PollFlags, poll};

use crate::client::{Client, PATIENCE};

/// Waits for the driver's descriptor or deadline and lets it work, until `done`.
fn drive(driver: &mut Driver, mut done: impl FnMut() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < give_up);
        let until = driver.deadline().unwrap_or(give_up).min(give_up);
        let timeout = until.saturating_duration_since(Instant::now());
        let timeout = timeout.try_into().unwrap();
        poll(
            &mut [PollFd::from_borrowed_fd(driver.as_fd(), PollFlags::IN)],
            Some(&timeout),
        )
        .unwrap();
        assert!(driver.handle().unwrap());
    }
}

#[test]
fn a_driver_works_in_a_loop_of_one_s_own() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (mut driver, emitter) = Monitor::builder().stream(ours).build_driver().unwrap();
    let client = std::thread::spawn(move || {
        let mut client = Client::on(theirs);
        client.negotiate();
        client.event()
    });
    drive(&mut driver, || {
        emitter.emit(Resume::default());
        client.is_finished()
    });
    assert_eq!(client.join().unwrap(), "RESUME");
    emitter.close();
    assert!(!driver.handle().unwrap());
}
