//! What becomes of a request whose answering panics.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use crate::pipeline::reject::Reject;

/// Does `work`; a panic in it ends this request alone and is an answer like any other (ASVS 16.5.4, LOG-11). The audit
/// log is told where by `telemetry::crash`. What a panic leaves half done belongs to the request: locks that were held
/// are poisoned, and each says what that means.
///
/// No `async fn`, which would keep room for `work` twice: as it came, and as it is waited for.
pub(crate) fn caught<T>(
    work: impl Future<Output = Result<T, Reject>>,
) -> impl Future<Output = Result<T, Reject>> {
    AssertUnwindSafe(work).catch_unwind().map(|done| done.unwrap_or(Err(Reject::Fault)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_server_error_and_nothing_else_changes() {
        let fallen =
            caught(async { if true { panic!("what it says is nobody's business") } else { Ok(()) } });
        assert_eq!(fallen.await.unwrap_err().status(), 500);
        assert_eq!(caught(async { Ok(7) }).await.unwrap(), 7);
        assert!(matches!(caught::<()>(async { Err(Reject::Loop) }).await, Err(Reject::Loop)));
    }
}
