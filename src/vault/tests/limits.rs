//! What a jar costs: how much it holds, and when others must hear of a change.

use super::NOW;
use super::after;
use super::sent;
use super::set;
use crate::clock::Timestamp;
use crate::vault::Cookie;
use crate::vault::Jar;
use crate::vault::Place;
use crate::vault::Refused;
use crate::vault::Room;

const HOME: (&str, &str) = ("app.example", "/");

fn changed(jar: &mut Jar, line: &str, now: Timestamp) -> bool {
    set(jar, HOME, line, now).unwrap().changed
}

#[test]
fn the_least_recently_used_cookie_makes_room() {
    let mut jar = Jar::default();
    for number in 0..50 {
        assert_eq!(
            set(&mut jar, HOME, &format!("c{number}=x; Path=/{number}"), after(number)).unwrap().evicted,
            0
        );
    }
    assert_eq!(sent(&mut jar, ("app.example", "/0"), after(60)), "c0=x");
    assert_eq!(set(&mut jar, HOME, "more=x", after(61)).unwrap().evicted, 1);
    assert_eq!(jar.cookies().count(), 50);
    // The first was used since; the second has made room.
    assert_eq!(sent(&mut jar, ("app.example", "/0"), after(62)), "c0=x; more=x");
    assert_eq!(sent(&mut jar, ("app.example", "/1"), after(62)), "more=x");
}

#[test]
fn many_large_cookies_take_no_more_than_their_room() {
    let mut jar = Jar::default();
    let large = "v".repeat(4000);
    for number in 0..60 {
        set(&mut jar, HOME, &format!("c{number}={large}"), after(number)).unwrap();
        assert!(jar.size() <= Room::OF_SESSION.bytes);
    }
    assert!(sent(&mut jar, HOME, after(60)).contains("c59="));
    let small = Room { cookies: 50, bytes: 100 };
    let host = crate::net::Host::parse("app.example").unwrap();
    let place = Place { host: &host, path: "/", cross_site: false };
    let cookie = Cookie::parse(format!("x={large}").as_bytes(), &place, NOW).unwrap();
    assert_eq!(jar.store(cookie, small, NOW).unwrap_err(), Refused::NoRoom);
}

#[test]
fn what_is_over_makes_room_before_what_lives() {
    let mut jar = Jar::default();
    set(&mut jar, HOME, "old=1", NOW).unwrap();
    set(&mut jar, HOME, "brief=1; Max-Age=5", after(1)).unwrap();
    for number in 0..48 {
        set(&mut jar, HOME, &format!("c{number}=x"), after(2)).unwrap();
    }
    assert_eq!(set(&mut jar, HOME, "more=x", after(10)).unwrap().evicted, 0);
    assert!(sent(&mut jar, HOME, after(10)).starts_with("old=1; c0=x"));
}

#[test]
fn a_cookie_that_is_set_again_and_again_is_no_news() {
    let mut jar = Jar::default();
    assert!(changed(&mut jar, "sid=1; Max-Age=1800", NOW));
    // Express `rolling`: a thirtieth of half an hour is a minute.
    for second in 1..=60 {
        assert!(!changed(&mut jar, "sid=1; Max-Age=1800", after(second)), "{second}");
    }
    assert!(changed(&mut jar, "sid=1; Max-Age=1800", after(61)));
    assert!(!changed(&mut jar, "sid=1; Max-Age=1800", after(62)));
    // Kept longer here all the same.
    assert_eq!(sent(&mut jar, HOME, after(62 + 1799)), "sid=1");
    assert_eq!(sent(&mut jar, HOME, after(62 + 1800)), "");
}

#[test]
fn another_value_an_earlier_end_and_a_deletion_are_news() {
    let mut jar = Jar::default();
    assert!(changed(&mut jar, "a=1", NOW));
    assert!(!changed(&mut jar, "a=1", after(1)));
    assert!(changed(&mut jar, "a=2", after(1)));
    assert!(changed(&mut jar, "a=2; SameSite=Strict", after(1)));
    assert!(changed(&mut jar, "a=2; SameSite=Strict; Max-Age=86400", after(1)));
    assert!(changed(&mut jar, "a=2; SameSite=Strict; Max-Age=60", after(1)));
    assert!(changed(&mut jar, "a=2; Max-Age=0", after(1)));
    assert!(!changed(&mut jar, "a=2; Max-Age=0", after(1)));
}

#[test]
fn a_session_that_is_signed_anew_with_every_answer_is_news_once_a_while() {
    let flask = |at: u64, end: &str| {
        let time = crate::crypto::base64url(&after(at).as_secs().to_be_bytes()[4..]);
        format!("session=eyJ1IjoiYW5uIn0.{time}.{at:027}{end}")
    };
    let mut jar = Jar::default();
    assert!(changed(&mut jar, &flask(0, ""), NOW));
    for second in 1..60 {
        assert!(!changed(&mut jar, &flask(second, ""), after(second)));
        assert!(sent(&mut jar, HOME, after(second)).ends_with(&format!("{second:02}")));
    }
    assert!(changed(&mut jar, &flask(60, ""), after(60)));
    // `permanent`: the end moves with it, by a thirtieth of a month within a day.
    let mut jar = Jar::default();
    let month = "; Max-Age=2678400";
    assert!(changed(&mut jar, &flask(0, month), NOW));
    assert!(!changed(&mut jar, &flask(80_000, month), after(80_000)));
    assert!(changed(&mut jar, &flask(90_000, month), after(90_000)));
}

#[test]
fn a_jar_survives_being_written_down() {
    let mut jar = Jar::default();
    for line in ["a=1; Path=/x; Max-Age=77", "b=\u{e9}; Domain=app.example", "c", "d=4; SameSite=Strict"] {
        set(&mut jar, HOME, line, NOW).unwrap();
    }
    let bytes = jar.to_bytes();
    let read = Jar::from_bytes(&bytes).unwrap();
    assert_eq!(format!("{read:?}"), format!("{jar:?}"));
    assert_eq!(read.to_bytes(), bytes);
    for place in 0..bytes.len() {
        // Whatever it becomes, it is no panic.
        drop(Jar::from_bytes(&bytes[..place]));
    }
    assert!(Jar::from_bytes(b"").is_none() && Jar::from_bytes(&[9; 40]).is_none());
}
