//! Times as people write and read them.
//!
//! Inside qwatch a time is `i64` microseconds since 1970, UTC. Only here does it meet the words on
//! the command line (`--since`, `--until`, `--timeout`) and the columns on the screen.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp, Zoned};
use thiserror::Error;

/// A moment or a duration that could not be understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TimeError {
    /// The text is in none of the forms a moment is written in.
    #[error(
        "`{0}` is no time: write 2026-01-31T12:00:00Z, \"2026-01-31 12:00\", 2026-01-31, 12:00, \
         15m, \"2h ago\", today, yesterday or now"
    )]
    Moment(String),
    /// The text is no duration, or a negative one.
    #[error("`{0}` is no duration: write 30s, 500ms, 5m, 1h30m or a number of seconds")]
    Duration(String),
}

/// The clock of the machine now, in microseconds since 1970, UTC.
pub fn now_us() -> i64 {
    system_time_us(SystemTime::now())
}

/// A `SystemTime` in microseconds since 1970, UTC; before 1970 it is negative.
pub fn system_time_us(at: SystemTime) -> i64 {
    match at.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |us| -us),
    }
}

/// Reads a moment, relative to `now` and in `zone` where the text names none: RFC 3339
/// (`2026-01-31T12:00:00Z`), local date and time (`2026-01-31 12:00`), a local date (its first
/// moment), a time of today (`12:00`), a span back from now (`15m`, `2h`, `1d12h`, `10m ago`),
/// `now`, `today`, `yesterday`. Gives microseconds since 1970, UTC.
///
/// # Errors
/// When the text is none of these, or lies outside the years 1 to 9999.
pub fn parse_moment(text: &str, now_us: i64, zone: &TimeZone) -> Result<i64, TimeError> {
    let trimmed = text.trim();
    let bad = || TimeError::Moment(text.to_owned());
    let now = zoned(now_us, zone).ok_or_else(bad)?;
    if let Ok(instant) = trimmed.parse::<Timestamp>() {
        return Ok(instant.as_microsecond());
    }
    let moment = named(trimmed, &now)
        .or_else(|| civil(trimmed, &now, zone))
        .or_else(|| before(trimmed, &now));
    moment
        .map(|zoned| zoned.timestamp().as_microsecond())
        .ok_or_else(bad)
}

/// Reads a duration: `30s`, `500ms`, `1h30m`, or a bare number of seconds (`2`, `0.5`).
///
/// # Errors
/// When the text is no duration, negative, or longer than a century.
pub fn parse_duration(text: &str) -> Result<Duration, TimeError> {
    const LONGEST_SECONDS: u64 = 100 * 366 * 24 * 3600;
    let trimmed = text.trim();
    let duration = match trimmed.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => trimmed
            .parse::<Span>()
            .and_then(|span| span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()))
            .ok()
            .and_then(|signed: SignedDuration| Duration::try_from(signed).ok()),
    };
    duration
        .filter(|d| d.as_secs() <= LONGEST_SECONDS)
        .ok_or_else(|| TimeError::Duration(text.to_owned()))
}

/// RFC 3339 in UTC with microseconds, always 27 characters: `2026-01-31T12:00:00.000000Z`.
/// Text in this form sorts as the times do.
pub fn rfc3339(us: i64) -> String {
    let at = clamped(us);
    format!("{at:.6}")
}

/// The time for a human column: `2026-01-31 12:00:00.000` in `zone`, with a `Z` behind it if that
/// is UTC.
pub fn human(us: i64, zone: &TimeZone) -> String {
    let at = zone.to_datetime(clamped(us));
    let mark = if *zone == TimeZone::UTC { "Z" } else { "" };
    let ms = at.subsec_nanosecond() / 1_000_000;
    format!("{}.{ms:03}{mark}", at.strftime("%Y-%m-%d %H:%M:%S"))
}

/// A length of time for a human: `850ms`, `4.2s`, `3m 20s`, `5h 12m`, `3d 4h`.
pub fn human_duration(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0 => format!("{}ms", length.as_millis()),
        1..60 => format!("{}.{}s", seconds, length.subsec_millis() / 100),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86400 => format!("{}h {}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {}h", seconds / 86400, seconds % 86400 / 3600),
    }
}

/// The same for a count of microseconds; none is negative.
pub fn human_duration_us(length_us: i64) -> String {
    human_duration(Duration::from_micros(length_us.max(0).unsigned_abs()))
}

/// Reads what [`rfc3339`] writes; `None` for anything else.
pub fn of_rfc3339(text: &str) -> Option<i64> {
    Some(text.parse::<Timestamp>().ok()?.as_microsecond())
}

