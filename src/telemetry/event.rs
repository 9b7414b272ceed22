//! Every auditable event: its name, how grave it is, how it ended, and what is said about it.
//!
//! Names are those of the OWASP Application Logging Vocabulary. Where it has none, ours follow its style (subsystem,
//! thing, what became of it): `session_logout`, `session_revoked`, `session_token_rejected`, `malicious_csrf`, `authz_fail_observed` and
//! all of `sys_*` but `sys_startup`, `sys_shutdown` and `sys_crash`. Levels are ours: `CRITICAL` is for what somebody
//! should be woken for, `WARN` for what a browser does not do by itself.

use crate::telemetry::line::Key;
use crate::telemetry::line::Line;

/// How grave an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Belongs to an ordinary day.
    Info,
    /// Worth a look.
    Warn,
    /// Worth waking somebody.
    Critical,
}

impl Level {
    /// The level as it stands in a line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Critical => "CRITICAL",
        }
    }
}

/// How the thing an event tells of ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Success,
    /// It was tried and did not work.
    Failure,
    /// The gateway said no.
    Refused,
    /// The gateway let it pass, and would have said no if it had been told to enforce.
    Allowed,
}

impl Outcome {
    /// The outcome as it stands in a line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Refused => "refused",
            Self::Allowed => "allowed",
        }
    }
}

