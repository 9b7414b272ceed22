//! One connection as the pipeline knows it: who is at the other end, and what its last request was like.
//!
//! A browser's next request nearly always carries the same host and the same cookie as its last. Remembering both with
//! what was made of them turns the usual look-up into a comparison of bytes.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use http::HeaderValue;

use crate::headers::forwarded::ForwardedFields;
use crate::headers::harden::Transport;
use crate::identity::headers::Values;
use crate::net::Authority;
use crate::net::ClientAddr;
use crate::net::Scheme;
use crate::net::TrustedProxies;
use crate::server::Entrance;
use crate::server::Peer;
use crate::session::Grant;
use crate::session::vault::open::Open;

/// Where a request arrived, and what the app is told of that.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) authority: Authority,
    /// The authority as `Host` tells it.
    pub(crate) host: HeaderValue,
    pub(crate) fields: ForwardedFields,
}

/// What a cookie was found to be good for, and what the app is told of its user.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) grant: Grant,
    pub(crate) values: Values,
    /// The apps' cookies of the session, where any are kept.
    pub(crate) vault: Option<Arc<Open>>,
}

/// One connection.
#[derive(Debug)]
pub struct Visitor {
    pub(crate) peer: Arc<Peer>,
    /// From whom all of its requests are; nothing if it is a listed proxy's, and each request tells.
    pub(crate) client: Option<ClientAddr>,
    memo: RefCell<Memo>,
}

#[derive(Debug, Default)]
struct Memo {
    arrived: Option<(Box<str>, Rc<Arrived>)>,
    known: Option<(Box<[u8]>, Rc<Known>)>,
}

impl Visitor {
    /// Nothing is remembered yet.
    pub fn new(peer: Arc<Peer>, trusted: &TrustedProxies) -> Self {
        let address = peer.addr.0.ip();
        let client = (!trusted.contains(address)).then(|| ClientAddr(address.to_canonical()));
        Self { peer, client, memo: RefCell::default() }
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

    pub(crate) fn arrived(&self, written: &str) -> Option<Rc<Arrived>> {
        let memo = self.memo.borrow();
        let (last, arrived) = memo.arrived.as_ref()?;
        (**last == *written).then(|| Rc::clone(arrived))
    }

    /// Behind a proxy one connection carries many clients and hosts: nothing of that can be remembered.
    pub(crate) fn remember_arrived(&self, written: &str, arrived: &Rc<Arrived>) {
        if self.client.is_some() && self.peer.entrance != Entrance::Http {
            self.memo.borrow_mut().arrived = Some((written.into(), Rc::clone(arrived)));
        }
    }

    pub(crate) fn known(&self, cookie: &[u8]) -> Option<Rc<Known>> {
        let memo = self.memo.borrow();
        let (last, known) = memo.known.as_ref()?;
        (**last == *cookie).then(|| Rc::clone(known))
    }

    pub(crate) fn remember_known(&self, cookie: &[u8], grant: Grant) -> Rc<Known> {
        let values = Values::of(grant.session().user());
        let vault = grant.session().vault();
        let known = Rc::new(Known { grant, values, vault });
        self.memo.borrow_mut().known = Some((cookie.into(), Rc::clone(&known)));
        known
    }
}
