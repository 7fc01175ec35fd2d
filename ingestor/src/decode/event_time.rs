//! The event time of a row on the one axis the extension places rows by: instants as they are, UUIDs of version 7 by
//! their milliseconds, wall clocks read as UTC. Never: which partition or window a time belongs to.

use super::Fault;
use strata_core::encoding::Tag;
use strata_core::time::format_timestamptz;

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;
/// Milliseconds from 1970-01-01 to 2000-01-01.
const POSTGRES_EPOCH_MS: i64 = 946_684_800_000;
/// First time after the last that PostgreSQL has, 294277-01-01; dates go further.
const TIMESTAMP_END: i64 = 9_223_371_331_200_000_000;

/// Type of a time column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeType {
    /// An instant.
    TimestampTz,
    /// A wall clock.
    Timestamp,
    /// A wall clock at midnight.
    Date,
    /// A UUID of version 7.
    Uuid,
}

impl TimeType {
    /// Of a column's type; `None`: it is no type that event tables are partitioned by.
    pub fn of(tag: Tag) -> Option<Self> {
        match tag {
            Tag::TimestampTz => Some(Self::TimestampTz),
            Tag::Timestamp => Some(Self::Timestamp),
            Tag::Date => Some(Self::Date),
            Tag::Uuid => Some(Self::Uuid),
            _ => None,
        }
    }

    /// The place of a column's bytes on the axis, in microseconds since 2000-01-01.
    pub fn axis(self, value: &[u8]) -> Result<i64, Fault> {
        let broken = || Fault::new("22P03", "a value of the time column has a wrong length");
        match self {
            Self::TimestampTz | Self::Timestamp => {
                Ok(i64::from_be_bytes(value.try_into().map_err(|_| broken())?))
            }
            Self::Date => {
                let days = i32::from_be_bytes(value.try_into().map_err(|_| broken())?);
                let us = i64::from(days).saturating_mul(DAY);
                // What lies behind the last timestamp is as good as infinity, which the server takes for an argument.
                Ok(if us >= TIMESTAMP_END { i64::MAX } else { us })
            }
            Self::Uuid => {
                let bytes: &[u8; 16] = value.try_into().map_err(|_| broken())?;
                if bytes[6] >> 4 != 7 || bytes[8] >> 6 != 2 {
                    return Err(Fault::new("22007", "the UUID is not of version 7 and holds no time"));
                }
                let ms = bytes[..6].iter().fold(0_i64, |sum, byte| (sum << 8) | i64::from(*byte));
                Ok((ms - POSTGRES_EPOCH_MS) * 1_000)
            }
        }
    }

    /// A time on the axis as a value of the column's type would show it.
    pub fn show(self, axis: i64) -> String {
        let mut text = format_timestamptz(axis);
        match self {
            Self::TimestampTz | Self::Uuid => {}
            Self::Timestamp => text.truncate(text.trim_end_matches('Z').len()),
            Self::Date => text.truncate(text.find('T').unwrap_or(text.len())),
        }
        text
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_type_has_its_place_on_the_axis() {
        let second = 1_000_000_i64.to_be_bytes();
        assert_eq!(TimeType::TimestampTz.axis(&second), Ok(1_000_000));
        assert_eq!(TimeType::Timestamp.axis(&second), Ok(1_000_000));
        assert_eq!(TimeType::Date.axis(&2_i32.to_be_bytes()), Ok(2 * DAY));
        assert_eq!(TimeType::Date.axis(&(-1_i32).to_be_bytes()), Ok(-DAY));
        let uuid = |ms: u64, version: u8, variant: u8| {
            let mut bytes = [0xff; 16];
            bytes[..6].copy_from_slice(&ms.to_be_bytes()[2..]);
            bytes[6] = version << 4;
            bytes[8] = variant << 6;
            TimeType::Uuid.axis(&bytes)
        };
        assert_eq!(uuid(946_684_800_001, 7, 2), Ok(1_000));
        assert_eq!(uuid(0, 7, 2), Ok(-POSTGRES_EPOCH_MS * 1_000));
        assert_eq!(uuid((1 << 48) - 1, 7, 2).unwrap() / 1_000, (1 << 48) - 1 - POSTGRES_EPOCH_MS);
        assert_eq!(uuid(946_684_800_001, 4, 2).unwrap_err().sqlstate, "22007");
        assert_eq!(uuid(946_684_800_001, 7, 3).unwrap_err().sqlstate, "22007");
    }

    #[test]
    fn dates_beyond_every_timestamp_are_infinite() {
        for days in [i32::MAX, 2_145_031_948, 106_751_983] {
            assert_eq!(TimeType::Date.axis(&days.to_be_bytes()), Ok(i64::MAX), "{days}");
        }
        assert_eq!(TimeType::Date.axis(&106_751_982_i32.to_be_bytes()), Ok(TIMESTAMP_END - DAY));
        assert_eq!(TimeType::Date.axis(&i32::MIN.to_be_bytes()), Ok(i64::MIN));
    }

    #[test]
    fn times_are_shown_as_their_column_has_them() {
        assert_eq!(TimeType::TimestampTz.show(1_500_000), "2000-01-01T00:00:01.5Z");
        assert_eq!(TimeType::Uuid.show(1_000), "2000-01-01T00:00:00.001Z");
        assert_eq!(TimeType::Timestamp.show(1_500_000), "2000-01-01T00:00:01.5");
        assert_eq!(TimeType::Date.show(DAY), "2000-01-02");
        assert_eq!(TimeType::Date.show(i64::MAX), "infinity");
    }
}
