//! An attempt to log in at the app: counted before the app is asked, judged by its answer.

use bytes::BytesMut;
use http::HeaderValue;
use http::StatusCode;
use http::header;
use http::request::Parts;
use http_body::Body;
use http_body_util::BodyExt;
use serde_json::Value;

use crate::access::csrf;
use crate::body::RequestBody;
use crate::login::Outcome;
use crate::login::SessionCookie;
use crate::login::observed;
use crate::login::observed::Caller;
use crate::login::observed::Claim;
use crate::login::observed::Entered;
use crate::login::observed::Head;
use crate::login::observed::Observed;
use crate::login::observed::Step;
use crate::pipeline::Gateway;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::forward::Answered;
use crate::pipeline::forward::Sent;
use crate::pipeline::gate::Passage;
use crate::pipeline::reject::Reject;
use crate::pipeline::reply::Reply;
use crate::route::AppLogin;
use crate::route::Mode;
use crate::route::Site;
use crate::telemetry::audit::Event;
use crate::upstream::SendError;
use crate::vault::Place;

impl Gateway {
    pub(super) async fn watch_login(
        &self,
        exchange: &mut Exchange,
        (site, app): (&Site, &AppLogin),
        (mut head, mut body): (Parts, RequestBody),
        passage: Passage,
    ) -> Result<Reply, Reject> {
        let protected = passage.protected;
        let caller = self.caller(exchange, site, &head.headers)?;
        let Step::Count(sent) = self.step((exchange, &caller), (site, app), &head, &mut body).await? else {
            return self.pass_on(exchange, site, (&mut head, body), passage).await;
        };
        let attempt = self.count(exchange, (site, app), &caller, sent)?;
        exchange.outlives_session = true;
        if app.reads_json() {
            head.headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        // An app that says nothing says nothing about the attempt.
        let silent = |_reject: &Reject| self.shared.login.observed_nothing(&attempt);
        let known = self.is_known(exchange, (site, app), &head).await.inspect_err(silent)?;
        let mut expired = Vec::new();
        if known && site.mode == Mode::Enforce {
            expired = self.forget_known(exchange, &mut head);
        }
        let exchange = &*exchange;
        let asked = self.ask(exchange, (site, app), (head, body), passage).await;
        let (sent, mut yes, json) = asked.inspect_err(silent)?;
        if yes && known && site.mode == Mode::Observe {
            // Nothing is deleted in this mode, and what the app says to somebody it knows proves nothing.
            exchange.record(&self.shared.audit, &Event::WouldRefuse { what: "login_of_known_user" });
            yes = false;
        }
        let user = observed::user_of(app, attempt.sent(), sent.headers(), json.as_ref()).filter(|_| yes);
        let entered = if let Some(user) = user {
            let entered = self.shared.login.observed_success(&caller, app, &attempt, &user).await;
            entered.map(Some).or_else(|denied| match site.mode {
                Mode::Enforce => Err(Reject::LoginDenied(denied)),
                Mode::Observe => Ok(None),
            })?
        } else {
            // A yes to nobody is a step on the way, or another form of the page.
            self.not_entered(&caller, &attempt, sent.status());
            None
        };
        let mut reply = self.enter(exchange, (site, &caller), (sent, protected), entered).await?;
        reply.expired.splice(0..0, expired);
        Ok(reply)
    }

    /// Asks the app, and judges what it says.
    async fn ask<'a>(
        &'a self,
        exchange: &'a Exchange,
        (site, app): (&'a Site, &AppLogin),
        (mut head, body): (Parts, RequestBody),
        passage: Passage,
    ) -> Result<(Sent<'a>, bool, Option<Value>), Reject> {
        let mut sent = self.send(exchange, site, (&mut head, body), passage).await?;
        let (yes, json) = judge(exchange, (site, app), &mut sent).await?;
        Ok((sent, yes, json))
    }

    /// What is due for what may be an attempt, if it may go on. The body is read as far as that takes.
    pub(super) async fn step(
        &self,
        (exchange, caller): (&Exchange, &Caller),
        (site, app): (&Site, &AppLogin),
        head: &Parts,
        body: &mut RequestBody,
    ) -> Result<Step, Reject> {
        let whole = body.look(observed::MOST_BYTES).await.map_err(|error| Reject::App(error.into()))?;
        let foreign = csrf::is_foreign(&head.headers, &caller.authority, exchange.scheme);
        match Step::due(Claim::of(app, head, whole.as_deref()), foreign) {
            Step::Refuse(why) if site.mode == Mode::Enforce => {
                Err(Reject::LoginDenied(self.shared.login.unheard(caller, app, why)))
            }
            Step::Refuse(why) => {
                exchange.record(&self.shared.audit, &Event::WouldRefuse { what: why.reason() });
                Ok(Step::Pass)
            }
            step @ (Step::Pass | Step::Count(_)) => Ok(step),
        }
    }

    /// Counts the attempt, or refuses it.
    fn count(
        &self,
        exchange: &Exchange,
        (site, app): (&Site, &AppLogin),
        caller: &Caller,
        sent: Option<String>,
    ) -> Result<Observed, Reject> {
        match self.shared.login.observe(caller, app, sent.clone()) {
            Ok(attempt) => Ok(attempt),
            Err(denied) if site.mode == Mode::Enforce => Err(Reject::LoginDenied(denied)),
            Err(denied) => {
                exchange.record(&self.shared.audit, &Event::WouldRefuse { what: denied.reason });
                Ok(Observed::uncounted(sent))
            }
        }
    }

    /// No session comes of it: the app said no or could not say anything.
    fn not_entered(&self, caller: &Caller, attempt: &Observed, status: StatusCode) {
        let login = &self.shared.login;
        // What stands before an app answers so, and not the app.
        let silent = [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT];
        if silent.contains(&status) {
            return login.observed_nothing(attempt);
        }
        login.observed_failure(caller, attempt, "refused_by_app");
        self.shared.metrics.login(Outcome::Failure.as_str());
    }

    /// Passes the answer on, and the session with it that has begun.
    async fn enter(
        &self,
        exchange: &Exchange,
        (site, caller): (&Site, &Caller),
        (mut sent, protected): (Sent<'_>, bool),
        entered: Option<Entered>,
    ) -> Result<Reply, Reject> {
        if let (Some(entered), Some(kept)) = (&entered, &mut sent.kept)
            && let Some(open) = entered.session.vault()
        {
            kept.move_to(&entered.session, open);
        }
        let mut cookies = self.take_out(exchange, sent.kept.take(), sent.headers_mut()).await;
        let reply = self.deliver(exchange, site, sent, protected)?;
        let Some(entered) = entered else { return Ok(Reply { cookies, ..reply }) };
        self.shared.metrics.login(Outcome::Success.as_str());
        cookies.extend(entered.cookies);
        cookies.extend(self.visitors_leftovers(&caller.headers));
        let others = entered.others && site.mode == Mode::Enforce;
        let expired = if others { self.leftovers(&caller.headers, |_| true) } else { Vec::new() };
        Ok(Reply { cookies, expired, session: SessionCookie::Set(entered.token), ..reply })
    }
}

/// Whether the answer says yes, and its JSON if that was asked.
async fn judge(
    exchange: &Exchange,
    (site, app): (&Site, &AppLogin),
    sent: &mut Sent<'_>,
) -> Result<(bool, Option<Value>), Reject> {
    let landing = Gateway::landing(exchange, site, sent.headers());
    let host = &exchange.authority().ok_or(Reject::BadHost)?.host;
    let place = Place { host, path: exchange.uri.path(), cross_site: false };
    let (status, headers, now) = (sent.status(), sent.headers(), exchange.now);
    let head = Head { status, headers, landing: landing.as_ref(), place, now };
    let yes = observed::head_says_yes(app, &head);
    if !yes || !app.reads_json() {
        return Ok((yes, None));
    }
    let read = tokio::time::timeout(site.upstream.response_timeout, read(sent));
    let json = read
        .await
        .map_err(|_late| Reject::App(SendError::TimedOut { after: site.upstream.response_timeout }))??;
    Ok((observed::body_says_yes(app, json.as_ref()), json))
}

/// The JSON of an answer that is short enough. What was read of it is passed on.
async fn read(sent: &mut Sent<'_>) -> Result<Option<Value>, Reject> {
    let Answered::Plainly(response) = &mut sent.answer else { return Ok(None) };
    let body = response.body_mut();
    if body.size_hint().lower() > observed::MOST_ANSWER_BYTES as u64 {
        return Ok(None);
    }
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Reject::App(SendError::NoAnswer(std::io::Error::other(error))))?;
        read.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        if read.len() > observed::MOST_ANSWER_BYTES {
            break;
        }
    }
    sent.ahead = read.freeze();
    let whole = sent.ahead.len() <= observed::MOST_ANSWER_BYTES;
    Ok(whole.then(|| observed::read_answer(&sent.ahead)).flatten())
}
