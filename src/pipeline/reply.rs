//! An answer on its way out: its head, what happens to our cookie, and a body that ends with its session.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;

use bytes::Bytes;
use http::HeaderValue;
use http::Response;
use http_body::Body;
use http_body::Frame;
use http_body::SizeHint;
use tokio::time::Sleep;

use crate::body::appended::Appended;
use crate::body::longer;
use crate::clock::Clock;
use crate::login::SessionCookie;
use crate::pipeline::finish::Account;
use crate::session::Session;
use crate::session::lifetime;
use crate::session::lifetime::Lifetime;
use crate::session::lifetime::Verdict;
use crate::session::lifetime::Why;
use crate::upstream::AnswerBody;
use crate::upstream::AnswerError;

/// Who speaks in an answer, which decides how its head is hardened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Voice {
    /// The gateway itself.
    Own,
    /// Our script for the app's pages, the same for everybody.
    Script,
    /// The app; `protected` says that the answer is for logged-in people only.
    App {
        /// Only for logged-in people.
        protected: bool,
    },
}

/// An answer before it is finished.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) response: Response<ReplyBody>,
    pub(crate) voice: Voice,
    pub(crate) session: SessionCookie,
    pub(crate) cookies: Vec<HeaderValue>,
    /// Lines that take cookies of the app's from the browser before this answer sets others.
    pub(crate) expired: Vec<HeaderValue>,
    /// The browser's own cookies that the app was sent.
    pub(crate) carried: Option<HeaderValue>,
    /// The request's line with the list of cookies that the app left in the browser.
    pub(crate) left: Option<HeaderValue>,
}

impl Reply {
    /// An answer of our own that leaves the session alone.
    pub(crate) fn own(response: Response<Bytes>) -> Self {
        Self {
            response: response.map(ReplyBody::full),
            voice: Voice::Own,
            session: SessionCookie::Keep,
            cookies: Vec::new(),
            expired: Vec::new(),
            carried: None,
            left: None,
        }
    }

    /// The app's answer.
    pub(crate) fn app(response: Response<ReplyBody>, protected: bool) -> Self {
        Self {
            response,
            voice: Voice::App { protected },
            session: SessionCookie::Keep,
            cookies: Vec::new(),
            expired: Vec::new(),
            carried: None,
            left: None,
        }
    }
}

/// The body of an answer.
#[derive(Debug)]
pub struct ReplyBody {
    /// What was read of the content already.
    ahead: Option<Bytes>,
    content: Content,
    begun: bool,
    bond: Option<Box<Bond>>,
    account: Option<Box<Account>>,
}

#[derive(Debug)]
enum Content {
    Full(Option<Bytes>),
    App(AnswerBody),
    /// What the app streams, and something of ours behind it.
    Page(Box<Appended<AnswerBody>>),
}

impl ReplyBody {
    pub(crate) fn full(bytes: Bytes) -> Self {
        Self {
            ahead: None,
            content: Content::Full((!bytes.is_empty()).then_some(bytes)),
            begun: false,
            bond: None,
            account: None,
        }
    }

    pub(crate) fn empty() -> Self {
        Self::full(Bytes::new())
    }

    /// What the app streams, at most as long as the session behind `bond` lives.
    pub(crate) fn app(body: AnswerBody, bond: Option<Bond>) -> Self {
        // What is there already waits for nothing.
        let bond = if body.is_at_hand() { None } else { bond.map(Box::new) };
        Self { ahead: None, content: Content::App(body), begun: false, bond, account: None }
    }

    /// With what was read of it already.
    pub(crate) fn behind(self, ahead: Bytes) -> Self {
        Self { ahead: (!ahead.is_empty()).then_some(ahead), ..self }
    }

    /// With `tail` after what the app streams.
    pub(crate) fn with_tail(self, tail: Bytes) -> Self {
        let ahead = self.ahead.as_deref().unwrap_or_default();
        let content = match self.content {
            Content::App(body) => Content::Page(Box::new(Appended::new(body, tail, ahead))),
            content @ (Content::Full(_) | Content::Page(_)) => content,
        };
        Self { content, ..self }
    }

    /// Counts what is sent, and writes the log line when all of it is.
    pub(crate) fn accounted(mut self, account: Box<Account>) -> Self {
        self.account = Some(account);
        self
    }

