//! A site looked at from outside: how its sessions measure up, what shows it, and which setting mends it.
//!
//! Looking (`look`, `client`) and judging (`check`) are apart: looking notes what was seen, and checks are pure
//! functions over it. The site may be anybody's, so nothing it says is believed to be harmless: `client` bounds it, and
//! `shown` is the only way from its bytes into a report.

pub mod active;
pub mod catalogue;
mod check;
mod client;
mod cookie;
pub mod finding;
mod jar;
mod look;
mod old_tls;
mod page;
mod resolve;
mod samples;
mod seen;
mod shown;
mod target;
mod tls;
mod value;

use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;

use crate::clock::Timestamp;
use crate::doctor::active::Acted;
use crate::doctor::active::person::Site;
use crate::doctor::active::recipe::Recipe;
use crate::doctor::active::walk;
use crate::doctor::active::walk::Walk;
use crate::doctor::client::Client;
use crate::doctor::finding::Finding;
use crate::doctor::finding::Status;
use crate::doctor::seen::Seen;
use crate::doctor::shown::shown_url;
use crate::doctor::tls::Tls;

pub use crate::doctor::resolve::Resolve;
pub use crate::doctor::target::Target;
pub use crate::doctor::target::TargetError;
pub use crate::doctor::tls::Trust;

/// What to look at, and how.
#[derive(Debug)]
pub struct Order<'a> {
    /// The site.
    pub target: Target,
    /// The session cookie's name, where it does not look like one.
    pub cookie: Option<String>,
    /// The port of plain HTTP, where it is not 80.
    pub http_port: Option<u16>,
    /// Certificates to trust beside the system's.
    pub ca_file: Option<&'a Path>,
    /// The app's own address, which the gateway alone should reach.
    pub app: Option<Target>,
    /// How a test account logs in and out; nothing: nobody logs in.
    pub recipe: Option<&'a Recipe>,
}

/// What a look came to.
#[derive(Debug)]
pub struct Report {
    /// The address that was looked at, without what may be secret in it.
    pub url: String,
    /// When it began.
    pub at: Timestamp,
    /// Whether somebody logged in.
    pub active: bool,
    /// How many requests were made.
    pub requests: usize,
    /// Every check, the worst first.
    pub findings: Vec<Finding>,
    /// What could not be looked at.
    pub troubles: Vec<String>,
}

/// Why nothing was looked at.
#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    /// A file that was named cannot be used.
    #[error("{0}")]
    CaFile(String),
    /// The site did not answer.
    #[error("{url} cannot be looked at: {reason}")]
    Unreachable {
        /// The site.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The recipe does not fit the site.
    #[error("the active look could not begin: {0}")]
    Recipe(String),
}

impl Report {
    /// How many checks came to `status`.
    pub fn count(&self, status: Status) -> usize {
        self.findings.iter().filter(|finding| finding.status == status).count()
    }
}

/// Looks at a site as strangers see it: GET alone, at most twenty requests, none to another host. With a recipe also as
/// its test account does.
///
/// # Errors
/// If it does not answer at all, or the recipe does not fit it.
pub async fn examine(order: Order<'_>, now: Timestamp) -> Result<Report, DoctorError> {
    let tls = Tls::new(order.ca_file, Trust::Observed).map_err(DoctorError::CaFile)?;
    let mut client = Client::new(order.target.clone(), tls, look::MOST_REQUESTS, look::PACE);
    let mut seen = Seen::nothing(order.target.clone(), order.cookie.clone(), now);
    let looking = look::look(&mut client, &mut seen, order.http_port);
    if timeout(look::LONGEST, looking).await.is_err() {
        seen.troubles.push(time_is_up(look::LONGEST));
    }
    let url = shown_url(seen.target.url());
    if seen.front.is_empty() {
        let reason = seen.troubles.first().cloned().unwrap_or_else(|| "it does not answer".to_owned());
        return Err(DoctorError::Unreachable { url, reason });
    }
    let mut requests = client.made();
    let mut findings = Vec::new();
    if let Some(recipe) = order.recipe {
        let tls = Tls::new(order.ca_file, Trust::Demanded).map_err(DoctorError::CaFile)?;
        let mut acted = Acted { session: order.cookie, ..Acted::default() };
        requests += act(order.target, tls, recipe, &mut seen, &mut acted).await?;
        findings.extend(check::acted::check(&acted));
        seen.named = acted.session;
        seen.inside = acted.inside;
        seen.samples = acted.samples;
    }
    if let Some(app) = &order.app {
        findings.push(check::transport::app_reachable(app, &seen.target, client::reach(app).await));
    }
    let away =
        seen.led_away.iter().map(|next| format!("it leads to {}, which was not looked at", shown_url(next)));
    let away: Vec<String> = away.collect();
    seen.troubles.extend(away);
    findings.extend(check::passive(&seen));
    findings.sort_by_key(|finding| finding.status);
    Ok(Report { url, at: now, active: order.recipe.is_some(), requests, findings, troubles: seen.troubles })
}

/// The active look; how many requests it took.
async fn act(
    target: Target,
    tls: Tls,
    recipe: &Recipe,
    seen: &mut Seen,
    acted: &mut Acted,
) -> Result<usize, DoctorError> {
    let client = Client::new(target.clone(), tls, walk::MOST_REQUESTS, walk::PACE);
    let mut walk = Walk::new(Site { client, target, now: seen.now }, recipe);
    let came = timeout(walk::LONGEST, walk.go(acted)).await;
    walk.site.client.grant(walk::RESERVE);
    if timeout(walk::FAREWELL, walk.leave()).await.is_err() {
        seen.troubles.push("time was up before everybody was logged out".to_owned());
    }
    match came {
        Ok(Ok(())) => {}
        Ok(Err(stopped)) if acted.inside.is_empty() => return Err(DoctorError::Recipe(stopped.to_string())),
        Ok(Err(stopped)) => seen.troubles.push(format!("the active look ended early: {stopped}")),
        Err(_elapsed) => seen.troubles.push(time_is_up(walk::LONGEST)),
    }
    Ok(walk.site.client.made())
}

fn time_is_up(after: Duration) -> String {
    format!("time was up after {} s; what was seen until then counts", after.as_secs())
}
