//! Virtio drivers in the small: requests one at a time, each with room for an answer.

mod legacy;
mod modern;

pub use legacy::{DEVICE_CONFIG, Legacy};
pub(crate) use modern::Modern;

use crate::{LabError, Qtest};

/// Steps of a driver: it has seen the device, knows how to drive it, agreed on features, is ready.
const ACKNOWLEDGE: u8 = 1;
const DRIVER: u8 = ACKNOWLEDGE | 2;
const FEATURES_OK: u8 = DRIVER | 8;
const DRIVER_OK: u8 = 4;

const PAGE_BYTES: u64 = 4096;
const DESCRIPTOR_BYTES: u64 = 16;

/// The rings of one queue, all at fixed places of the machine's memory.
#[derive(Debug)]
struct Queue {
    number: u16,
    /// As many as the device wants; 256 at most in the devices used here.
    entries: u16,
    requests: u16,
}

impl Queue {
    fn new(number: u16, entries: u16) -> Result<Queue, LabError> {
        if !(2..=256).contains(&entries) {
            let text = format!("virtio queue {number} has {entries} entries");
            return Err(LabError::Unexpected(text));
        }
        Ok(Queue {
            number,
            entries,
            requests: 0,
        })
    }

    fn descriptors(&self) -> u64 {
        const RINGS: u64 = 0x20_0000;
        const STRIDE_BYTES: u64 = 0x1_0000;
        RINGS + STRIDE_BYTES * u64::from(self.number)
    }

    fn available(&self) -> u64 {
        self.descriptors() + DESCRIPTOR_BYTES * u64::from(self.entries)
    }

    fn used(&self) -> u64 {
        let end = self.available() + 4 + 2 * u64::from(self.entries);
        end.next_multiple_of(PAGE_BYTES)
    }

    /// Makes a request available, with room for `answer_bytes`; the device is still to be told.
    fn put(&mut self, qtest: &mut Qtest, bytes: &[u8], answer_bytes: u32) -> Result<(), LabError> {
        const REQUEST: u64 = 0x30_0000;
        const ANSWER: u64 = 0x30_8000;
        // Flags: another descriptor follows, the device writes here.
        const NEXT: u16 = 1;
        const DEVICE_WRITES: u16 = 2;
        let length = u32::try_from(bytes.len())
            .map_err(|_| LabError::Unexpected(format!("a request of {} bytes", bytes.len())))?;
        qtest.write(REQUEST, bytes)?;
        let first = self.descriptors();
        descriptor(qtest, first, (REQUEST, length, NEXT, 1))?;
        let answer = (ANSWER, answer_bytes, DEVICE_WRITES, 0);
        descriptor(qtest, first + DESCRIPTOR_BYTES, answer)?;
        // The ring of what is available: flags, count, then the first descriptor of each.
        let available = self.available();
        qtest.writew(
            available + 4 + 2 * u64::from(self.requests % self.entries),
            0,
        )?;
        self.requests = self.requests.wrapping_add(1);
        qtest.writew(available + 2, self.requests)
    }
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
