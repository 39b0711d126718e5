//! Events of virtio devices, whose drivers the lab plays.

use super::Recipe;
use crate::{
    LabError, Machine,
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

/// Control messages: port (32 bits), event and value (16 bits each).
fn open_and_close_port(machine: &mut Machine) -> Result<(), LabError> {
    const MULTIPORT: u32 = 1 << 1;
    const CONTROL_OUT: u16 = 3;
    const DEVICE_READY: [u8; 8] = [0, 0, 0, 0, 0, 0, 1, 0];
    const PORT_READY: [u8; 8] = [1, 0, 0, 0, 3, 0, 1, 0];
    const PORT_OPEN: [u8; 8] = [1, 0, 0, 0, 6, 0, 1, 0];
    const PORT_CLOSED: [u8; 8] = [1, 0, 0, 0, 6, 0, 0, 0];
    let qtest = machine.qtest();
    let mut serial = Legacy::start(qtest, SLOT, MULTIPORT, CONTROL_OUT + 1)?;
    for message in [DEVICE_READY, PORT_READY, PORT_OPEN, PORT_CLOSED] {
        serial.send(qtest, CONTROL_OUT, &message)?;
    }
    Ok(())
}

/// Switches promiscuous mode on: class 0, command 0, on.
fn listen_to_everything(machine: &mut Machine) -> Result<(), LabError> {
    const CONTROL_QUEUE: u32 = 1 << 17;
    const CONTROL_RECEIVE: u32 = 1 << 18;
    const CONTROL: u16 = 2;
    let qtest = machine.qtest();
    let features = CONTROL_QUEUE | CONTROL_RECEIVE;
    let mut network = Legacy::start(qtest, SLOT, features, CONTROL + 1)?;
    network.send(qtest, CONTROL, &[0, 0, 1])
}
