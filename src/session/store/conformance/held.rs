//! What waits in a store for its person: forms, and sessions that are locked.

use std::time::Duration;

use super::at;
use super::create;
use super::lifetime;
use super::load;
use super::session_of;
use crate::session::store::Created;
use crate::session::store::Held;
use crate::session::store::HeldKey;
use crate::session::store::Store;
use crate::session::vault::Vault;

fn form(until: u64, text: &str) -> Held {
    Held { until: at(until), sealed: text.as_bytes().into() }
}

const KEY: HeldKey = HeldKey::from_bytes([7; 16]);
const OTHER: HeldKey = HeldKey::from_bytes([8; 16]);

pub(super) async fn a_form_is_taken_once(store: &impl Store) {
    let (first, second) = (form(160, "one"), form(160, "two"));
    assert_eq!(store.held(KEY).await.unwrap(), None);
    assert_eq!(store.hold(KEY, &first, at(100), 9).await.unwrap(), Created::Done);
    assert_eq!(store.hold(KEY, &second, at(100), 9).await.unwrap(), Created::Exists);
    assert_eq!(store.held(KEY).await.unwrap(), Some(first.clone()));
    assert!(!store.take_held(KEY, &second).await.unwrap() && !store.take_held(OTHER, &first).await.unwrap());
    let taken = tokio::join!(store.take_held(KEY, &first), store.take_held(KEY, &first));
    assert_eq!([taken.0.unwrap(), taken.1.unwrap()].into_iter().filter(|taken| *taken).count(), 1);
    assert_eq!(store.held(KEY).await.unwrap(), None);
    // Whoever looked at the one before does not take the one after.
    assert_eq!(store.hold(KEY, &second, at(100), 9).await.unwrap(), Created::Done);
    assert!(!store.take_held(KEY, &first).await.unwrap());
    assert!(store.take_held(KEY, &second).await.unwrap());
}

pub(super) async fn forms_have_a_time_and_no_more_room_than_that(store: &impl Store) {
    let (short, long) = (form(110, "short"), form(160, "long"));
    assert_eq!(store.hold(KEY, &short, at(100), 1).await.unwrap(), Created::Done);
    assert_eq!(store.hold(OTHER, &long, at(109), 1).await.unwrap(), Created::Full);
    assert_eq!(store.hold(OTHER, &long, at(110), 1).await.unwrap(), Created::Done);
    assert!(store.take_held(OTHER, &long).await.unwrap());
    assert_eq!(store.hold(KEY, &short, at(100), 9).await.unwrap(), Created::Done);
    assert_eq!(store.hold(KEY, &long, at(110), 9).await.unwrap(), Created::Done, "its time is over");
    assert_eq!(store.hold(OTHER, &short, at(100), 9).await.unwrap(), Created::Done);
    store.sweep_held(at(110)).await.unwrap();
    assert_eq!((store.held(KEY).await.unwrap(), store.held(OTHER).await.unwrap()), (Some(long), None));
}

pub(super) async fn what_is_locked_is_due_at_the_end_of_its_window(store: &impl Store) {
    let session = session_of("ada", lifetime().resumable_for(Duration::from_secs(20)), at(100));
    let tokens = session.tokens().with_vault(Some(Vault::of(Vec::new(), Vec::new())));
    create(store, &session).await;
    assert!(store.replace(&session, session.version(), &tokens).await.unwrap());
    let kept = load(store, &session).await.unwrap();
    assert_eq!(store.overdue(at(110), 9).await.unwrap().len(), 1);
    assert!(store.replace(&kept, kept.version(), &tokens.locked()).await.unwrap());
    assert!(load(store, &session).await.unwrap().is_locked());
    assert!(store.overdue(at(129), 9).await.unwrap().is_empty());
    assert_eq!(store.overdue(at(130), 9).await.unwrap().len(), 1);
}
