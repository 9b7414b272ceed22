//! One connection as the pipeline knows it: who is at the other end, and what its last request was like.
//!
//! A browser's next request nearly always carries the same host and the same cookie as its last. Remembering both with
//! what was made of them turns the usual look-up into a comparison of bytes.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use http::HeaderValue;

use crate::headers::forwarded::ForwardedFields;
use crate::headers::harden::Transport;
use crate::identity::headers::Values;
use crate::net::Authority;
use crate::net::Scheme;
use crate::server::Entrance;
use crate::server::Peer;
use crate::session::Grant;

/// Where a request arrived, and what the app is told of that.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) authority: Authority,
    /// The authority as `Host` tells it.
    pub(crate) host: HeaderValue,
    pub(crate) fields: ForwardedFields,
}

/// What a cookie was found to be good for, and what the app is told of its user.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) grant: Grant,
    pub(crate) values: Arc<Values>,
}

/// One connection.
#[derive(Debug)]
pub struct Visitor {
    pub(crate) peer: Arc<Peer>,
    memo: Mutex<Memo>,
}

#[derive(Debug, Default)]
struct Memo {
    arrived: Option<(Box<str>, Arc<Arrived>)>,
    known: Option<(Box<[u8]>, Known)>,
}

impl Visitor {
    /// Nothing is remembered yet.
    pub fn new(peer: Arc<Peer>) -> Self {
        Self { peer, memo: Mutex::default() }
    }

    /// How the browser reached us, as far as the connection tells.
    pub(crate) fn scheme(&self) -> Scheme {
        match self.peer.entrance {
            Entrance::Https => Scheme::Https,
            Entrance::Http | Entrance::Redirect => Scheme::Http,
        }
    }

    /// How safely answers travel, as far as the connection tells.
    pub(crate) fn transport(&self) -> Transport {
        match &self.peer.tls {
            None => Transport::Plain,
            Some(tls) if tls.development_certificate => Transport::Tls,
            Some(_) if self.peer.local.port() == Scheme::Https.default_port() => Transport::PublicTls,
            Some(_) => Transport::Tls,
        }
    }

    pub(crate) fn arrived(&self, written: &str) -> Option<Arc<Arrived>> {
        let memo = self.memo();
        let (last, arrived) = memo.arrived.as_ref()?;
        (**last == *written).then(|| Arc::clone(arrived))
    }

    pub(crate) fn remember_arrived(&self, written: &str, arrived: &Arc<Arrived>) {
        self.memo().arrived = Some((written.into(), Arc::clone(arrived)));
    }

    pub(crate) fn known(&self, cookie: &[u8]) -> Option<Known> {
        let memo = self.memo();
        let (last, known) = memo.known.as_ref()?;
        (**last == *cookie).then(|| known.clone())
    }

    pub(crate) fn remember_known(&self, cookie: &[u8], grant: &Grant) -> Known {
        let values = Arc::new(Values::of(grant.session().user()));
        let known = Known { grant: grant.clone(), values };
        self.memo().known = Some((cookie.into(), known.clone()));
        known
    }

    /// A connection lives on one worker: nobody else wants this lock.
    fn memo(&self) -> MutexGuard<'_, Memo> {
        self.memo.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