/// Something that an auditor may ask about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Somebody has a session.
    SessionCreated,
    /// It goes on with what a session of the same user kept, which had idled out in the same browser.
    SessionResumed,
    /// A session that was begun on the login's own host is good on a site too.
    SessionHandedOver,
    /// Somebody came back from the login with a code that is no good, or not theirs.
    HandoverRefused {
        /// What was wrong with it.
        reason: &'static str,
    },
    /// A session is over without its user's doing.
    SessionExpired {
        /// Why: idle, absolute, replaced, …
        reason: &'static str,
    },
    /// Somebody ended their session.
    SessionLogout,
    /// Somebody ended another of their own sessions.
    SessionRevoked {
        /// The id of the one that was ended.
        target: &'a str,
    },
    /// The cookie of a session that is over was sent.
    SessionUseAfterExpire {
        /// Why it is over.
        reason: &'static str,
    },
    /// A form that came when its session was over is held for its person.
    FormHeld,
    /// It is not.
    FormNotHeld {
        /// Why.
        reason: &'static str,
    },
    /// A form that was held was sent on, as its person asked.
    FormSent,
    /// It was asked for, and nothing was sent on.
    FormNotSent {
        /// Why.
        reason: &'static str,
    },
    /// A form that was held is gone.
    FormDropped {
        /// Why.
        reason: &'static str,
    },
    /// Somebody proved who they are.
    LoginSuccess,
    /// The same, after attempts that failed.
    LoginSuccessAfterFail {
        /// How many failed.
        failures: u32,
    },
    /// Somebody did not prove who they are.
    LoginFail {
        /// What was wrong.
        reason: &'static str,
    },
    /// An account or an address used up its attempts.
    LoginFailMax {
        /// How many it had.
        limit: u32,
    },
    /// An attempt was refused unseen because of those before it.
    LoginLocked {
        /// Seconds until the next may be made.
        wait_secs: u64,
    },
    /// Somebody changed their password.
    PasswordChange,
    /// Somebody failed to.
    PasswordChangeFail {
        /// What was wrong.
        reason: &'static str,
    },
    /// Somebody known asked for what is not theirs.
    AuthzFail {
        /// What the rule asks for.
        required: &'a str,
    },
    /// Another site's page made the browser send this.
    MaliciousCsrf {
        /// What gave it away.
        reason: &'static str,
        /// Whether it was refused.
        enforced: bool,
    },
    /// Somebody who runs the gateway looked at sessions, or ended them.
    Administration {
        /// Who: a user id of this machine, as `uid:0`.
        actor: &'a str,
        /// What was done.
        action: &'static str,
        /// How many sessions it ended; nothing for what ends none.
        ended: Option<usize>,
    },
    /// Too much of something.
    RateLimitExceeded {
        /// Which limit.
        limit: &'static str,
    },
    /// No room for another session.
    ExcessSessions {
        /// How many there may be.
        limit: usize,
    },
    /// A request that no honest client sends.
    InputRejected {
        /// What was wrong with it.
        reason: &'a str,
    },
    /// A client sent a header that only the gateway may set; it was taken out.
    IdentityHeaderStripped {
        /// The header's name.
        name: &'a str,
    },
    /// Our cookie came in a form we never give out.
    SessionCookieRejected {
        /// What was wrong with it.
        reason: &'static str,
    },
    /// The app set a cookie that no browser would keep either; it is not kept.
    AppCookieDropped {
        /// The cookie's name.
        name: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// The app set more cookies than are kept: the least recently used are gone.
    AppCookieEvicted {
        /// How many.
        cookies: usize,
    },
    /// A cookie that scripts seem to read is in the vault, where they cannot: told once.
    AppCookieHidden {
        /// The cookie's name.
        name: &'a str,
        /// What that may break, and what to write then.
        reason: &'a str,
    },
    /// A cookie of the app's was not made as safe as it could be, for the app's sake: told once.
    AppCookieLeft {
        /// The cookie's name.
        name: &'a str,
        /// What it still lacks.
        reason: &'a str,
    },
    /// A site in observe mode let pass what it would refuse.
    WouldRefuse {
        /// What it would have done.
        what: &'static str,
    },
    /// The app did not answer, or not in HTTP.
    UpstreamFailed {
        /// What happened.
        reason: &'a str,
    },
    /// The session store did not answer.
    StoreFailed {
        /// What happened.
        reason: &'a str,
    },
    /// The session store that gateways share can be asked, for the first time or again.
    StoreConnected,
    /// The gateway serves.
    Startup {
        /// Its version.
        version: &'static str,
    },
    /// The gateway stops.
    Shutdown {
        /// Connections that did not end by themselves.
        cut: usize,
    },
    /// Something in the gateway broke that must not break; it goes on.
    Crash {
        /// What happened.
        reason: &'a str,
    },
    /// A new certificate is in use.
    CertificateReloaded {
        /// Its file.
        file: &'a str,
    },
    /// A new certificate cannot be used; the old one stays.
    CertificateReloadFailed {
        /// Its file.
        file: &'a str,
        /// What is wrong with it.
        reason: &'a str,
    },
    /// A new users file is in use.
    UsersReloaded {
        /// How many users it names.
        users: usize,
    },
    /// A new users file cannot be used; the old users stay.
    UsersReloadFailed {
        /// What is wrong with it.
        reason: &'a str,
    },
    /// So many events of one kind were too many to write; the audit log says this itself.
    Suppressed {
        /// The kind.
        kind: Kind,
        /// How many.
        events: u64,
    },
    /// Audit lines did not reach their place; the audit log says this itself as soon as it can.
    AuditLost {
        /// How many since this was last said.
        lines: u64,
        /// How many since the start.
        total: u64,
    },
}

/// Declares the kinds as a table, so that none can be without a name, a level, an outcome and a volume.
macro_rules! kinds {
    ($($kind:ident $name:literal $level:ident $outcome:ident $volume:ident;)+) => {
        /// An event without its particulars.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each is described at the `Event` of the same name")]
        pub enum Kind { $($kind,)+ }

        impl Kind {
            /// All of them, in the order of their numbers.
            pub const ALL: [Self; [$($name,)+].len()] = [$(Self::$kind,)+];

            /// The name in the logging vocabulary.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)+ }
            }

            /// How grave it is.
            pub const fn level(self) -> Level {
                match self { $(Self::$kind => Level::$level,)+ }
            }

            const fn outcome(self) -> Outcome {
                match self { $(Self::$kind => Outcome::$outcome,)+ }
            }

            const fn volume(self) -> Volume {
                match self { $(Self::$kind => Volume::$volume,)+ }
            }
        }

        impl Event<'_> {
            /// What kind of event this is.
            pub const fn kind(&self) -> Kind {
                match self { $(Self::$kind { .. } => Kind::$kind,)+ }
            }
        }
    };
}

