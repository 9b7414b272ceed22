//! The access log: one line for each request on standard output. It has no field for cookies, headers or bodies, so
//! that none can get into it.

use std::io;
use std::io::Write;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::net::ClientAddr;
use crate::telemetry::Format;
use crate::telemetry::Settings;
use crate::telemetry::line::Key;
use crate::telemetry::line::Line;
use crate::telemetry::mask::masked;
use crate::telemetry::outlet::Outlet;
use crate::telemetry::outlet::Plan;

/// Bytes in which a worker's lines gather: several thousand lines, a tenth of a second's at full speed.
const BUFFER: usize = 1 << 20;

/// How long lines gather under load: the file is written to fifty times a second, not once a request.
const GATHER: Duration = Duration::from_millis(20);

/// A handle to the access log; clones write to the same one.
#[derive(Clone, Debug)]
pub struct AccessLog(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    outlet: Outlet,
    format: Format,
}

/// One request, as it went.
#[derive(Clone, Copy, Debug)]
pub struct AccessLine<'a> {
    /// When it came.
    pub now: Timestamp,
    /// Who asked.
    pub client: ClientAddr,
    /// The host that was asked.
    pub host: &'a str,
    /// The method.
    pub method: &'a str,
    /// Path and query; secret values of the query are masked here.
    pub path: &'a str,
    /// The answer's status.
    pub status: u16,
    /// Bytes of the answer's body.
    pub bytes: u64,
    /// How long it took.
    pub duration: Duration,
    /// Whose session it was.
    pub user: Option<&'a str>,
    /// The session's reference, never its token.
    pub session: Option<&'a str>,
    /// The request's id.
    pub request_id: &'a str,
    /// The protocol, as in `HTTP/1.1`.
    pub protocol: &'static str,
    /// The number of the site, from 0 in the order of the configuration.
    pub site: Option<usize>,
    /// Why the gateway itself answered.
    pub reason: Option<&'static str>,
}

impl AccessLog {
    /// Opens the log, if the settings want one.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(settings: &Settings) -> io::Result<Self> {
        if !settings.access {
            return Ok(Self::silent());
        }
        Self::writing_to(io::stdout(), settings.format)
    }

    /// A log that writes to `sink`.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn writing_to(sink: impl Write + Send + 'static, format: Format) -> io::Result<Self> {
        let plan = Plan {
            name: "access",
            shards: thread::available_parallelism().map_or(1, usize::from) * 2,
            capacity: BUFFER,
            gather: Some(GATHER),
        };
        let outlet = Outlet::start(plan, sink)?;
        Ok(Self(Some(Arc::new(Inner { outlet, format }))))
    }

    /// A log of nothing.
    pub fn silent() -> Self {
        Self(None)
    }

    /// Whether lines go anywhere: if not, there is no need to make them.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Writes a request down. Never waits for the sink.
    pub fn record(&self, line: &AccessLine<'_>) {
        if let Some(inner) = &self.0 {
            inner.outlet.line(|out| line.write(out, inner.format));
        }
    }

    /// Lines that did not reach their place.
    pub fn lost(&self) -> u64 {
        self.0.as_ref().map_or(0, |inner| inner.outlet.lost())
    }

    /// Waits, two seconds at most, until what was recorded is written.
    pub fn flush(&self) {
        if let Some(inner) = &self.0 {
            inner.outlet.flush();
        }
    }
}

impl AccessLine<'_> {
    fn write(&self, out: &mut Vec<u8>, format: Format) {
        let mut line = Line::open(out, format, self.now);
        line.address(Key::Bare("client"), self.client);
        line.maybe(Key::Bare("user"), self.user);
        line.text(Key::Bare("method"), self.method);
        line.text(Key::Bare("host"), self.host);
        line.text(Key::Bare("path"), &masked(self.path));
        line.text(Key::Bare("protocol"), self.protocol);
        line.number(Key::Bare("status"), self.status.into());
        line.number(Key::Bare("bytes"), self.bytes);
        line.duration(Key::Bare("duration_ms"), self.duration);
        line.maybe(Key::Named("session"), self.session);
        line.text(Key::Named("request_id"), self.request_id);
        if let Some(site) = self.site {
            line.number(Key::Named("site"), site as u64);
        }
        line.maybe(Key::Named("reason"), self.reason);
        line.close();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::telemetry::line::tests::INJECTIONS;
    use crate::telemetry::outlet::tests::Paper;

    fn request<'a>() -> AccessLine<'a> {
        AccessLine {
            now: Timestamp::from_millis(1_700_000_000_123),
            client: ClientAddr("192.0.2.7".parse().unwrap()),
            host: "app.example",
            method: "GET",
            path: "/a?token=s3cret&x=1",
            status: 303,
            bytes: 512,
            duration: Duration::from_micros(1_234),
            user: Some("ada"),
            session: Some("00112233aabbccdd"),
            request_id: "r1",
            protocol: "HTTP/1.1",
            site: Some(0),
            reason: Some("needs_login"),
        }
    }

    fn written(format: Format, line: &AccessLine<'_>) -> String {
        let paper = Paper::default();
        let log = AccessLog::writing_to(paper.clone(), format).unwrap();
        log.record(line);
        log.flush();
        paper.text()
    }

    #[test]
    fn a_line_reads_from_left_to_right() {
        assert_eq!(
            written(Format::Text, &request()),
            "2023-11-14T22:13:20.123Z 192.0.2.7 ada GET app.example /a?token=***&x=1 HTTP/1.1 303 512 1.234ms \
             session=00112233aabbccdd request_id=r1 site=0 reason=needs_login\n"
        );
        let anonymous = AccessLine { user: None, session: None, site: None, reason: None, ..request() };
        assert_eq!(
            written(Format::Text, &anonymous),
            "2023-11-14T22:13:20.123Z 192.0.2.7 - GET app.example /a?token=***&x=1 HTTP/1.1 303 512 1.234ms request_id=r1\n"
        );
    }

    #[test]
    fn the_json_form_has_the_inventorys_fields_and_no_other() {
        let value: Value = serde_json::from_str(&written(Format::Json, &request())).unwrap();
        let fields: BTreeSet<String> = value.as_object().unwrap().keys().cloned().collect();
        assert_eq!(crate::telemetry::tests::inventory("Access fields"), fields);
        assert_eq!(value["path"], "/a?token=***&x=1");
        assert_eq!(value["status"], 303);
        assert_eq!(value["duration_ms"], 1.234);
    }

    #[test]
    fn what_outsiders_write_stays_in_its_field() {
        for evil in INJECTIONS {
            let line = AccessLine { method: evil, host: evil, path: evil, user: Some(evil), ..request() };
            let json = written(Format::Json, &line);
            let value: Value = serde_json::from_str(&json).unwrap();
            for field in ["method", "host", "path", "user"] {
                assert_eq!(value[field], evil);
            }
            assert_eq!(written(Format::Text, &line).lines().count(), 1);
        }
    }

    #[test]
    fn a_log_that_is_off_takes_nothing() {
        let settings =
            Settings { format: Format::Text, access: false, audit: crate::telemetry::AuditSink::Off };
        let log = AccessLog::start(&settings).unwrap();
        log.record(&request());
        log.flush();
        assert!(!log.is_on());
        assert_eq!(log.lost(), 0);
    }
}
