//! What things are called in the server. Everything begins with the prefix, so that several gateways and other programs
//! can share one server, and an ACL rule can name it.

use crate::identity::user::UserName;
use crate::session::id::SessionId;
use crate::session::store::HeldKey;
use crate::session::token::TokenHash;

/// The names under one prefix.
///
/// | key | what it holds |
/// |---|---|
/// | `s:{ID}` | a session: the hashes of its tokens, then its row |
/// | `l:{ID}` | when it was last seen; apart, so that a use does not make every gateway read the session again |
/// | `t:HASH` | the id of the session that has this token |
/// | `w:{ID}` | why a session was ended, for an hour |
/// | `u:NAME` | the ids of a user's sessions, a set; the name of a user of an app's own login begins with its realm |
/// | `h:KEY` | a form that is held, until it is taken out or its time is over |
/// | `held` | the keys of these by the moments their time is over, a sorted set |
/// | `due` | all ids by the earliest moment each can be over, a sorted set |
///
/// The braces keep what belongs to a session on one node of a cluster.
#[derive(Clone, Debug)]
pub(super) struct Keys(Box<str>);

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self(prefix.into())
    }

    pub(super) fn prefix(&self) -> &str {
        &self.0
    }

    /// What the keys of all sessions begin with: what gateways listen to.
    pub(super) fn sessions(&self) -> String {
        format!("{}s:{{", self.0)
    }

    pub(super) fn session(&self, id: SessionId) -> String {
        format!("{}s:{{{id}}}", self.0)
    }

    pub(super) fn seen(&self, id: SessionId) -> String {
        format!("{}l:{{{id}}}", self.0)
    }

    pub(super) fn why(&self, id: SessionId) -> String {
        format!("{}w:{{{id}}}", self.0)
    }

    pub(super) fn token(&self, hash: &TokenHash) -> Vec<u8> {
        [self.0.as_bytes(), b"t:", hash.as_bytes()].concat()
    }

    pub(super) fn user(&self, name: &UserName) -> String {
        format!("{}u:{}", self.0, name.key())
    }

    pub(super) fn due(&self) -> String {
        format!("{}due", self.0)
    }

    pub(super) fn form(&self, key: HeldKey) -> String {
        format!("{}h:{key}", self.0)
    }

    pub(super) fn forms(&self) -> String {
        format!("{}held", self.0)
    }

    /// A key that never exists: removing it changes nothing, but only a server that takes writes does it.
    pub(super) fn nothing(&self) -> String {
        format!("{}nothing", self.0)
    }

    /// The session whose key this is.
    pub(super) fn id_of(&self, session_key: &[u8]) -> Option<SessionId> {
        let rest = session_key.strip_prefix(self.sessions().as_bytes())?.strip_suffix(b"}")?;
        SessionId::parse(str::from_utf8(rest).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_known_by_its_key_and_by_no_other() {
        let (keys, id) = (Keys::new("vestibule:"), SessionId::generate());
        assert_eq!(keys.id_of(keys.session(id).as_bytes()), Some(id));
        for other in [keys.seen(id), keys.due(), "vestibule:s:{}".to_owned(), "s:{x}".to_owned()] {
            assert_eq!(keys.id_of(other.as_bytes()), None, "{other}");
        }
    }
}
