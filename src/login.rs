//! Logging in, logging out, and changing one's password.
//!
//! Everything the gateway answers itself below `/.vestibule/` for people: pages for browsers, a little JSON for scripts.
//! No visitor costs memory before they are logged in: forms, ways back and known devices live in keyed hashes and sealed
//! values that the browser keeps.

mod conversation;
mod cookies;
mod directory;
mod dismiss;
mod form;
mod handover;
pub mod hash;
pub mod held;
mod lead;
pub mod observed;
mod password;
pub mod policy;
mod pool;
mod prove;
mod seen;
mod sessions;
mod signin;
mod signout;
mod status;
mod target;
mod throttle;
mod ticket;
pub mod users;
mod watch;
mod way;
mod words;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use http::HeaderMap;
use moka::sync;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::clock::Timestamp;
use crate::crypto::Keys;
use crate::login::cookies::Devices;
use crate::login::directory::Directory;
use crate::login::form::Tokens;
use crate::login::handover::Codes;
use crate::login::held::seal::HeldSeals;
use crate::login::pool::Pool;
use crate::login::seen::Seen;
use crate::login::target::Destination;
use crate::login::target::Reason;
use crate::login::target::Target;
use crate::login::target::Targets;
use crate::login::throttle::Throttle;
use crate::login::ticket::Tickets;
use crate::login::users::file::UsersError;
use crate::login::way::Way;
use crate::net::Authority;
use crate::pages::Forms;
use crate::pages::Look;
use crate::pages::LookError;
use crate::pages::Pages;
use crate::route::LoginHost;
use crate::session::SameSite;
use crate::session::id::SessionId;
use crate::session::lifetime::Why;
use crate::session::sessions::Sessions;
use crate::session::store::HeldKey;
use crate::telemetry::audit::Audit;

pub use crate::login::conversation::Action;
pub use crate::login::conversation::Answer;
pub use crate::login::conversation::Leftovers;
pub use crate::login::conversation::Outcome;
pub use crate::login::conversation::SessionCookie;
pub use crate::login::conversation::Visit;
pub use crate::login::form::posted_fields;

/// Everything the gateway answers itself lies below this path on each site.
pub const PREFIX: &str = "/.vestibule/";

/// The cookie that ties a login form to a browser.
pub const PRE_COOKIE: &str = "__Host-Http-pre";

/// The cookie by which a device that was used before is known.
pub const DEVICE_COOKIE: &str = "__Host-Http-device";

/// The cookie without which no form that is held for a browser is opened.
pub const HELD_COOKIE: &str = "__Host-Http-held";

/// The names of our cookies beside the session's: never passed to an app, never taken from one.
pub const fn reserved_cookies() -> [&'static str; 3] {
    [PRE_COOKIE, DEVICE_COOKIE, HELD_COOKIE]
}

/// How guessing is slowed down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempts {
    /// So many failures in a row are free for an account; each further one doubles a delay that begins at a second.
    pub per_account: u32,
    /// So many failures are allowed from one client network …
    pub per_address: u32,
    /// … within this time.
    pub per_address_window: Duration,
}

/// What the login page looks like.
#[derive(Clone, Debug)]
pub struct Theme {
    /// The heading.
    pub title: String,
    /// An image file shown above it.
    pub logo: Option<PathBuf>,
    /// A style sheet file used after our own.
    pub css: Option<PathBuf>,
}

/// What it means that there is no users file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Nobody could log in.
    Error,
    /// Nobody logs in here by a password.
    Nobody,
}

/// How people log in.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The one place to log in for all sites; nothing: each host has its own login.
    pub host: Option<LoginHost>,
    /// The `SameSite` attribute of the session cookie, which says how a browser can be led into a site.
    pub same_site: SameSite,
    /// The users file.
    pub users: PathBuf,
    /// What it means that there is none.
    pub missing_users: Missing,
    /// Where it is kept which of its passwords were acted on.
    pub seen: PathBuf,
    /// The realms of the sites whose apps' own logins are observed.
    pub realms: BTreeSet<Box<str>>,
    /// How guessing is slowed down.
    pub attempts: Attempts,
    /// What the page looks like.
    pub theme: Theme,
}

