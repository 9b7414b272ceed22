//! What a connection and a request may take.

use std::time::Duration;

use crate::config::check::Check;
use crate::config::check::count;
use crate::config::file::LimitsFile;
use crate::server::Limits;

/// As much as Apache and nginx together ever sent a browser home for.
pub(crate) const HEADER_BYTES: u64 = 32 * 1024;
/// Fields of a head.
pub(crate) const HEADERS: u64 = 100;
/// A head that takes longer is an attack or a dead line.
pub(crate) const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Nobody's line is as slow as that.
const HEADER_TIMEOUT_LONGEST: Duration = Duration::from_mins(2);
/// Longer than any load balancer keeps a connection by default.
const IDLE_TIMEOUT_LONGEST: Duration = Duration::from_hours(1);
/// Longer than browsers and load balancers keep a connection.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// Connecting to the app.
pub(crate) const UPSTREAM_CONNECT: Duration = Duration::from_secs(5);
/// The app's first byte.
pub(crate) const UPSTREAM_RESPONSE: Duration = Duration::from_mins(1);
/// Connections over all listeners.
pub(crate) const CONNECTIONS: u64 = 65_536;

/// The limits of all connections.
pub(super) fn limits(file: &LimitsFile, check: &mut Check<'_>) -> Limits {
    if let Some(given) = &file.header_bytes
        && !(8 * 1024..=1024 * 1024).contains(&given.value.0)
    {
        check.findings.error(
            given.at,
            "`limits.header_bytes` must be from 8KiB to 1MiB".to_owned(),
            "the default is `header_bytes: 32KiB`",
        );
    }
    check.at_most(
        file.header_timeout.as_ref(),
        "limits.header_timeout",
        HEADER_TIMEOUT_LONGEST,
        "clients that send next to nothing keep a connection each for so long (slowloris)",
    );
    check.at_most(
        file.idle_timeout.as_ref(),
        "limits.idle_timeout",
        IDLE_TIMEOUT_LONGEST,
        "connections that nobody uses stay open, and count among `limits.connections`, for so long",
    );
    let header_bytes = file.header_bytes.as_ref().map_or(HEADER_BYTES, |given| given.value.0);
    Limits {
        header_bytes: count(header_bytes),
        headers: count(check.number(file.headers.as_ref(), "limits.headers", (10, 1000), HEADERS)),
        header_timeout: check.some_time(
            file.header_timeout.as_ref(),
            "limits.header_timeout",
            HEADER_TIMEOUT,
        ),
        idle_timeout: check.some_time(file.idle_timeout.as_ref(), "limits.idle_timeout", IDLE_TIMEOUT),
        connections: count(check.number(
            file.connections.as_ref(),
            "limits.connections",
            (1, 10_000_000),
            CONNECTIONS,
        )),
    }
}
