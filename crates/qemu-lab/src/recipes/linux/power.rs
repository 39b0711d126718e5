//! Linux starts anew, switches itself off, sleeps.

use std::{fs::File, io, path::Path};

use super::{Recipe, devices::open_port};
use crate::{Board, Kernel, LabError, Machine};

pub(in crate::recipes) const RECIPES: &[Recipe] = &[
    // The reset closes a port that is open; QEMU holds that event back for a second after the one
    // before. Starting anew, a guest and its firmware reset the machine up to five times.
    Recipe::new(
        "RESET.linux",
        &[
            "-device",
            "virtio-serial-pci,id=serial0",
            "-chardev",
            "null,id=chardev0",
            "-device",
            "virtserialport,bus=serial0.0,nr=1,chardev=chardev0,id=port0",
        ],
        |machine| {
            machine.shell("load virtio_pci")?;
            open_port(machine)?;
            machine.shell_start("reboot -f")?;
            machine.event_where("VSERPORT_CHANGE", |data| data["open"] == false)?;
            machine.boot()
        },
        &[
            "VSERPORT_CHANGE id=port0 open=true",
            "RESET guest=true reason=guest-reset",
        ],
    )
    .in_linux(),
    Recipe::new(
        "SHUTDOWN.linux-no-reboot",
        &["-no-reboot"],
        |machine| machine.shell_start("reboot -f"),
        &["SHUTDOWN guest=true reason=guest-reset"],
    )
    .in_linux()
    .exits(),
    Recipe::new(
        "POWERDOWN.linux",
        &[],
        |machine| {
            obey_the_button(machine)?;
            machine.run("system_powerdown").map(drop)
        },
        &["POWERDOWN", "SHUTDOWN guest=true reason=guest-shutdown"],
    )
    .in_linux()
    .exits(),
    // Woken by the machine's clock, and going on where it was. Neither STOP nor RESUME is told.
    Recipe::new(
        "WAKEUP.linux",
        &[],
        |machine| {
            machine
                .shell("echo +5 > /sys/class/rtc/rtc0/wakealarm && echo mem > /sys/power/state")?;
            machine.shell("true").map(drop)
        },
        &["SUSPEND", "WAKEUP"],
    )
    .board(Board::Q35)
    .linux(Kernel::Packed),
    Recipe::new(
        "SUSPEND_DISK.linux",
        &["-drive", "if=virtio,format=raw,file=swap.img"],
        |machine| {
            machine.shell("load virtio_pci virtio_blk && until_ok '[ -e /dev/vda ]'")?;
            machine.shell("mkswap /dev/vda && swapon /dev/vda")?;
            // Linux should switch off as the firmware wants it, and write as little as it can.
            machine.shell("echo platform > /sys/power/disk && echo 0 > /sys/power/image_size")?;
            machine.shell_start("echo disk > /sys/power/state")
        },
        &["SUSPEND_DISK", "SHUTDOWN guest=true reason=guest-shutdown"],
    )
    .in_linux()
    .memory("192M")
    .files(|folder| empty_disk(folder, "swap.img"))
    .exits(),
];

/// Has the guest switch itself off when its power button is pressed.
pub(super) fn obey_the_button(machine: &mut Machine) -> Result<(), LabError> {
    // A reader for each input device, as one of them is the button; each has opened its device
    // when its descriptor exists, and an event is 24 bytes long.
    machine.shell("load button evdev && until_ok '[ -e /dev/input/event0 ]'")?;
    machine.shell(
        "for input in /dev/input/event*; do exec 6<$input; \
         (head -c 24 <&6 >/tmp/pressed && poweroff -f) & done",
    )?;
    Ok(())
}

/// A disk of 256 MiB that takes no room.
fn empty_disk(folder: &Path, name: &str) -> io::Result<()> {
    const DISK_SIZE_BYTES: u64 = 256 * 1024 * 1024;
    File::create(folder.join(name))?.set_len(DISK_SIZE_BYTES)
}
