//! Users of the same name whom different logins vouch for.

use super::at;
use super::create;
use super::find;
use super::lifetime;
use super::name;
use super::session_of;
use crate::session::store::Page;
use crate::session::store::Store;

pub(super) async fn a_user_of_one_realm_is_none_of_another(store: &impl Store) {
    let users = ["ada", "wiki.example/\u{1f}ada", "shop.example/\u{1f}ada"];
    for user in users {
        let session = session_of(user, lifetime(), at(100));
        create(store, &session).await;
        assert_eq!(find(store, &session).await.unwrap().user(), session.user());
    }
    for user in users {
        let [found] = &store.of_user(&name(user)).await.unwrap()[..] else { panic!("{user:?}") };
        assert_eq!(found.user().name, name(user));
        store.remove(found).await.unwrap();
        assert!(store.of_user(&name(user)).await.unwrap().is_empty());
    }
    let (mut listed, mut from) = (0, None);
    for user in users.into_iter().cycle().take(30) {
        create(store, &session_of(user, lifetime(), at(100))).await;
    }
    loop {
        let Page { sessions, next } = store.list(from.as_ref(), 7).await.unwrap();
        (listed, from) = (listed + sessions.len(), next);
        if from.is_none() {
            break;
        }
    }
    assert_eq!(listed, 30);
}
