//! Asking one server of an app again and again whether it is well.

use std::sync::Arc;

use http::HeaderValue;
use http::Method;
use http::Request;
use http::Uri;
use http::header;
use http::request::Parts;
use http_body_util::BodyExt;
use http_body_util::Empty;
use tokio::time::MissedTickBehavior;

use crate::upstream::Endpoint;
use crate::upstream::PresentScheme;
use crate::upstream::Upstream;
use crate::upstream::client::SendError;
use crate::upstream::health::Health;
use crate::upstream::health::HealthCheck;
use crate::upstream::http1::exchange::Connection;
use crate::upstream::scratch::Scratch;

/// Why a server is not well.
#[derive(Debug, thiserror::Error)]
enum Illness {
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("no answer within the time of the health check")]
    TimedOut,
    #[error("it answered with {0}")]
    Status(http::StatusCode),
    #[error("the health check cannot be sent: {0}")]
    Request(#[from] http::Error),
}

impl Upstream {
    /// Checks the health of all its servers for ever; at once done where none is asked for.
    pub async fn watch_health(self: Arc<Self>) {
        let Some(check) = &self.settings.health else { return };
        let servers = self.settings.servers.iter().enumerate();
        let watches = servers.map(|(server, endpoint)| self.watch(server, endpoint, check));
        futures_util::future::join_all(watches).await;
    }

    async fn watch(&self, server: usize, endpoint: &Endpoint, check: &HealthCheck) {
        let mut health = Health::default();
        let mut beat = tokio::time::interval(check.interval);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            let asked = tokio::time::timeout(check.timeout, self.ask(server, endpoint, check)).await;
            let answer = asked.unwrap_or(Err(Illness::TimedOut));
            let changed;
            (health, changed) = health.after(answer.is_ok(), check);
            self.balance.set_ill(server, health.is_ill());
            match answer {
                _ if !changed => {}
                Err(error) => {
                    tracing::warn!(server = %endpoint, %error, "a server of the app is ill");
                }
                Ok(()) => tracing::info!(server = %endpoint, "a server of the app is well again"),
            }
        }
    }

    /// On a connection of its own, beside those that `max_connections` counts: a busy app is not an ill one.
    async fn ask(&self, server: usize, endpoint: &Endpoint, check: &HealthCheck) -> Result<(), Illness> {
        let request = question(self.settings.present_scheme, check)?;
        let stream = self.connector.connect(endpoint).await.map_err(SendError::from)?;
        let connection = Connection::new(stream, server, None, None);
        let scratch = Scratch::default();
        let nothing = Empty::new().map_err(|never| match never {});
        let answered = connection.exchange(&scratch, &request, nothing, check.timeout).await;
        let status = answered.map_err(|failure| failure.error)?.head.status;
        if status.as_u16() >= 400 {
            return Err(Illness::Status(status));
        }
        Ok(())
    }
}

/// As requests come: an app that is told of plain HTTP may answer by leading to https, and be well or ill.
fn question(presented: PresentScheme, check: &HealthCheck) -> Result<Parts, http::Error> {
    let scheme = match presented {
        PresentScheme::Https => "https",
        PresentScheme::Http => "http",
    };
    let request = Request::builder()
        .method(Method::GET)
        .uri(Uri::from(check.path.clone()))
        .header(header::HOST, check.host.as_str())
        .header(header::USER_AGENT, concat!("vestibule/", env!("CARGO_PKG_VERSION"), " (health check)"))
        .header(header::CONNECTION, HeaderValue::from_static("close"))
        .header("x-forwarded-proto", scheme)
        .body(())?;
    Ok(request.into_parts().0)
}
