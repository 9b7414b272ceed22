//! How much memory a live session takes: begins a million of them and prints the growth of the resident set.
//!
//! Everything that belongs to a session is counted: a user of its own with a name of 20 bytes, the client's address,
//! the store with its index of users, and the cache. Linux alone, since it reads `/proc/self/statm`.
//!
//! ```sh
//! cargo run --release --example session_memory [SESSIONS] [USERS]
//! ```

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use vestibule::clock::Timestamp;
use vestibule::identity::user::User;
use vestibule::identity::user::UserName;
use vestibule::net::ClientAddr;
use vestibule::net::Host;
use vestibule::session::AtLimit;
use vestibule::session::NewLogin;
use vestibule::session::SameSite;
use vestibule::session::Settings;
use vestibule::session::lifetime::Lifetime;
use vestibule::session::sessions::Sessions;
use vestibule::session::store::memory::Memory;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PAGE_BYTES: usize = 4096;

#[expect(clippy::print_stdout, reason = "a measurement's result")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let sessions = numbers.next().transpose()?.unwrap_or(1_000_000);
    let users = numbers.next().transpose()?.unwrap_or(sessions);

    let lifetime = Lifetime::new(Duration::from_mins(30), Duration::from_hours(24))
        .ok_or_else(|| anyhow::anyhow!("the limits contradict each other"))?;
    let settings = Settings {
        cookie_name: "__Host-Http-session".to_owned(),
        same_site: SameSite::Lax,
        lifetime,
        max_sessions: sessions,
        max_per_user: sessions,
        at_limit: AtLimit::EndOldest,
        serve_cached: Duration::ZERO,
    };
    let all = Sessions::new(&settings, Memory::new());
    let people = if users < sessions { (0..users).map(person).collect() } else { Vec::new() };
    let before = resident_bytes()?;
    for number in 0..sessions {
        let user =
            if users < sessions { people.get(number % users).cloned().flatten() } else { person(number) };
        let login = NewLogin {
            user: user.ok_or_else(|| anyhow::anyhow!("not a user's name"))?,
            host: Host::parse("app.example").ok_or_else(|| anyhow::anyhow!("not a host"))?,
            client: ClientAddr(Ipv4Addr::from_bits(u32::try_from(number)?).into()),
            user_agent: None,
            lifetime,
            brought: None,
        };
        all.begin(login, None, Timestamp::from_millis(1_800_000_000_000)).await?;
    }
    let grown = resident_bytes()?.saturating_sub(before);
    println!(
        "{} sessions of {users} users: {} bytes each, {} MiB in all",
        all.live(),
        grown / sessions.max(1),
        grown >> 20
    );
    Ok(())
}

/// A user whose name is 20 bytes long and in no order, as names come in.
fn person(number: usize) -> Option<Arc<User>> {
    let scattered = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Some(Arc::new(User::named(UserName::parse(&format!("{scattered:020}"))?)))
}

fn resident_bytes() -> anyhow::Result<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: usize = statm
        .split_whitespace()
        .nth(1)
        .ok_or_else(|| anyhow::anyhow!("no resident pages in statm"))?
        .parse()?;
    Ok(pages * PAGE_BYTES)
}