    fn poll_content(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        if let Some(ahead) = self.ahead.take() {
            return Poll::Ready(Some(Ok(Frame::data(ahead))));
        }
        match &mut self.content {
            Content::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Content::App(body) => of_app(Pin::new(body).poll_frame(context)),
            Content::Page(body) => of_app(Pin::new(body).poll_frame(context)),
        }
    }
}

fn of_app(
    polled: Poll<Option<Result<Frame<Bytes>, AnswerError>>>,
) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
    polled.map(|frame| frame.map(|frame| frame.map_err(StreamError::App)))
}

/// Why a body broke off. The browser sees an incomplete answer: there is no last chunk, or a reset stream.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The app's answer broke off.
    #[error("the app's answer broke off: {0}")]
    App(#[source] AnswerError),
    /// The session ended while the answer was under way.
    #[error("the session ended: {}", .0.as_str())]
    SessionEnded(Why),
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        Self::other(error)
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        let body = &mut *self;
        // A body that fails before anything was asked of it takes its head along, and the person would see a dead
        // connection: the head of an answer, and what is there with it, still goes out.
        let begun = std::mem::replace(&mut body.begun, true);
        if begun && let Some(why) = body.bond.as_ref().and_then(|bond| bond.broken()) {
            return Poll::Ready(Some(Err(StreamError::SessionEnded(why))));
        }
        let polled = body.poll_content(context);
        if polled.is_pending()
            && let Some(bond) = &mut body.bond
            && let Poll::Ready(why) = bond.poll_end(context)
        {
            if begun {
                return Poll::Ready(Some(Err(StreamError::SessionEnded(why))));
            }
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let (Poll::Ready(Some(Ok(frame))), Some(account)) = (&polled, &mut body.account) {
            account.count(frame.data_ref().map_or(0, Bytes::len));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        let rest = match &self.content {
            Content::Full(bytes) => bytes.is_none(),
            Content::App(body) => body.is_end_stream(),
            Content::Page(body) => body.is_end_stream(),
        };
        rest && self.ahead.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = match &self.content {
            Content::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Content::App(body) => body.size_hint(),
            Content::Page(body) => body.size_hint(),
        };
        longer(rest, self.ahead.as_ref().map_or(0, Bytes::len))
    }
}

/// Ties something long to a session: it learns of the session's end, by whatever cause, and by its clocks too.
pub(crate) struct Bond {
    session: Arc<Session>,
    lifetime: Lifetime,
    clock: Clock,
    waiting: Option<Waiting>,
}

struct Waiting {
    ended: Pin<Box<dyn Future<Output = Why> + Send>>,
    deadline: Pin<Box<Sleep>>,
}

impl Bond {
    pub(crate) fn new(session: Arc<Session>, lifetime: Lifetime, clock: Clock) -> Self {
        Self { session, lifetime, clock, waiting: None }
    }

    /// Completes when the session has ended.
    pub(crate) async fn end(mut self) -> Why {
        std::future::poll_fn(|context| self.poll_end(context)).await
    }

    fn broken(&self) -> Option<Why> {
        self.session.why_ended()
    }

    /// Only something that has to wait pays for being told of the end: the watch is set up here.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<Why> {
        loop {
            if let Some(why) = self.broken() {
                return Poll::Ready(why);
            }
            let now = self.clock.now();
            if let Verdict::Ended(why) = lifetime::verdict(&self.session.times(), &self.lifetime, now) {
                return Poll::Ready(why);
            }
            let (session, lifetime) = (&self.session, &self.lifetime);
            let waiting = self.waiting.get_or_insert_with(|| {
                let left = lifetime::remaining(&session.times(), lifetime, now);
                let deadline = Box::pin(tokio::time::sleep(left.idle.min(left.absolute)));
                Waiting { ended: Box::pin(session.ended()), deadline }
            });
            if let Poll::Ready(why) = waiting.ended.as_mut().poll(context) {
                return Poll::Ready(why);
            }
            if waiting.deadline.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            // Other requests may have moved the idle limit meanwhile: look again, with a new deadline.
            self.waiting = None;
        }
    }
}

impl fmt::Debug for Bond {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Bond").field("session", &self.session.reference()).finish_non_exhaustive()
    }
}
