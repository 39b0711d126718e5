//! A virtio driver in the small, for the interface of before virtio 1.0: registers in ports, rings
//! in memory. Requests are made one at a time; buffers for the device to fill beyond one byte of
//! acknowledgement are not needed here.

use super::pci::Function;
use crate::{LabError, Qtest};

/// Where the device's registers are mapped.
const BASE: u16 = 0xC000;
const GUEST_FEATURES: u16 = BASE + 4;
const QUEUE_PAGE: u16 = BASE + 8;
const QUEUE_SIZE: u16 = BASE + 0xC;
const QUEUE_SELECT: u16 = BASE + 0xE;
const QUEUE_NOTIFY: u16 = BASE + 0x10;
const STATUS: u16 = BASE + 0x12;
/// The registers that are the device's own, without interrupt vectors.
pub(crate) const DEVICE_CONFIG: u16 = BASE + 0x14;

/// Steps of the driver: it has seen the device, knows it, is ready.
const ACKNOWLEDGE: u8 = 1;
const DRIVER: u8 = ACKNOWLEDGE | 2;
const DRIVER_OK: u8 = DRIVER | 4;

const PAGE_BYTES: u64 = 4096;
const RINGS: u64 = 0x20_0000;
const RING_STRIDE_BYTES: u64 = 0x1_0000;
const BUFFER: u64 = 0x30_0000;
const ANSWER: u64 = 0x30_8000;
const DESCRIPTOR_BYTES: u64 = 16;
/// Descriptor flags: another one follows, the device writes here.
const NEXT: u16 = 1;
const DEVICE_WRITES: u16 = 2;

/// A device that was switched on.
#[derive(Debug)]
pub(crate) struct Legacy {
    requests: u16,
}

impl Legacy {
    /// Maps the device in `slot`, acknowledges `features`, gives it its first `queues` queues.
    pub(crate) fn start(
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
        for queue in 0..queues {
            qtest.outw(QUEUE_SELECT, queue)?;
            let page = ring(queue) / PAGE_BYTES;
            let page = u32::try_from(page)
                .map_err(|_| LabError::Unexpected(format!("a ring at page {page}")))?;
            qtest.outl(QUEUE_PAGE, page)?;
        }
        qtest.outb(STATUS, DRIVER_OK)?;
        Ok(Legacy { requests: 0 })
    }

    /// Hands `bytes` to a queue, with one byte for the device to answer in. Always the same
    /// queue: there is one count of requests.
    pub(crate) fn send(
        &mut self,
        qtest: &mut Qtest,
        queue: u16,
        bytes: &[u8],
    ) -> Result<(), LabError> {
        qtest.outw(QUEUE_SELECT, queue)?;
        let entries = qtest.inw(QUEUE_SIZE)?;
        if entries < 2 {
            return Err(LabError::Unexpected(format!(
                "queue {queue} has {entries} entries"
            )));
        }
        let ring = ring(queue);
        qtest.write(BUFFER, bytes)?;
        let length = u32::try_from(bytes.len())
            .map_err(|_| LabError::Unexpected(format!("a request of {} bytes", bytes.len())))?;
        descriptor(qtest, ring, (BUFFER, length, NEXT, 1))?;
        descriptor(
            qtest,
            ring + DESCRIPTOR_BYTES,
            (ANSWER, 1, DEVICE_WRITES, 0),
        )?;
        // The ring of what is available: flags, count, then the first descriptor of each.
        let available = ring + DESCRIPTOR_BYTES * u64::from(entries);
        qtest.writew(available + 4 + 2 * u64::from(self.requests % entries), 0)?;
        self.requests = self.requests.wrapping_add(1);
        qtest.writew(available + 2, self.requests)?;
        qtest.outw(QUEUE_NOTIFY, queue)
    }
}

fn ring(queue: u16) -> u64 {
    RINGS + RING_STRIDE_BYTES * u64::from(queue)
}

/// Writes a descriptor: address, length in bytes, flags, the next one.
fn descriptor(
    qtest: &mut Qtest,
    at: u64,
    (address, length, flags, next): (u64, u32, u16, u16),
) -> Result<(), LabError> {
    qtest.writeq(at, address)?;
    qtest.writel(at + 8, length)?;
    qtest.writew(at + 12, flags)?;
    qtest.writew(at + 14, next)
}
