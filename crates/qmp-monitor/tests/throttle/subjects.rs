//! What can be made to happen, in a real machine and in none.

use std::{io, path::Path};

use qemu_lab::{DEVICE_CONFIG, LabError, Legacy, Machine, Version, ide, write_raw_image};
use serde_json::{Value, json};

use crate::run::{BURST, EARLY, GAPS, MIXED, QUIT, STREAM, Schedule};

/// An event, or several, and what causes it.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) arguments: &'static [&'static str],
    pub(crate) files: fn(&Path) -> io::Result<()>,
    /// Makes the device ready; causes no event.
    pub(crate) prepare: fn(&mut Machine) -> Result<Option<Legacy>, LabError>,
    /// Makes it happen for the given time, and returns once it has happened.
    pub(crate) trigger: fn(&mut Machine, &mut Option<Legacy>, u8) -> Result<(), LabError>,
    /// The events that are caused: name and data.
    pub(crate) events: fn(u8, Version) -> Vec<(&'static str, Value)>,
    /// What tells one event from another, apart from what depends on the time.
    pub(crate) identity: fn(&Value) -> String,
    pub(crate) schedules: &'static [&'static Schedule],
}

const SLOT: u8 = 4;

pub(crate) const SUBJECTS: &[Subject] = &[
    Subject {
        name: "BALLOON_CHANGE",
        arguments: &[
            "-device",
            "virtio-balloon-pci,addr=4,disable-modern=on,disable-legacy=off",
        ],
        files: no_files,
        prepare: |machine| Legacy::start(machine.qtest(), SLOT, 0, 0).map(Some),
        trigger: |machine, _, number| {
            let pages = 1 + u32::from(number);
            machine.qtest().outl(DEVICE_CONFIG + 4, pages)
        },
        events: |number, _| {
            let pages = 1 + u64::from(number);
            vec![(
                "BALLOON_CHANGE",
                json!({ "actual": (64 << 20) - pages * 4096 }),
            )]
        },
        identity: whole,
        schedules: &[&BURST, &STREAM, &GAPS, &EARLY, &QUIT],
    },
    // The year, in binary-coded decimal; the offset from the host's time tells which.
    Subject {
        name: "RTC_CHANGE",
        arguments: &["-rtc", "base=2020-01-01T00:00:00"],
        files: no_files,
        prepare: |_| Ok(None),
        trigger: |machine, _, number| {
            machine.qtest().outb(0x70, 9)?;
            machine
                .qtest()
                .outb(0x71, ((number % 40 / 10) << 4) | (number % 10))
        },
        events: |number, _| {
            let years = i64::from(number % 40) - 20;
            vec![(
                "RTC_CHANGE",
                json!({ "offset": years * YEAR_SECONDS, "qom-path": "" }),
            )]
        },
        identity: |data| {
            let offset = data["offset"].as_i64().unwrap_or_default();
            // Half a year more, so that rounding down means nearest.
            format!(
                "{} years",
                (offset + YEAR_SECONDS / 2).div_euclid(YEAR_SECONDS)
            )
        },
        schedules: &[&BURST, &MIXED],
    },
    // The timer's shortest time is none; the event comes from QEMU's main loop.
    Subject {
        name: "WATCHDOG",
        arguments: &["-device", "ib700", "-action", "watchdog=none"],
        files: no_files,
        prepare: |_| Ok(None),
        trigger: |machine, _, _| {
            machine.qtest().outb(0x443, 0xF)?;
            machine.run("query-name").map(drop)
        },
        events: |_, _| vec![("WATCHDOG", json!({ "action": "none" }))],
        identity: whole,
        schedules: &[&BURST, &MIXED],
    },
    Subject {
        name: "VSERPORT_CHANGE",
        arguments: &[
            "-device",
            "virtio-serial-pci,id=serial0,addr=4,disable-modern=on,disable-legacy=off,vectors=0",
            "-chardev",
            "null,id=chardev1",
            "-chardev",
            "null,id=chardev2",
            "-device",
            "virtserialport,bus=serial0.0,nr=1,chardev=chardev1,id=port1",
            "-device",
            "virtserialport,bus=serial0.0,nr=2,chardev=chardev2,id=port2",
        ],
        files: no_files,
        prepare: start_ports,
        trigger: |machine, driver, number| {
            let driver = driver
                .as_mut()
                .ok_or_else(|| LabError::Unexpected("no driver".into()))?;
            let (port, open) = port(number);
            driver.send(
                machine.qtest(),
                CONTROL_OUT,
                &[port, 0, 0, 0, 6, 0, open.into(), 0],
            )
        },
        events: |number, _| {
            let (port, open) = port(number);
            vec![(
                "VSERPORT_CHANGE",
                json!({ "id": format!("port{port}"), "open": open }),
            )]
        },
        identity: whole,
        schedules: &[&BURST, &STREAM, &MIXED],
    },
    // One read, two events: two of five copies differ from the rest.
    Subject {
        name: "QUORUM_REPORT_BAD",
        arguments: QUORUM,
        files: copies,
        prepare: |_| Ok(None),
        trigger: |machine, _, number| {
            let offset = u32::from(number) * 4096;
            machine
                .human(&format!("qemu-io quorum0 \"read {offset} 4k\""))
                .map(drop)
        },
        events: |number, _| {
            let report = |node: &str| {
                let sector = u32::from(number) * 8;
                json!({ "node-name": node, "type": "read", "sector-num": sector, "sectors-count": 8 })
            };
            // QEMU tells of the last one first.
            ["copy4", "copy3"]
                .map(|node| ("QUORUM_REPORT_BAD", report(node)))
                .into()
        },
        identity: whole,
        schedules: &[&BURST, &MIXED],
    },
    // Limited since 9.2. Reads are reported, writes ignored: two actions, one key.
    Subject {
        name: "BLOCK_IO_ERROR",
        arguments: DISK,
        files: |folder| write_raw_image(folder, "disk.img", 1, 0),
        prepare: |_| Ok(None),
        trigger: |machine, _, number| {
            match number % 2 {
                0 => ide::read(machine.qtest(), 8)?,
                _ => ide::write(machine.qtest(), 8)?,
            }
            ide::settle(machine.qtest())
        },
        events: |number, version| {
            let (operation, action) = match number % 2 {
                0 => ("read", "report"),
                _ => ("write", "ignore"),
            };
            let mut data = json!({ "device": "", "operation": operation, "action": action });
            if version >= Version::new(9, 2) {
                data["qom-path"] = json!("/machine/peripheral/hd0");
            }
            vec![("BLOCK_IO_ERROR", data)]
        },
        identity: |data| format!("{} {}", data["operation"], data["action"]),
        schedules: &[&BURST, &STREAM, &MIXED],
    },
];

