//! The stamp QEMU puts on every event.

/// When QEMU created the event: wall clock of its host, UTC.
///
/// Not monotonic: clocks are set back, and a rate-limited event is sent up to a second after it was
/// stamped, behind events with later stamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Microseconds within the second, 0 to 999,999.
    pub microseconds: i64,
}

/// Microseconds in a second.
const SECOND_US: i64 = 1_000_000;

impl Timestamp {
    /// What QEMU sends when its host's clock could not be read (before 7.1): -1 in both members.
    pub const UNKNOWN: Self = Self {
        seconds: -1,
        microseconds: -1,
    };

    /// Splits a count of microseconds since 1970.
    pub fn from_unix_micros(us: i64) -> Self {
        Self {
            seconds: us.div_euclid(SECOND_US),
            microseconds: us.rem_euclid(SECOND_US),
        }
    }

    /// False for [`Timestamp::UNKNOWN`], which is "no clock" and not a moment in 1969.
    pub fn is_known(self) -> bool {
        self != Self::UNKNOWN
    }

    /// Microseconds since 1970; `None` if QEMU had no clock or the numbers are beyond any calendar.
    pub fn unix_micros(self) -> Option<i64> {
        if !self.is_known() {
            return None;
        }
        self.seconds
            .checked_mul(SECOND_US)?
            .checked_add(self.microseconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_clock_is_not_1969() {
        assert_eq!(Timestamp::UNKNOWN.unix_micros(), None);
        let before_1970 = Timestamp::from_unix_micros(-1);
        assert_eq!(
            (before_1970.seconds, before_1970.microseconds),
            (-1, 999_999)
        );
        assert_eq!(before_1970.unix_micros(), Some(-1));
    }

    #[test]
    fn absurd_seconds_do_not_overflow() {
        let far = Timestamp {
            seconds: i64::MAX,
            microseconds: 0,
        };
        assert_eq!(far.unix_micros(), None);
    }
}
