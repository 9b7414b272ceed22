//! What hyper reads in place of a head that is refused: a request for nothing. Of a head that is clean but too large it
//! keeps the words by which we know who asks, so that a person whose cookies have grown is told in a page what to do,
//! and a script in JSON.

use crate::server::refusal::Refusal;
use crate::syntax;

const BEGIN: &[u8] = b"GET / HTTP/1.1\r\nhost: refused.invalid\r\nconnection: close\r\n";
const END: &[u8] = b"\r\n";

const TELLING: [&[u8]; 4] = [b"accept", b"sec-fetch-dest", b"sec-fetch-mode", b"x-requested-with"];
// Browsers say it in far less.
const LONGEST: usize = 512;

/// The stand-in for `head`, as far as it was read.
pub(super) fn of(head: &[u8], refusal: Refusal) -> Vec<u8> {
    let mut all = BEGIN.to_vec();
    if refusal == Refusal::HeadTooLarge {
        for line in TELLING.iter().filter_map(|name| find(head, name)) {
            all.extend_from_slice(line);
        }
    }
    all.extend_from_slice(END);
    all
}

/// The first whole line of this name, behind the request line.
fn find<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    head.split_inclusive(|byte| *byte == b'\n').skip(1).find(|line| is_field(line, name))
}

fn is_field(line: &[u8], name: &[u8]) -> bool {
    let Some((start, rest)) = line.split_at_checked(name.len()) else { return false };
    let value = rest.strip_prefix(b":").and_then(|rest| rest.strip_suffix(b"\r\n"));
    start.eq_ignore_ascii_case(name)
        && value.is_some_and(|value| value.len() <= LONGEST && syntax::is_value(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] =
        b"POST /x HTTP/1.1\r\nHost: app\r\nAccept: text/html\r\nCookie: a=b\r\nSec-Fetch-Mode: navi";

    #[test]
    fn who_asks_is_kept_of_a_head_that_is_too_large() {
        let stand_in = of(HEAD, Refusal::HeadTooLarge);
        assert_eq!(stand_in, [BEGIN, b"Accept: text/html\r\n\r\n"].concat());
    }

    #[test]
    fn of_a_head_that_is_not_clean_nothing_is_kept() {
        assert_eq!(of(HEAD, Refusal::BadRequest("x")), [BEGIN, END].concat());
        for dirty in [
            &b"x\r\naccept: a\n\r\n"[..],
            b"x\r\naccept : a\r\n",
            b"x\r\naccept: a\x01\r\n",
            b"accept: a\r\n",
        ] {
            assert_eq!(of(dirty, Refusal::HeadTooLarge), [BEGIN, END].concat(), "{dirty:?}");
        }
    }
}
