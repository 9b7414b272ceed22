//! What people read: reasons and durations in plain words.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::login::target::Reason;
use crate::session::lifetime::Why;

/// Why somebody stands before the login page, without a word about how sessions are guarded; `user` is who is signed
/// in.
pub(crate) fn because(reason: Reason, user: Option<&str>) -> Option<String> {
    match (reason, user) {
        (Reason::NoSession, _) => None,
        (Reason::Ended(why), _) => Some(format!("{} Sign in to go on where you were.", ended(why))),
        (Reason::Fresh, Some(user)) => Some(format!(
            "You are signed in as {user}. What you opened asks for a recent sign-in: please confirm that it is you."
        )),
        (Reason::Fresh, None) => {
            Some("What you opened asks for a recent sign-in: please confirm that it is you.".to_owned())
        }
    }
}

/// The same for somebody whose form is held.
pub(crate) fn kept(because: Option<&str>) -> String {
    const KEPT: &str = "What you sent is kept, and has not been sent on: once you are signed in, you are asked whether to send it.";
    because.map_or_else(|| KEPT.to_owned(), |because| format!("{because} {KEPT}"))
}

/// What ended a session.
pub(crate) const fn ended(why: Why) -> &'static str {
    match why {
        Why::Idle => "You were signed out because nothing happened for a while.",
        Why::Absolute => "You were signed out because your session reached its longest time.",
        Why::LoggedOut => "You signed out.",
        Why::Replaced => "Your earlier session ended because somebody signed in anew in this browser.",
        Why::UserRemoved => "You were signed out because your account was changed.",
        Why::Administrator => "You were signed out by an administrator.",
        Why::OtherGateway | Why::NotHeard => "You were signed out.",
        Why::VaultLost => {
            "You were signed out because what belongs to your session could not be read any more."
        }
        Why::TooMany => "You were signed out because you signed in on as many devices as you may.",
        Why::Stolen => {
            "You were signed out because somebody else may have used your session. If that was not you with an old copy of your browser, change your password."
        }
        Why::EndedElsewhere => {
            "You were signed out from another browser, by somebody signed in as you. If that was not you, change your password."
        }
    }
}

/// How long ago something was, as roughly as people say it.
pub(crate) fn ago(then: Timestamp, now: Timestamp) -> String {
    const UNITS: [(u64, &str); 3] = [(24 * 3600, "day"), (3600, "hour"), (60, "minute")];
    let seconds = now.since(then).as_secs();
    let unit = UNITS.iter().find(|(length, _)| seconds >= *length);
    unit.map_or_else(
        || "just now".to_owned(),
        |(length, name)| format!("{} ago", counted(seconds / length, name)),
    )
}

/// A moment to the minute; the server does not know where its reader lives, so in UTC.
pub(crate) fn moment(at: Timestamp) -> String {
    const FORM: &[time::format_description::BorrowedFormatItem<'_>] = time::macros::format_description!(
        "[day padding:none] [month repr:short] [year], [hour]:[minute] UTC"
    );
    let seconds = i64::try_from(at.as_secs()).ok();
    let moment = seconds.and_then(|seconds| time::OffsetDateTime::from_unix_timestamp(seconds).ok());
    moment.and_then(|moment| moment.format(FORM).ok()).unwrap_or_else(|| "unknown".to_owned())
}

/// A duration as a person says it: at most two units, rounded up to a second.
pub(crate) fn duration(duration: Duration) -> String {
    const UNITS: [(u64, &str); 3] = [(3600, "hour"), (60, "minute"), (1, "second")];
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    if seconds >= 48 * 3600 && seconds.is_multiple_of(24 * 3600) {
        return counted(seconds / (24 * 3600), "day");
    }
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (length, name) in UNITS {
        if rest >= length && parts.len() < 2 {
            parts.push(counted(rest / length, name));
        }
        rest %= length;
    }
    if parts.is_empty() {
        return counted(0, "second");
    }
    parts.join(" ")
}

/// So many of something.
pub(crate) fn counted(number: u64, unit: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {unit}{plural}")
}

/// A wait as it stands in `Retry-After`: whole seconds, at least one.
pub(crate) fn retry_after(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        for (seconds, text) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (90, "1 minute 30 seconds"),
            (1800, "30 minutes"),
            (3600, "1 hour"),
            (5400, "1 hour 30 minutes"),
            (86_400, "24 hours"),
            (172_800, "2 days"),
            (3661, "1 hour 1 minute"),
        ] {
            assert_eq!(duration(Duration::from_secs(seconds)), text);
        }
        assert_eq!(duration(Duration::from_millis(1)), "1 second");
        assert_eq!(retry_after(Duration::from_millis(1)), 1);
        assert_eq!(retry_after(Duration::from_millis(1001)), 2);
    }

    #[test]
    fn moments_read_as_people_say_them() {
        let at = |seconds: u64| Timestamp::from_millis(1_700_000_000_000 + seconds * 1000);
        for (seconds, text) in [
            (0, "just now"),
            (59, "just now"),
            (60, "1 minute ago"),
            (3 * 3600 + 59 * 60, "3 hours ago"),
            (49 * 3600, "2 days ago"),
        ] {
            assert_eq!(ago(at(0), at(seconds)), text);
        }
        assert_eq!(ago(at(5), at(0)), "just now");
        assert_eq!(moment(at(0)), "14 Nov 2023, 22:13 UTC");
        assert_eq!(moment(Timestamp::END), "unknown");
    }
}
