//! Drivers at work: ports, network cards, the clock, the balloon.

use serde_json::json;

use super::Recipe;
use crate::{LabError, Machine};

pub(in crate::recipes) const RECIPES: &[Recipe] = &[Recipe::new(
    "NIC_RX_FILTER_CHANGED.linux-devices",
    &[
        "-rtc",
        "base=2020-01-01T00:00:00",
        "-device",
        "virtio-balloon-pci,id=balloon0",
        "-device",
        "virtio-serial-pci,id=serial0",
        "-chardev",
        "null,id=chardev0",
        "-device",
        "virtserialport,bus=serial0.0,nr=1,chardev=chardev0,id=port0",
        "-netdev",
        "hubport,hubid=0,id=netdev0",
        "-device",
        "virtio-net-pci,netdev=netdev0,id=net0,romfile=,failover=on,mac=52:54:00:12:34:56",
        "-netdev",
        "hubport,hubid=0,id=netdev1",
        // Without a name.
        "-device",
        "virtio-net-pci,netdev=netdev1,romfile=,mac=52:54:00:12:34:57",
    ],
    |machine| {
        machine.shell("load virtio_pci")?;
        stand_in(machine)?;
        nameless_card(machine)?;
        named_card(machine)?;
        port(machine)?;
        clock(machine)?;
        balloon(machine)?;
        machine_check(machine)
    },
    &[
        "FAILOVER_NEGOTIATED device-id=net0",
        "NIC_RX_FILTER_CHANGED path=/machine/peripheral-anon/device[0]/virtio-backend",
        "NIC_RX_FILTER_CHANGED name=net0 path=/machine/peripheral/net0/virtio-backend",
        "NIC_RX_FILTER_CHANGED name=net0",
        "VSERPORT_CHANGE id=port0 open=true",
        "VSERPORT_CHANGE id=port0 open=false",
        "RTC_CHANGE",
        "BALLOON_CHANGE actual=234881024",
        "MEMORY_FAILURE recipient=guest action=inject",
    ],
)
.in_linux()];

/// The driver accepts to stand in for a card that is passed through, if it is asked to.
fn stand_in(machine: &mut Machine) -> Result<(), LabError> {
    machine.shell("load virtio_net")?;
    machine.event("FAILOVER_NEGOTIATED").map(drop)
}

/// A card without an id is known by its path.
fn nameless_card(machine: &mut Machine) -> Result<(), LabError> {
    let card = card(machine, "52:54:00:12:34:57")?;
    machine.shell(&format!("ip link set {card} up"))?;
    machine
        .event_where("NIC_RX_FILTER_CHANGED", |data| data["name"].is_null())
        .map(drop)
}

/// One change is told, the others only after somebody has asked.
fn named_card(machine: &mut Machine) -> Result<(), LabError> {
    let card = card(machine, "52:54:00:12:34:56")?;
    let told = |machine: &mut Machine| {
        machine.event_where("NIC_RX_FILTER_CHANGED", |data| data["name"] == "net0")
    };
    machine.shell(&format!("ip link set {card} up"))?;
    told(machine)?;
    machine.shell(&format!(
        "ip link set {card} promisc on && ip link set {card} promisc off"
    ))?;
    machine.execute("query-rx-filter", json!({ "name": "net0" }))?;
    machine.shell(&format!("ip link set {card} promisc on"))?;
    told(machine).map(drop)
}

/// The name Linux gave to the card with this address. There are several devices with it if one
/// is to stand in for another: the last one is the card itself.
fn card(machine: &mut Machine, address: &str) -> Result<String, LabError> {
    let found = machine.shell(&format!(
        "for card in /sys/class/net/*; do [ -e $card/device/driver ] && \
         grep -q {address} $card/address && echo ${{card##*/}}; done; true"
    ))?;
    let name = found.split_whitespace().last();
    name.map(str::to_owned)
        .ok_or_else(|| LabError::Unexpected(format!("the guest has no card {address}")))
}

/// A program in the guest opens and closes its end of a port.
fn port(machine: &mut Machine) -> Result<(), LabError> {
    open_port(machine)?;
    machine.shell("exec 5>&-")?;
    machine
        .event_where("VSERPORT_CHANGE", |data| data["open"] == false)
        .map(drop)
}

/// Opens the only port, as descriptor 5.
pub(super) fn open_port(machine: &mut Machine) -> Result<(), LabError> {
    machine.shell("load virtio_console && until_ok '[ -e /dev/vport*p1 ]'")?;
    // A redirection alone does not look for names that match.
    machine.shell("exec 5<>$(echo /dev/vport*p1)")?;
    machine
        .event_where("VSERPORT_CHANGE", |data| data["open"] == true)
        .map(drop)
}

/// Somebody sets the guest's clock, and the machine's by it.
fn clock(machine: &mut Machine) -> Result<(), LabError> {
    machine.shell("date -u -s '2021-02-03 04:05:06' && hwclock -u -w")?;
    machine.event("RTC_CHANGE").map(drop)
}

/// The guest gives up memory until the balloon is as large as asked for.
fn balloon(machine: &mut Machine) -> Result<(), LabError> {
    const WANTED_BYTES: u64 = 224 * 1024 * 1024;
    machine.shell("load virtio_balloon")?;
    machine.execute("balloon", json!({ "value": WANTED_BYTES }))?;
    machine
        .event_where("BALLOON_CHANGE", |data| data["actual"] == WANTED_BYTES)
        .map(drop)
}

/// An uncorrected error of memory that nobody is using: the guest is told and lives.
fn machine_check(machine: &mut Machine) -> Result<(), LabError> {
    const MEMORY_SCRUBBING_ERROR: &str = "0xbd000000000000c0";
    machine
        .human(&format!(
            "mce 0 9 {MEMORY_SCRUBBING_ERROR} 0xd 0x1000000 0x8c"
        ))
        .map(drop)
}
