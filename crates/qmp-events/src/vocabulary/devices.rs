//! Devices: plugging and unplugging, trays, ports.

use crate::Str;

open_enum! {
    /// What kind of slot an ACPI hot-plug report is about.
    AcpiSlotType {
        /// A memory module.
        Dimm "DIMM";
        /// A CPU.
        Cpu "CPU", since 2.7;
    }
}

object! {
    /// What the guest's ACPI reported about a hot-plug request.
    AcpiOstInfo<'a> {
        /// Id of the device in the slot; absent if it has none or is gone already.
        device "device": Str<'a>, optional;
        /// Number of the slot, as text.
        slot "slot": Str<'a>;
        /// Kind of the slot.
        slot_type "slot-type": AcpiSlotType;
        /// Which request it answers, by ACPI's numbers: 1 device check (plug), 3 eject request
        /// (unplug), 259 ejection and 512 insertion being processed.
        source "source": i64;
        /// ACPI's answer: 0 success, 1 failure, 2 not understood. To an eject request also 128 not
        /// supported, 129 in use, 130 busy, 131 something that depends on it is busy, 132 in
        /// progress.
        status "status": i64;
    }
}

event! {
    /// The guest reported how it got on with a hot-plug request for memory or a CPU (ACPI `_OST`).
    ///
    /// Answers `device_add` and `device_del` on machines with ACPI. A successful unplug gives
    /// status 132 (in progress), DEVICE_DELETED, then status 0 without `device`; a refusal gives an
    /// error status and no other event.
    ACPI_DEVICE_OST, since 2.1,
        seed "Its example is not what QEMU sends: the members are inside `info`, and there is a \
            timestamp. `info.device` is optional. The slot type `CPU` came with 2.7.";
    AcpiDeviceOst<'a> {
        /// The report.
        info "info": AcpiOstInfo<'a>;
    }
}

event! {
    /// A device was removed from the machine.
    ///
    /// One event for each device in the removed tree: a virtio PCI device gives one for its inner
    /// `/virtio-backend`, without `device`, then one for itself. From then on the id may be reused.
    ///
    /// Comes some time after `device_del`, which only asks: PCI devices need the guest's consent,
    /// and a guest that does not answer gives no event at all. The guest may also eject a device on
    /// its own.
    DEVICE_DELETED, since 1.5,
        seed "Does not tell of the second event for inner devices. Since 2.11 it is sent later, \
            when the device is finally destroyed.";
    DeviceDeleted<'a> {
        /// Id of the device; absent if it has none.
        device "device": Str<'a>, optional;
        /// QOM path the device had.
        path "path": Str<'a>;
    }
}

event! {
    /// The guest refused to let a device go, or failed to.
    ///
    /// The counterpart of DEVICE_DELETED after `device_del`, but only where the platform lets a
    /// guest say no (PCI hot-plug of some machines, memory and CPUs of pSeries, failed ejects);
    /// elsewhere a refusal is silence. The same refusal may be reported twice.
    DEVICE_UNPLUG_GUEST_ERROR, since 6.2;
    DeviceUnplugGuestError<'a> {
        /// Id of the device; absent if it has none.
        device "device": Str<'a>, optional;
        /// QOM path of the device.
        path "path": Str<'a>;
    }
}

event! {
    /// A memory module could not be unplugged.
    ///
    /// Deprecated in 6.2 and gone in 9.1: DEVICE_UNPLUG_GUEST_ERROR took its place, and 6.2 to 9.0
    /// send both. On x86 practically never sent; there a guest's refusal shows in ACPI_DEVICE_OST.
    MEM_UNPLUG_ERROR, since 2.4, removed 9.1,
        seed "Its example lacks a comma. QEMU 9.1 no longer has the event.";
    MemUnplugError<'a> {
        /// Id of the memory module.
        device "device": Str<'a>;
        /// Why, in words.
        msg "msg": Str<'a>;
    }
}

event! {
    /// The tray of a CD drive was opened or closed, by the guest or by a command.
    ///
    /// An eject of the guest gives `true`; changing a medium gives `true`, then `false`. Opening
    /// what is open gives no event.
    DEVICE_TRAY_MOVED, since 1.1,
        seed "Has no `id` (2.8). Does not say that `device` can be empty.";
    DeviceTrayMoved<'a> {
        /// Name of the legacy drive (`-drive id=`); "" for disks made with `-blockdev`.
        device "device": Str<'a>;
        /// Id or QOM path of the drive's device.
        id "id": Str<'a>, since 2.8;
        /// True if the tray is open now.
        tray_open "tray-open": bool;
    }
}

event! {
    /// A program in the guest opened or closed a virtio serial port.
    ///
    /// The sign that an agent in the guest (the QEMU guest agent, SPICE's agent) came or went. Says
    /// nothing about whether it answers. A guest that resets closes its ports: `false` comes before
    /// RESET. Opening an open port gives another `true`; a port without id gives no events.
    ///
    /// At most one a second goes out per port, so a quick close and open may show as one event, or
    /// late.
    VSERPORT_CHANGE, since 2.1, seed "",
        limited [2.1] [2.5 per "id"];
    VserportChange<'a> {
        /// Id of the port's device.
        id "id": Str<'a>;
        /// True if the guest has the port open.
        open "open": bool;
    }
}

event! {
    /// The client of an emulated device that this process serves over vfio-user went away.
    ///
    /// Sent by a QEMU that runs a device for another process (`x-vfio-user-server`): that other
    /// process ended or closed the connection.
    VFU_CLIENT_HANGUP, since 7.1;
    VfuClientHangup<'a> {
        /// Id of the `x-vfio-user-server` object.
        vfu_id "vfu-id": Str<'a>;
        /// QOM path of that object.
        vfu_qom_path "vfu-qom-path": Str<'a>;
        /// Id of the PCI device it serves.
        dev_id "dev-id": Str<'a>;
        /// QOM path of that device.
        dev_qom_path "dev-qom-path": Str<'a>;
    }
}