/// A mean one.
const YEAR_SECONDS: i64 = 31_556_952;

const CONTROL_OUT: u16 = 3;

const QUORUM: &[&str] = &[
    "-blockdev",
    "driver=raw,node-name=copy0,file.driver=file,file.filename=copy0.img",
    "-blockdev",
    "driver=raw,node-name=copy1,file.driver=file,file.filename=copy1.img",
    "-blockdev",
    "driver=raw,node-name=copy2,file.driver=file,file.filename=copy2.img",
    "-blockdev",
    "driver=raw,node-name=copy3,file.driver=file,file.filename=copy3.img",
    "-blockdev",
    "driver=raw,node-name=copy4,file.driver=file,file.filename=copy4.img",
    "-blockdev",
    "driver=quorum,node-name=quorum0,vote-threshold=3,children.0=copy0,children.1=copy1,\
     children.2=copy2,children.3=copy3,children.4=copy4",
];

const DISK: &[&str] = &[
    "-blockdev",
    "driver=raw,node-name=disk0,file.driver=blkdebug,file.image.driver=file,\
     file.image.filename=disk.img,file.inject-error.0.event=read_aio,\
     file.inject-error.0.errno=5,file.inject-error.0.sector=8,\
     file.inject-error.1.event=write_aio,file.inject-error.1.errno=5,\
     file.inject-error.1.sector=8",
    "-device",
    "ide-hd,bus=ide.0,drive=disk0,id=hd0,rerror=report,werror=ignore",
];

fn whole(data: &Value) -> String {
    data.to_string()
}

fn no_files(_: &Path) -> io::Result<()> {
    Ok(())
}

fn copies(folder: &Path) -> io::Result<()> {
    for (number, pattern) in [1, 1, 1, 3, 4].into_iter().enumerate() {
        write_raw_image(folder, &format!("copy{number}.img"), 1, pattern)?;
    }
    Ok(())
}

/// Which port, and whether it opens: 1 opens, 2 opens, 1 closes, 2 closes, and again.
fn port(number: u8) -> (u8, bool) {
    (1 + number % 2, number % 4 < 2)
}

/// Control messages: port (32 bits), event and value (16 bits each).
fn start_ports(machine: &mut Machine) -> Result<Option<Legacy>, LabError> {
    const MULTIPORT: u32 = 1 << 1;
    const DEVICE_READY: [u8; 8] = [0, 0, 0, 0, 0, 0, 1, 0];
    let mut driver = Legacy::start(machine.qtest(), SLOT, MULTIPORT, CONTROL_OUT + 3)?;
    driver.send(machine.qtest(), CONTROL_OUT, &DEVICE_READY)?;
    for port in [1, 2] {
        let ready = [port, 0, 0, 0, 3, 0, 1, 0];
        driver.send(machine.qtest(), CONTROL_OUT, &ready)?;
    }
    Ok(Some(driver))
}
