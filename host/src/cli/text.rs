//! Times, spans and ids as people write and read them.

use std::time::Duration;

use jiff::Timestamp;
use ladder::time::UnixMillis;

/// A point in time, in UTC to the second.
pub(super) fn time(at: UnixMillis) -> String {
    let timestamp = i64::try_from(at.0).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    timestamp.map_or_else(|| "beyond the calendar".to_owned(), |timestamp| timestamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// A span in its two largest units: "61 d 3 h", "4 s".
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, 0, _) => format!("{days} d"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// Reads "90d", "12h", "30m", "45s".
pub(super) fn parse_span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no span: write it as in 90d, 12h, 30m or 45s");
    let (number, seconds) = match text.char_indices().next_back() {
        Some((end, 'd')) => (&text[..end], 86_400),
        Some((end, 'h')) => (&text[..end], 3_600),
        Some((end, 'm')) => (&text[..end], 60),
        Some((end, 's')) => (&text[..end], 1),
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().ok().filter(|number| *number > 0).ok_or_else(wrong)?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

/// Reads a point in time: "2026-11-23T14:00:00Z", "2026-11-23 14:00" and "2026-11-23" (both in UTC), "2h ago", "now".
pub(super) fn parse_time(text: &str, now: UnixMillis) -> Result<UnixMillis, String> {
    let wrong = || format!("`{text}` is no time: write 2026-11-23T14:00:00Z, 2026-11-23 14:00 or 2026-11-23 (in UTC), \"2h ago\" or now");
    let in_utc = |moment: jiff::civil::DateTime| moment.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    let trimmed = text.trim();
    let relative = || {
        let span: jiff::Span = trimmed.ends_with("ago").then(|| trimmed.parse().ok()).flatten()?;
        let now = Timestamp::from_millisecond(i64::try_from(now.0).ok()?).ok()?;
        Some(now.to_zoned(jiff::tz::TimeZone::UTC).checked_add(span).ok()?.timestamp())
    };
    if trimmed == "now" {
        return Ok(now);
    }
    let timestamp = trimmed.parse::<Timestamp>().ok().or_else(|| trimmed.parse().ok().and_then(in_utc)).or_else(relative);
    let ms = timestamp.and_then(|timestamp| u64::try_from(timestamp.as_millisecond()).ok());
    ms.map(UnixMillis).ok_or_else(wrong)
}

/// Text that others chose, safe for a terminal: control characters are escaped.
pub(super) fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

/// The first and last digits of a long id.
pub(super) fn short(id: &str) -> String {
    if id.len() <= 12 || !id.is_ascii() { id.to_owned() } else { format!("{}..{}", &id[..8], &id[id.len() - 2..]) }
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_nothing_else_is() {
        for (text, seconds) in [("90d", 7_776_000), ("12h", 43_200), ("30m", 1_800), ("45s", 45)] {
            assert_eq!(parse_span(text).expect(text).as_secs(), seconds, "{text}");
        }
        for text in ["", "d", "0d", "-1d", "9", "1w", "99999999999999999999d", "9999999999999999999d", "1é"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn points_in_time_are_read_and_nothing_else_is() {
        let now = UnixMillis(1_750_000_000_000);
        for (text, seconds) in [
            ("now", 1_750_000_000),
            ("2025-06-15T15:06:40Z", 1_750_000_000),
            ("2025-06-15T17:06:40+02:00", 1_750_000_000),
            ("2025-06-15 15:06", 1_749_999_960),
            ("2025-06-15", 1_749_945_600),
            ("2h ago", 1_749_992_800),
            ("3 days 1h ago", 1_749_737_200),
        ] {
            assert_eq!(parse_time(text, now).expect(text).0, seconds * 1_000, "{text}");
        }
        for text in ["", "yesterday", "2h", "15.6.2025", "1960-01-01", "2025-06-15T25:00:00Z", "ago"] {
            assert!(parse_time(text, now).is_err(), "{text}");
        }
    }

    #[test]
    fn times_and_spans_read_well() {
        assert_eq!(time(UnixMillis(1_750_000_000_000)), "2025-06-15T15:06:40Z");
        assert_eq!(time(UnixMillis(u64::MAX)), "beyond the calendar");
        for (seconds, text) in [(4, "4 s"), (90, "1 min"), (7_260, "2 h 1 min"), (86_400, "1 d"), (100_000, "1 d 3 h")] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }
}
