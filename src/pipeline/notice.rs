//! Telling apps that somebody has logged out at the gateway (OUT-6), with the cookies by which they know them. It is made
//! ready while there is a session, sent when it has ended, and never more than tried.

use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use http::HeaderMap;
use http::Request;
use http::header::COOKIE;
use http::request::Parts;

use crate::body::RequestBody;
use crate::pipeline::Gateway;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::reject::Reject;
use crate::route::AppLogout;
use crate::route::Desk;
use crate::route::Site;
use crate::telemetry::audit::Event;
use crate::telemetry::causes;

/// How long an app may take to hear of it: somebody waits for the page that says they are logged out.
const PATIENCE: Duration = Duration::from_secs(2);

/// What one app is told.
pub(crate) struct Notice {
    site: Rc<Site>,
    head: Parts,
}

impl Gateway {
    /// What the apps of a desk would be told if the session of this exchange ended now.
    pub(crate) async fn notices(
        &self,
        exchange: &Exchange,
        desk: &Desk,
        headers: &HeaderMap,
    ) -> Result<Vec<Notice>, Reject> {
        let mut notices = Vec::new();
        if exchange.session().is_none() {
            return Ok(notices);
        }
        for site in &desk.told {
            let Some((method, path)) = site.logout.as_ref().and_then(AppLogout::to_tell) else {
                continue;
            };
            let Ok(request) = Request::builder().method(method).uri(&path).body(()) else { continue };
            let (mut head, ()) = request.into_parts();
            head.headers = headers.get_all(COOKIE).iter().map(|line| (COOKIE, line.clone())).collect();
            let mut kept = self.kept(exchange, &site.responses.cookies, (site, headers, &path)).await?;
            self.rewrite_head(exchange, site, &mut head, None)?;
            if let Some(kept) = &mut kept {
                kept.put_in(exchange, &mut head.headers);
            }
            notices.push(Notice { site: Rc::clone(site), head });
        }
        Ok(notices)
    }

    /// Tells the apps.
    pub(crate) async fn give_notice(&self, exchange: &Exchange, notices: Vec<Notice>) {
        join_all(notices.into_iter().map(|notice| self.tell_app(exchange, notice))).await;
    }

    async fn tell_app(&self, exchange: &Exchange, notice: Notice) {
        let Some(client) = self.apps.get(notice.site.id) else { return };
        let trouble = match tokio::time::timeout(PATIENCE, client.send(&notice.head, RequestBody::Empty))
            .await
        {
            Ok(Ok(answer)) if answer.status().as_u16() < 400 => return,
            Ok(Ok(answer)) => format!("it was told of a logout and answered {}", answer.status().as_u16()),
            Ok(Err(error)) => format!("it could not be told of a logout: {}", causes(&error)),
            Err(_late) => "it was told of a logout and did not answer in time".to_owned(),
        };
        exchange.record(&self.shared.audit, &Event::UpstreamFailed { reason: &trouble });
    }
}
