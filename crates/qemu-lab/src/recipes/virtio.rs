//! Events of virtio devices, whose drivers the lab plays.

use serde_json::json;

use super::{BURST, Recipe, migration};
use crate::{
    Board, LabError, Machine,
    guest::virtio::{DEVICE_CONFIG, Legacy, Modern},
};

pub(super) const BALLOON: &[&str] = &[
    "-device",
    "virtio-balloon-pci,id=balloon0,addr=4,disable-modern=on,disable-legacy=off",
];
const SERIAL: &[&str] = &[
    "-device",
    "virtio-serial-pci,id=serial0,addr=4,disable-modern=on,disable-legacy=off,vectors=0",
    "-chardev",
    "null,id=chardev0",
    "-device",
    "virtserialport,bus=serial0.0,nr=1,chardev=chardev0,id=port0",
];
const TWO_PORTS: &[&str] = &[
    "-device",
    "virtio-serial-pci,id=serial0,addr=4,disable-modern=on,disable-legacy=off,vectors=0",
    "-chardev",
    "null,id=chardev0",
    "-device",
    "virtserialport,bus=serial0.0,nr=1,chardev=chardev0,id=port0",
    "-chardev",
    "null,id=chardev1",
    "-device",
    "virtserialport,bus=serial0.0,nr=2,chardev=chardev1,id=port1",
];
const NETWORK: &[&str] = &[
    "-netdev",
    "user,id=netdev0,restrict=on",
    "-device",
    "virtio-net-pci,id=net0,netdev=netdev0,addr=4,romfile=,disable-modern=on,\
     disable-legacy=off,vectors=0",
];
const STANDBY: &[&str] = &[
    "-netdev",
    "user,id=netdev0,restrict=on",
    "-device",
    "virtio-net-pci,id=net0,netdev=netdev0,addr=4,romfile=,failover=on,disable-legacy=on",
];
/// Only a card behind a PCI Express port can be passed through.
const FAILOVER_PAIR: &[&str] = &[
    "-netdev",
    "user,id=netdev0,restrict=on",
    "-device",
    "virtio-net-pci,id=net0,netdev=netdev0,addr=4,romfile=,failover=on,disable-legacy=on,\
     mac=52:54:00:12:34:56",
    "-device",
    "pcie-root-port,id=root0,chassis=1,slot=1",
    "-netdev",
    "user,id=netdev1,restrict=on",
    "-device",
    "virtio-net-pci,id=primary0,netdev=netdev1,bus=root0,romfile=,failover_pair_id=net0,\
     mac=52:54:00:12:34:56",
];
const PLUGGABLE: &[&str] = &[
    "-object",
    "memory-backend-ram,id=mem0,size=256M",
    "-device",
    "virtio-mem-pci,id=vmem0,memdev=mem0,requested-size=128M,block-size=2M,addr=4",
];
const SLOT: u8 = 4;

pub(super) const RECIPES: &[Recipe] = &[
    // 64 MiB less 4096 pages of 4 KiB.
    Recipe::new(
        "BALLOON_CHANGE",
        BALLOON,
        inflate,
        &["BALLOON_CHANGE actual=50331648"],
    ),
    // The second one comes a second after the first: QEMU holds it back.
    Recipe::new(
        "VSERPORT_CHANGE",
        SERIAL,
        open_and_close_port,
        &[
            "VSERPORT_CHANGE id=port0 open=true",
            "VSERPORT_CHANGE id=port0 open=false",
        ],
    ),
    Recipe::new(
        "NIC_RX_FILTER_CHANGED",
        NETWORK,
        listen_to_everything,
        &["NIC_RX_FILTER_CHANGED name=net0 path=/machine/peripheral/net0/virtio-backend"],
    ),
    Recipe::new(
        "FAILOVER_NEGOTIATED",
        STANDBY,
        accept_standby,
        &["FAILOVER_NEGOTIATED device-id=net0"],
    ),
    Recipe::new(
        "MEMORY_DEVICE_SIZE_CHANGE",
        PLUGGABLE,
        plug_memory,
        &["MEMORY_DEVICE_SIZE_CHANGE id=vmem0 size=2097152"],
    )
    .memory("64M,slots=2,maxmem=2G"),
    // QEMU sends the first of a burst at once, and a second later the last.
    Recipe::new(
        "BALLOON_CHANGE.burst",
        BALLOON,
        |machine| {
            let qtest = machine.qtest();
            Legacy::start(qtest, SLOT, 0, 0)?;
            (1..=BURST).try_for_each(|pages| qtest.outl(DEVICE_CONFIG + 4, pages))
        },
        &[
            "BALLOON_CHANGE actual=67104768",
            "BALLOON_CHANGE actual=67026944",
        ],
    ),
    // Each port has a limit of its own.
    Recipe::new(
        "VSERPORT_CHANGE.burst",
        TWO_PORTS,
        |machine| open_and_close_ports(machine, &[1, 2], BURST / 2),
        &[
            "VSERPORT_CHANGE id=port0 open=true",
            "VSERPORT_CHANGE id=port1 open=true",
            "VSERPORT_CHANGE id=port0 open=false",
            "VSERPORT_CHANGE id=port1 open=false",
        ],
    ),
    // Three changes, of which one is told; again after the query.
    Recipe::new(
        "NIC_RX_FILTER_CHANGED.query",
        NETWORK,
        |machine| {
            let mut network = start_network(machine)?;
            for on in [1, 0, 1] {
                set_promiscuous(machine, &mut network, on)?;
            }
            machine.execute("query-rx-filter", json!({ "name": "net0" }))?;
            for on in [0, 1, 0] {
                set_promiscuous(machine, &mut network, on)?;
            }
            // Whatever was sent before this reply has come.
            machine.status().map(drop)
        },
        &[
            "NIC_RX_FILTER_CHANGED name=net0",
            "NIC_RX_FILTER_CHANGED name=net0",
        ],
    ),
    // The stand-in was accepted, so the card passed through has to go before a migration.
    Recipe::new(
        "UNPLUG_PRIMARY",
        FAILOVER_PAIR,
        |machine| {
            accept_standby(machine)?;
            machine.event("FAILOVER_NEGOTIATED")?;
            migration::migrate(machine, "exec:cat > /dev/null")
        },
        &[
            "FAILOVER_NEGOTIATED device-id=net0",
            "UNPLUG_PRIMARY device-id=primary0",
        ],
    )
    .board(Board::Q35),
];