/// How much of a kind is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Volume {
    /// Every one.
    Each,
    /// So many a second, and then a count: a client can cause as many as it likes at no cost of its own.
    Limited,
}

kinds! {
    SessionCreated          "session_created"             Info     Success Each;
    SessionResumed          "session_resumed"             Info     Success Each;
    SessionHandedOver       "session_handover"            Info     Success Each;
    HandoverRefused         "session_handover_fail"       Warn     Refused Limited;
    SessionExpired          "session_expired"             Info     Success Each;
    SessionLogout           "session_logout"              Info     Success Each;
    SessionRevoked          "session_revoked"             Info     Success Each;
    SessionUseAfterExpire   "session_use_after_expire"    Warn     Refused Limited;
    FormHeld                "form_held"                   Info     Success Limited;
    FormNotHeld             "form_held_fail"              Info     Failure Limited;
    FormSent                "form_sent"                   Info     Success Each;
    FormNotSent             "form_sent_fail"              Info     Refused Limited;
    FormDropped             "form_dropped"                Info     Success Each;
    LoginSuccess            "authn_login_success"         Info     Success Each;
    LoginSuccessAfterFail   "authn_login_successafterfail" Info    Success Each;
    LoginFail               "authn_login_fail"            Warn     Failure Each;
    LoginFailMax            "authn_login_fail_max"        Warn     Refused Each;
    LoginLocked             "authn_login_lock"            Warn     Refused Each;
    PasswordChange          "authn_password_change"       Info     Success Each;
    PasswordChangeFail      "authn_password_change_fail"  Warn     Failure Each;
    AuthzFail               "authz_fail"                  Warn     Refused Limited;
    Administration          "authz_admin"                 Warn     Success Each;
    MaliciousCsrf           "malicious_csrf"              Warn     Refused Limited;
    RateLimitExceeded       "excess_rate_limit_exceeded"  Warn     Refused Limited;
    ExcessSessions          "excess_sessions_exceeded"    Critical Refused Limited;
    InputRejected           "input_validation_fail"       Warn     Refused Limited;
    IdentityHeaderStripped  "malicious_extraneous"        Warn     Refused Limited;
    SessionCookieRejected   "session_token_rejected"      Warn     Refused Limited;
    AppCookieLeft           "app_cookie_left"             Info     Allowed Limited;
    AppCookieHidden         "app_cookie_hidden"           Info     Allowed Limited;
    AppCookieDropped        "app_cookie_dropped"          Warn     Failure Limited;
    AppCookieEvicted        "app_cookie_evicted"          Warn     Success Limited;
    WouldRefuse             "authz_fail_observed"         Info     Allowed Limited;
    UpstreamFailed          "sys_upstream_fail"           Warn     Failure Limited;
    StoreFailed             "sys_store_fail"              Critical Failure Limited;
    StoreConnected          "sys_store_connected"         Warn     Success Each;
    Startup                 "sys_startup"                 Warn     Success Each;
    Shutdown                "sys_shutdown"                Warn     Success Each;
    Crash                   "sys_crash"                   Critical Failure Limited;
    CertificateReloaded     "sys_certificate_reload"      Info     Success Each;
    CertificateReloadFailed "sys_certificate_reload_fail" Critical Failure Each;
    UsersReloaded           "sys_users_reload"            Info     Success Each;
    UsersReloadFailed       "sys_users_reload_fail"       Critical Failure Each;
    Suppressed              "sys_audit_suppressed"        Warn     Success Each;
    AuditLost               "sys_audit_lost"              Critical Failure Each;
}

impl Kind {
    /// Whether there is an upper limit to the lines of this kind in a second.
    pub fn is_limited(self) -> bool {
        self.volume() == Volume::Limited
    }
}