/// Why logging in cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The users file is missing or wrong.
    #[error(transparent)]
    Users(#[from] UsersError),
    /// The logo or the style sheet is.
    #[error(transparent)]
    Look(#[from] LookError),
    /// The system gives no threads.
    #[error("cannot start the threads that check passwords")]
    Threads(#[source] io::Error),
}

/// So long, and so many at a time, forms that were sent on are remembered: long enough for a second click.
const JUST_SENT: Duration = Duration::from_mins(1);
const MOST_SENT: u64 = 10_000;

/// Password login and all that belongs to it, shared by all workers.
pub struct Login {
    host: Option<LoginHost>,
    same_site: SameSite,
    directory: Directory,
    /// Held while the sessions that began with old passwords are ended.
    seen: tokio::sync::Mutex<Seen>,
    realms: BTreeSet<Box<str>>,
    sessions: Arc<Sessions>,
    audit: Audit,
    clock: Clock,
    pages: Arc<Pages>,
    targets: Targets,
    tokens: Tokens,
    tickets: Tickets,
    codes: Codes,
    devices: Devices,
    held: HeldSeals,
    /// Places of forms that were taken out a moment ago, and by which session: another may have a form there by now.
    sent: sync::Cache<(HeldKey, SessionId), ()>,
    attempts: Attempts,
    /// A short critical section, never held across an await.
    throttle: Mutex<Throttle>,
    pool: Pool,
    /// What changes something and is under way.
    acts: TaskTracker,
    /// Rung when a session should have been ended that could not be.
    not_dismissed: Notify,
}

impl Login {
    /// Reads the users file, the logo and the style sheet, and starts the threads that check passwords.
    pub fn new(
        settings: &Settings,
        keys: &Keys,
        sessions: Arc<Sessions>,
        audit: Audit,
        clock: Clock,
    ) -> Result<Self, StartError> {
        let theme = &settings.theme;
        let forms = if settings.host.is_some() { Forms::LeadOn } else { Forms::Stay };
        let look = Look::load(&theme.title, theme.logo.as_deref(), theme.css.as_deref())?;
        Ok(Self {
            host: settings.host.clone(),
            same_site: settings.same_site,
            directory: Directory::open(&settings.users, settings.missing_users)?,
            seen: tokio::sync::Mutex::new(Seen::open(&settings.seen)),
            realms: settings.realms.clone(),
            sessions,
            audit,
            clock,
            pages: Arc::new(Pages::new(look, forms)),
            targets: Targets::new(keys),
            tokens: Tokens::new(keys),
            tickets: Tickets::new(keys),
            codes: Codes::new(keys),
            devices: Devices::new(keys),
            held: HeldSeals::new(keys),
            sent: sync::Cache::builder().max_capacity(MOST_SENT).time_to_live(JUST_SENT).build(),
            attempts: settings.attempts,
            throttle: Mutex::new(Throttle::new(settings.attempts)),
            pool: Pool::start().map_err(StartError::Threads)?,
            acts: TaskTracker::new(),
            not_dismissed: Notify::new(),
        })
    }

    /// Waits for what is under way: to be called when nobody can ask for more.
    pub async fn finish(&self) {
        self.acts.close();
        self.acts.wait().await;
    }

    /// The pages in the operator's look, for errors elsewhere.
    pub fn pages(&self) -> &Arc<Pages> {
        &self.pages
    }

    /// Where to send somebody who must log in to see `target` (path and query, as the browser wrote them); `why` their
    /// last session ended, if it is known.
    pub fn entrance(&self, target: &str, authority: &Authority, why: Option<Why>, now: Timestamp) -> String {
        self.entrance_because(target, authority, why.map_or(Reason::NoSession, Reason::Ended), now)
    }

    /// Whether somebody was logged in in this browser, and has not left it.
    pub fn knows_device(&self, headers: &HeaderMap) -> bool {
        self.devices.vouched(headers).is_some()
    }

    /// Where to send somebody who is logged in, but not recently enough for `target`.
    pub fn fresh_entrance(&self, target: &str, authority: &Authority, now: Timestamp) -> String {
        self.entrance_because(target, authority, Reason::Fresh, now)
    }

    fn entrance_because(
        &self,
        target: &str,
        authority: &Authority,
        reason: Reason,
        now: Timestamp,
    ) -> String {
        let target = Target::parse(target).unwrap_or_else(Target::home);
        let destination = Destination { way: Way::here(target), reason, issued: now };
        let sealed = self.targets.seal(&destination, &authority.host);
        format!("{PREFIX}login?return_to={sealed}")
    }
}

#[cfg(test)]
mod tests;
