//! The interface of before virtio 1.0: registers in ports.

use super::{ACKNOWLEDGE, DRIVER, DRIVER_OK, PAGE_BYTES, Queue};
use crate::{LabError, Qtest, guest::pci::Function};

/// Where the device's registers are mapped.
const BASE: u16 = 0xC000;
const GUEST_FEATURES: u16 = BASE + 4;
const QUEUE_PAGE: u16 = BASE + 8;
const QUEUE_SIZE: u16 = BASE + 0xC;
const QUEUE_SELECT: u16 = BASE + 0xE;
const QUEUE_NOTIFY: u16 = BASE + 0x10;
const STATUS: u16 = BASE + 0x12;
/// The registers that are the device's own, without interrupt vectors.
pub const DEVICE_CONFIG: u16 = BASE + 0x14;

/// A device that was switched on.
#[derive(Debug)]
pub struct Legacy {
    queues: Vec<Queue>,
}

impl Legacy {
    /// Maps the device in `slot`, acknowledges `features`, gives it its first `queues` queues.
    pub fn start(
        qtest: &mut Qtest,
        slot: u8,
        features: u32,
        queues: u16,
    ) -> Result<Legacy, LabError> {
        Function { slot, function: 0 }.map_ports(qtest, BASE)?;
        for status in [0, ACKNOWLEDGE, DRIVER] {
            qtest.outb(STATUS, status)?;
        }
        qtest.outl(GUEST_FEATURES, features)?;
        let queues: Result<Vec<Queue>, LabError> = (0..queues)
            .map(|number| start_queue(qtest, number))
            .collect();
        qtest.outb(STATUS, DRIVER | DRIVER_OK)?;
        Ok(Legacy { queues: queues? })
    }

    /// Hands `bytes` to a queue, with one byte for the device to answer in.
    pub fn send(&mut self, qtest: &mut Qtest, queue: u16, bytes: &[u8]) -> Result<(), LabError> {
        let found = self.queues.get_mut(usize::from(queue));
        found
            .ok_or_else(|| LabError::Unexpected(format!("no virtio queue {queue}")))?
            .put(qtest, bytes, 1)?;
        qtest.outw(QUEUE_NOTIFY, queue)
    }
}

fn start_queue(qtest: &mut Qtest, number: u16) -> Result<Queue, LabError> {
    qtest.outw(QUEUE_SELECT, number)?;
    let queue = Queue::new(number, qtest.inw(QUEUE_SIZE)?)?;
    let page = queue.descriptors() / PAGE_BYTES;
    let page =
        u32::try_from(page).map_err(|_| LabError::Unexpected(format!("a ring at page {page}")))?;
    qtest.outl(QUEUE_PAGE, page)?;
    Ok(queue)
}
