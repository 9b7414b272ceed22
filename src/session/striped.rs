//! One thing for each of 256 groups of sessions: finer than one for all, and no bytes in the sessions themselves.

/// A table of 256, looked up by a byte of what is evenly spread. Two sessions may share an entry.
pub(super) struct Striped<T>(pub(super) [T; 256]);

impl<T> Striped<T> {
    /// The entry of this group.
    #[expect(clippy::indexing_slicing, reason = "a byte is always below 256")]
    pub(super) fn at(&self, stripe: u8) -> &T {
        &self.0[usize::from(stripe)]
    }
}
