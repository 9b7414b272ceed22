//! Open files: a connection takes one, and its request another towards the app. No more browsers are let in than can be
//! served, so that where files run out newcomers wait, and those who are inside do not fail.

use std::fs;

use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::getrlimit;
use rustix::process::setrlimit;

// What comes and goes beside connections: files that are read anew, health checks, the store's and the admin's own
// connections, one newcomer at each listener.
const SPARE: u64 = 32;
// About what a gateway has open at its start, where the system does not tell.
const USUAL: u64 = 64;

/// How many connections from browsers may be open, of the `wanted` ones. Raises this process's soft limit on open files
/// to the hard one, and says so at the start where even that is too low. To be called when everything else is open.
pub(super) fn room(wanted: usize) -> usize {
    let Some(limit) = raise() else { return wanted };
    let open = open();
    let fits = fitting(limit, open, wanted);
    if fits < wanted {
        let needed = (open + SPARE).saturating_add((wanted as u64).saturating_mul(2));
        tracing::warn!(
            "this process may open {limit} files: enough for {fits} connections and as many to the apps, not for the \
             {wanted} of `limits.connections`; more will wait. Write `LimitNOFILE={needed}` into its systemd unit, \
             `ulimit -n {needed}` in a shell or `--ulimit nofile={needed}:{needed}` for a container; or \
             `limits: {{ connections: {fits} }}`"
        );
    }
    fits
}

/// As many as leave one more for each, beside what is `open` already; at least one.
fn fitting(limit: u64, open: u64, wanted: usize) -> usize {
    let pairs = limit.saturating_sub(open + SPARE) / 2;
    usize::try_from(pairs).unwrap_or(usize::MAX).clamp(1, wanted.max(1))
}

/// The limit that holds from now on; nothing: there is none.
fn raise() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::debug!(%error, "the limit on open files stays as it is");
            current
        }
    }
}

fn open() -> u64 {
    fs::read_dir("/dev/fd").map_or(USUAL, |files| files.count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_what_is_left_is_for_browsers() {
        assert_eq!(fitting(100, 38, 1000), 15);
        assert_eq!(fitting(200_000, 40, 65_536), 65_536);
        assert_eq!(fitting(200_000, 40, 60), 60);
        assert_eq!(fitting(20, 40, 65_536), 1);
    }
}