impl Event<'_> {
    /// How the thing ended.
    pub const fn outcome(&self) -> Outcome {
        if let Self::MaliciousCsrf { enforced: false, .. } = self {
            return Outcome::Allowed;
        }
        self.kind().outcome()
    }

    /// Adds what is particular to this event.
    #[expect(
        clippy::match_same_arms,
        reason = "fixed words and free texts differ in their lifetimes and cannot share a pattern"
    )]
    pub(crate) fn particulars(&self, line: &mut Line<'_>) {
        let reason = Key::Named("reason");
        match *self {
            Self::SessionCreated
            | Self::SessionResumed
            | Self::SessionHandedOver
            | Self::SessionLogout
            | Self::FormHeld
            | Self::FormSent
            | Self::LoginSuccess
            | Self::PasswordChange
            | Self::StoreConnected => {}
            Self::SessionExpired { reason: text }
            | Self::HandoverRefused { reason: text }
            | Self::SessionUseAfterExpire { reason: text }
            | Self::FormNotHeld { reason: text }
            | Self::FormNotSent { reason: text }
            | Self::FormDropped { reason: text }
            | Self::LoginFail { reason: text }
            | Self::PasswordChangeFail { reason: text }
            | Self::MaliciousCsrf { reason: text, .. }
            | Self::SessionCookieRejected { reason: text }
            | Self::WouldRefuse { what: text }
            | Self::RateLimitExceeded { limit: text } => line.text(reason, text),
            Self::InputRejected { reason: text }
            | Self::UpstreamFailed { reason: text }
            | Self::StoreFailed { reason: text }
            | Self::Crash { reason: text }
            | Self::UsersReloadFailed { reason: text } => line.text(reason, text),
            Self::LoginSuccessAfterFail { failures } => {
                line.number(Key::Named("failures"), failures.into());
            }
            Self::LoginFailMax { limit } => line.number(Key::Named("limit"), limit.into()),
            Self::ExcessSessions { limit } => line.number(Key::Named("limit"), limit as u64),
            Self::LoginLocked { wait_secs } => line.number(Key::Named("wait_seconds"), wait_secs),
            Self::Administration { actor, action, ended } => administration(line, (actor, action), ended),
            Self::SessionRevoked { target } => line.text(Key::Named("target"), target),
            Self::AuthzFail { required } => line.text(Key::Named("required"), required),
            Self::IdentityHeaderStripped { name } => line.text(Key::Named("header"), name),
            Self::AppCookieHidden { name, reason: text }
            | Self::AppCookieLeft { name, reason: text }
            | Self::AppCookieDropped { name, reason: text } => reasoned(line, text, ("cookie", name)),
            Self::AppCookieEvicted { cookies } => line.number(Key::Named("cookies"), cookies as u64),
            Self::Startup { version } => line.text(Key::Named("version"), version),
            Self::Shutdown { cut } => line.number(Key::Named("cut"), cut as u64),
            Self::CertificateReloaded { file } => line.text(Key::Named("file"), file),
            Self::CertificateReloadFailed { file, reason: text } => reasoned(line, text, ("file", file)),
            Self::UsersReloaded { users } => line.number(Key::Named("users"), users as u64),
            Self::Suppressed { kind, events } => {
                line.text(Key::Named("kind"), kind.name());
                line.number(Key::Named("events"), events);
            }
            Self::AuditLost { lines, total } => {
                line.number(Key::Named("lines"), lines);
                line.number(Key::Named("total"), total);
            }
        }
    }
}

fn reasoned(line: &mut Line<'_>, reason: &str, (name, value): (&'static str, &str)) {
    line.text(Key::Named("reason"), reason);
    line.text(Key::Named(name), value);
}

fn administration(line: &mut Line<'_>, (actor, action): (&str, &'static str), ended: Option<usize>) {
    line.text(Key::Named("actor"), actor);
    line.text(Key::Named("action"), action);
    if let Some(ended) = ended {
        line.number(Key::Named("ended"), ended as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_inventory_names_every_event_and_no_other() {
        let names: BTreeSet<String> = Kind::ALL.iter().map(|kind| kind.name().to_owned()).collect();
        assert_eq!(names.len(), Kind::ALL.len(), "two kinds share a name");
        assert_eq!(crate::telemetry::tests::inventory("Audit events"), names);
    }

    #[test]
    fn csrf_that_is_only_reported_was_allowed() {
        let event = |enforced| Event::MaliciousCsrf { reason: "cross-site", enforced };
        assert_eq!(event(true).outcome(), Outcome::Refused);
        assert_eq!(event(false).outcome(), Outcome::Allowed);
    }
}