/// The zone of this machine (`TZ`, `/etc/localtime`), or UTC if it has none or `utc` asks for it.
pub fn zone(utc: bool) -> TimeZone {
    if utc {
        return TimeZone::UTC;
    }
    TimeZone::try_system().unwrap_or(TimeZone::UTC)
}

fn clamped(us: i64) -> Timestamp {
    Timestamp::from_microsecond(us).unwrap_or(if us < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

fn zoned(us: i64, zone: &TimeZone) -> Option<Zoned> {
    let at = Timestamp::from_microsecond(us).ok()?;
    Some(at.to_zoned(zone.clone()))
}

fn named(text: &str, now: &Zoned) -> Option<Zoned> {
    match text.to_ascii_lowercase().as_str() {
        "now" => Some(now.clone()),
        "today" => now.start_of_day().ok(),
        "yesterday" => now.yesterday().ok()?.start_of_day().ok(),
        _ => None,
    }
}

/// Local date and time, date, or time of today.
fn civil(text: &str, now: &Zoned, zone: &TimeZone) -> Option<Zoned> {
    // A date and time would pass for a time too, the date ignored.
    if !text.contains('-')
        && let Ok(time) = text.parse::<Time>()
    {
        return now.date().to_datetime(time).to_zoned(zone.clone()).ok();
    }
    // A bare date parses as a date-time too, at midnight; a zone may have none on a day of change.
    if text.len() == "2026-01-31".len()
        && let Ok(date) = text.parse::<Date>()
    {
        return date.to_zoned(zone.clone()).ok()?.start_of_day().ok();
    }
    let at = text.parse::<DateTime>().ok()?;
    at.to_zoned(zone.clone()).ok()
}

/// A span counts back from now, with or without `ago`; a sign would only confuse.
fn before(text: &str, now: &Zoned) -> Option<Zoned> {
    if text.starts_with(['-', '+']) {
        return None;
    }
    let span = text.parse::<Span>().ok()?;
    now.checked_sub(span.abs()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-03-10T15:30:00Z";

    fn berlin() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a POSIX rule")
    }

    fn moment(text: &str) -> Result<String, TimeError> {
        let now: Timestamp = NOW.parse().expect("a constant");
        parse_moment(text, now.as_microsecond(), &berlin()).map(rfc3339)
    }

    #[test]
    fn moments_in_every_form() {
        for (text, expected) in [
            ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000000Z"),
            (
                "2026-01-31T12:00:00.25+01:00",
                "2026-01-31T11:00:00.250000Z",
            ),
            ("2026-01-31 12:00", "2026-01-31T11:00:00.000000Z"),
            ("2026-01-31T12:00:01", "2026-01-31T11:00:01.000000Z"),
            ("2026-07-01", "2026-06-30T22:00:00.000000Z"),
            ("08:15", "2026-03-10T07:15:00.000000Z"),
            ("15m", "2026-03-10T15:15:00.000000Z"),
            ("10m ago", "2026-03-10T15:20:00.000000Z"),
            ("1d12h", "2026-03-09T03:30:00.000000Z"),
            ("2 hours ago", "2026-03-10T13:30:00.000000Z"),
            ("today", "2026-03-09T23:00:00.000000Z"),
            ("Yesterday", "2026-03-08T23:00:00.000000Z"),
            ("now", "2026-03-10T15:30:00.000000Z"),
        ] {
            assert_eq!(moment(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_says_how_to_write_one() {
        for text in ["", "soon", "2026-13-01", "-15m", "25:00", "99999y"] {
            let error = moment(text).expect_err(text).to_string();
            assert!(error.contains("2h ago"), "{error}");
        }
    }

    #[test]
    fn durations() {
        for (text, ms) in [
            ("30s", 30_000),
            ("500ms", 500),
            ("1h30m", 5_400_000),
            ("2", 2_000),
            ("0.5", 500),
            ("1d", 86_400_000),
            ("0", 0),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(ms)),
                "{text}"
            );
        }
        for text in [
            "", "-1", "-3s", "soon", "1mo", "nan", "inf", "1e300", "101y",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn columns() {
        assert_eq!(human(1_500_000, &TimeZone::UTC), "1970-01-01 00:00:01.500Z");
        assert_eq!(human(1_500_999, &berlin()), "1970-01-01 01:00:01.500");
        assert_eq!(rfc3339(1), "1970-01-01T00:00:00.000001Z");
        assert_eq!(rfc3339(i64::MAX).len(), 27);
    }

    #[test]
    fn lengths() {
        for (ms, expected) in [
            (850, "850ms"),
            (4_230, "4.2s"),
            (200_000, "3m 20s"),
            (18_720_000, "5h 12m"),
            (273_600_000, "3d 4h"),
        ] {
            assert_eq!(human_duration(Duration::from_millis(ms)), expected);
        }
    }
}
