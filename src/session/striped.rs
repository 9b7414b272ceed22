//! One thing for each of 256 groups of sessions: finer than one for all, and no bytes in the sessions themselves.

use crate::session::token::TokenHash;

/// A table of 256, looked up by a token hash. Two sessions may share an entry; one session always has the same.
pub(super) struct Striped<T>(pub(super) [T; 256]);

impl<T> Striped<T> {
    /// The entry for the session with this hash.
    #[expect(clippy::indexing_slicing, reason = "a byte is always below 256")]
    pub(super) fn at(&self, hash: &TokenHash) -> &T {
        &self.0[usize::from(hash.stripe())]
    }
}
