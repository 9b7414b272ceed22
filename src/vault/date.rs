//! The dates in `Expires`, read as leniently as browsers do (RFC 6265bis §5.1.1).

use crate::clock::Timestamp;

/// The moment that `text` names; nothing if it names none. A moment before 1970 is 1970.
pub(super) fn parse(text: &[u8]) -> Option<Timestamp> {
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    for token in text.split(|byte| is_delimiter(*byte)).filter(|token| !token.is_empty()) {
        if time.is_none()
            && let Some(found) = time_of(token)
        {
            time = Some(found);
        } else if day.is_none()
            && let Some(found) = number(token, 1..=2)
        {
            day = Some(found);
        } else if month.is_none()
            && let Some(found) = month_of(token)
        {
            month = Some(found);
        } else if year.is_none()
            && let Some(found) = number(token, 2..=4)
        {
            year = Some(found);
        }
    }
    let year = match year? {
        short @ 70..=99 => short + 1900,
        short @ 0..=69 => short + 2000,
        year => year,
    };
    let ((hour, minute, second), day, month) = (time?, day?, month?);
    if !(1..=31).contains(&day) || year < 1601 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_since_1970(year, month, day)?;
    let secs = u64::try_from(days).ok().map_or(0, |days| days * 86_400 + hour * 3600 + minute * 60 + second);
    Some(Timestamp::from_millis(secs * 1000))
}

fn is_delimiter(byte: u8) -> bool {
    matches!(byte, 0x09 | 0x20..=0x2f | 0x3b..=0x40 | 0x5b..=0x60 | 0x7b..=0x7e)
}

/// A number of so many digits that ends the token, or is followed by what is no digit.
fn number(token: &[u8], digits: std::ops::RangeInclusive<usize>) -> Option<u64> {
    let count = token.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let value = token.get(..count)?.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
    digits.contains(&count).then_some(value)
}

fn time_of(token: &[u8]) -> Option<(u64, u64, u64)> {
    let mut parts = token.splitn(3, |byte| *byte == b':');
    let mut whole = || parts.next().filter(|part| part.iter().all(u8::is_ascii_digit));
    let (hour, minute) = (number(whole()?, 1..=2)?, number(whole()?, 1..=2)?);
    Some((hour, minute, number(parts.next()?, 1..=2)?))
}

fn month_of(token: &[u8]) -> Option<u64> {
    const NAMES: [&[u8; 3]; 12] =
        [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];
    let name = token.first_chunk::<3>()?.to_ascii_lowercase();
    let place = NAMES.iter().position(|known| **known == *name)?;
    u64::try_from(place + 1).ok()
}

/// Nothing for a day that the month does not have.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<i64> {
    let date = time::Date::from_calendar_date(
        i32::try_from(year).ok()?,
        time::Month::try_from(u8::try_from(month).ok()?).ok()?,
        u8::try_from(day).ok()?,
    );
    Some(
        i64::from(date.ok()?.to_julian_day())
            - i64::from(time::macros::date!(1970 - 01 - 01).to_julian_day()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_dates_are_read() {
        let cases: &[(&str, Option<u64>)] = &[
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777)),
            ("Sun Nov  6 08:49:37 1994", Some(784_111_777)),
            ("Sun, 06-Nov-1994 08:49:37 GMT", Some(784_111_777)),
            ("6 nov 1994 8:49:37", Some(784_111_777)),
            ("1994 06 november 08:49:37", Some(784_111_777)),
            ("94 Nov 06 08:49:37", None),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Thu, 01-Jan-1970 00:00:01 GMT", Some(1)),
            ("Mon, 01 Jan 1601 00:00:00 GMT", Some(0)),
            ("Mon, 01 Jan 1600 00:00:00 GMT", None),
            ("01 Jan 69 00:00:00", Some(3_124_224_000)),
            ("01 Jan 70 00:00:00", Some(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(253_402_300_799)),
            ("Wed, 29 Feb 2023 00:00:00 GMT", None),
            ("Thu, 29 Feb 2024 00:00:00 GMT", Some(1_709_164_800)),
            ("Thu, 32 Jan 2024 00:00:00 GMT", None),
            ("Thu, 01 Jan 2024 24:00:00 GMT", None),
            ("Thu, 01 Jan 2024 00:60:00 GMT", None),
            ("Thu, 01 Jan 2024 00:00:60 GMT", None),
            ("Thu, 01 Jan 2024", None),
            ("00:00:00 01 Jan", None),
            ("Thu, 01 Jan 20240 00:00:00", None),
            ("0", None),
            ("", None),
            ("Thu,01/Jan/2024;00:00:00", Some(1_704_067_200)),
            ("Thu, 1st Jan 2024 00:00:00x GMT", Some(1_704_067_200)),
        ];
        for (text, secs) in cases {
            assert_eq!(parse(text.as_bytes()).map(Timestamp::as_secs), *secs, "{text:?}");
        }
    }
}
