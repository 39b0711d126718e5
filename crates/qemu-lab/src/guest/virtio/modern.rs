//! The interface of virtio 1.0: registers in memory, 64 feature bits.

use super::{ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, Queue};
use crate::{LabError, Qtest, guest::pci::Function};

/// Where the device's registers are mapped: beyond any memory of the lab's machines.
const BASE: u64 = 0xFE00_0000;
const DEVICE_FEATURES_SELECT: u64 = BASE;
const DEVICE_FEATURES: u64 = BASE + 4;
const DRIVER_FEATURES_SELECT: u64 = BASE + 8;
const DRIVER_FEATURES: u64 = BASE + 12;
const STATUS: u64 = BASE + 20;
const QUEUE_SELECT: u64 = BASE + 22;
const QUEUE_SIZE: u64 = BASE + 24;
const QUEUE_ENABLE: u64 = BASE + 28;
const QUEUE_DESCRIPTORS: u64 = BASE + 32;
const QUEUE_AVAILABLE: u64 = BASE + 40;
const QUEUE_USED: u64 = BASE + 48;
/// The registers that are the device's own.
const DEVICE_CONFIG: u64 = BASE + 0x2000;
const NOTIFY: u64 = BASE + 0x3000;

/// A device that was switched on, with its first queue.
#[derive(Debug)]
pub(crate) struct Modern {
    queue: Queue,
}

impl Modern {
    /// The feature every driver of this interface acknowledges.
    pub(crate) const VERSION_1: u64 = 1 << 32;

    /// Maps the device in `slot`, acknowledges those of `features` it offers, gives it its first
    /// queue.
    pub(crate) fn start(qtest: &mut Qtest, slot: u8, features: u64) -> Result<Modern, LabError> {
        Function { slot, function: 0 }.map_memory(qtest, BASE)?;
        for status in [0, ACKNOWLEDGE, DRIVER] {
            qtest.writeb(STATUS, status)?;
        }
        for (half, shift) in [(0, 0), (1, 32)] {
            let wanted = u32::try_from(features >> shift & u64::from(u32::MAX))
                .map_err(|_| LabError::Unexpected("32 bits that are more".to_owned()))?;
            qtest.writel(DEVICE_FEATURES_SELECT, half)?;
            let offered = qtest.readl(DEVICE_FEATURES)?;
            qtest.writel(DRIVER_FEATURES_SELECT, half)?;
            qtest.writel(DRIVER_FEATURES, wanted & offered)?;
        }
        qtest.writeb(STATUS, FEATURES_OK)?;
        qtest.writew(QUEUE_SELECT, 0)?;
        let queue = Queue::new(0, qtest.readw(QUEUE_SIZE)?)?;
        qtest.writeq(QUEUE_DESCRIPTORS, queue.descriptors())?;
        qtest.writeq(QUEUE_AVAILABLE, queue.available())?;
        qtest.writeq(QUEUE_USED, queue.used())?;
        qtest.writew(QUEUE_ENABLE, 1)?;
        qtest.writeb(STATUS, FEATURES_OK | DRIVER_OK)?;
        Ok(Modern { queue })
    }

    /// Reads 64 bits of the device's own registers.
    pub(crate) fn config(&self, qtest: &mut Qtest, offset: u64) -> Result<u64, LabError> {
        let low = qtest.readl(DEVICE_CONFIG + offset)?;
        let high = qtest.readl(DEVICE_CONFIG + offset + 4)?;
        Ok(u64::from(high) << 32 | u64::from(low))
    }

    /// Hands `bytes` to the queue, with room for an answer.
    pub(crate) fn send(
        &mut self,
        qtest: &mut Qtest,
        bytes: &[u8],
        answer_bytes: u32,
    ) -> Result<(), LabError> {
        self.queue.put(qtest, bytes, answer_bytes)?;
        qtest.writew(NOTIFY, 0)
    }
}