/// Accepts to be the stand-in of a card that is passed through.
fn accept_standby(machine: &mut Machine) -> Result<(), LabError> {
    const STANDBY: u64 = 1 << 62;
    Modern::start(machine.qtest(), SLOT, Modern::VERSION_1 | STANDBY).map(drop)
}

/// Asks for one block: request kind, address, number of blocks, the gaps unused.
fn plug_memory(machine: &mut Machine) -> Result<(), LabError> {
    const UNPLUGGED_INACCESSIBLE: u64 = 1 << 1;
    const REGION_ADDRESS: u64 = 16;
    const PLUG: u64 = 0;
    const BLOCKS: u64 = 1;
    const ANSWER_BYTES: u32 = 10;
    let qtest = machine.qtest();
    let features = Modern::VERSION_1 | UNPLUGGED_INACCESSIBLE;
    let mut memory = Modern::start(qtest, SLOT, features)?;
    let address = memory.config(qtest, REGION_ADDRESS)?;
    let request = [PLUG, address, BLOCKS].map(u64::to_le_bytes).concat();
    memory.send(qtest, &request, ANSWER_BYTES)
}

/// Tells the balloon how many pages the guest gave up; that needs no queue.
fn inflate(machine: &mut Machine) -> Result<(), LabError> {
    let qtest = machine.qtest();
    Legacy::start(qtest, SLOT, 0, 0)?;
    qtest.outl(DEVICE_CONFIG + 4, 4096)
}

fn open_and_close_port(machine: &mut Machine) -> Result<(), LabError> {
    open_and_close_ports(machine, &[1], 1)
}

/// Control messages: port (32 bits), event and value (16 bits each).
fn open_and_close_ports(machine: &mut Machine, ports: &[u8], times: u32) -> Result<(), LabError> {
    const MULTIPORT: u32 = 1 << 1;
    const CONTROL_OUT: u16 = 3;
    const DEVICE_READY: u8 = 0;
    const PORT_READY: u8 = 3;
    const PORT_OPEN: u8 = 6;
    let qtest = machine.qtest();
    let mut serial = Legacy::start(qtest, SLOT, MULTIPORT, CONTROL_OUT + 1)?;
    let mut say = |port: u8, event: u8, value: u8| {
        serial.send(qtest, CONTROL_OUT, &[port, 0, 0, 0, event, 0, value, 0])
    };
    say(0, DEVICE_READY, 1)?;
    for port in ports {
        say(*port, PORT_READY, 1)?;
    }
    for _ in 0..times {
        for open in [1, 0] {
            for port in ports {
                say(*port, PORT_OPEN, open)?;
            }
        }
    }
    Ok(())
}

fn listen_to_everything(machine: &mut Machine) -> Result<(), LabError> {
    let mut network = start_network(machine)?;
    set_promiscuous(machine, &mut network, 1)
}

const NETWORK_CONTROL: u16 = 2;

fn start_network(machine: &mut Machine) -> Result<Legacy, LabError> {
    const CONTROL_QUEUE: u32 = 1 << 17;
    const CONTROL_RECEIVE: u32 = 1 << 18;
    let features = CONTROL_QUEUE | CONTROL_RECEIVE;
    Legacy::start(machine.qtest(), SLOT, features, NETWORK_CONTROL + 1)
}

/// Promiscuous mode is class 0, command 0.
fn set_promiscuous(machine: &mut Machine, network: &mut Legacy, on: u8) -> Result<(), LabError> {
    network.send(machine.qtest(), NETWORK_CONTROL, &[0, 0, on])
}
