//! The sessions API, over a real socket and a real store.

use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;

use super::*;
use crate::identity::user::User;
use crate::net::ClientAddr;
use crate::net::Host;
use crate::session::AtLimit;
use crate::session::NewLogin;
use crate::session::SameSite;
use crate::session::Settings;
use crate::session::lifetime::Lifetime;
use crate::session::store::memory::Memory;
use crate::telemetry::AuditSink;
use crate::telemetry::Format;

struct Office {
    desk: Desk,
    path: PathBuf,
    log: PathBuf,
    shutdown: CancellationToken,
    _folder: TempDir,
}

impl Office {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let settings = Settings {
            cookie_name: "__Host-Http-session".to_owned(),
            same_site: SameSite::Lax,
            lifetime: lifetime(),
            max_sessions: 10_000,
            max_per_user: 10_000,
            at_limit: AtLimit::EndOldest,
            serve_cached: Duration::ZERO,
        };
        let log = folder.path().join("audit.log");
        let desk = Desk {
            sessions: Arc::new(Sessions::new(&settings, Memory::new().into())),
            audit: Audit::start(&AuditSink::File(log.clone()), Format::Json).unwrap(),
            clock: Clock::manual(Timestamp::from_millis(1_700_000_000_000)),
        };
        let shutdown = CancellationToken::new();
        tokio::spawn(serve(Socket::bind(&path).unwrap(), desk.clone(), shutdown.clone()));
        Self { desk, path, log, shutdown, _folder: folder }
    }

    async fn log_in(&self, name: &str) -> Arc<Session> {
        let user = User::named(UserName::parse(name).unwrap());
        let login = NewLogin {
            user: Arc::new(user),
            host: Host::parse("app.example").unwrap(),
            client: ClientAddr("192.0.2.7".parse().unwrap()),
            user_agent: Some("Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0".to_owned()),
            lifetime: lifetime(),
            brought: None,
        };
        self.desk.sessions.begin(login, None, self.desk.clock.now()).await.unwrap().session
    }

    async fn ask(&self, method: &str, target: &str) -> (u16, Value) {
        let text = self.send(&format!("{method} {target} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap_or_default())
    }

    async fn send(&self, request: &str) -> String {
        let mut stream = UnixStream::connect(&self.path).await.unwrap();
        let mut answer = String::new();
        // Whoever sends too much may be cut off before the end.
        if stream.write_all(request.as_bytes()).await.is_ok() {
            drop(stream.read_to_string(&mut answer).await);
        }
        answer
    }

    fn audited(&self) -> Vec<Value> {
        self.desk.audit.flush();
        let text = std::fs::read_to_string(&self.log).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn lifetime() -> Lifetime {
    Lifetime::new(Duration::from_mins(30), Duration::from_hours(24)).unwrap()
}

fn ids(answer: &Value) -> Vec<&str> {
    answer["sessions"].as_array().unwrap().iter().map(|session| session["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_session_is_told_of_without_what_would_open_it() {
    let office = Office::open();
    let session = office.log_in("ann").await;
    let (status, told) = office.ask("GET", &format!("/api/sessions/{}", session.id())).await;
    let expected = serde_json::json!({
        "id": session.id().to_string(),
        "user": "ann",
        "realm": null,
        "client_address": "192.0.2.7",
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
        "client": "Firefox on Linux",
        "hosts": ["app.example"],
        "created_at": "2023-11-14T22:13:20.000Z",
        "last_seen_at": "2023-11-14T22:13:20.000Z",
        "idle_expires_at": "2023-11-14T22:43:20.000Z",
        "expires_at": "2023-11-15T22:13:20.000Z",
    });
    assert_eq!((status, told), (200, expected));
}

#[tokio::test]
async fn all_sessions_are_listed_page_by_page_and_each_users_too() {
    let office = Office::open();
    let mut all = Vec::new();
    for number in 0..7 {
        all.push(office.log_in(["ann", "bob"][number % 2]).await.id().to_string());
    }
    for user in ["", "&user=ann"] {
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let (status, page) = office.ask("GET", &format!("/api/sessions?limit=2{user}{after}")).await;
            assert_eq!(status, 200);
            assert!(ids(&page).len() <= 2);
            found.extend(ids(&page).iter().map(|id| (*id).to_owned()));
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        let mut wanted: Vec<_> = match user {
            "" => all.clone(),
            _ => all.iter().step_by(2).cloned().collect(),
        };
        wanted.sort();
        found.sort();
        assert_eq!(found, wanted, "{user}");
    }
    office.desk.clock.advance(Duration::from_mins(31));
    let (_, over) = office.ask("GET", "/api/sessions").await;
    assert!(ids(&over).is_empty(), "those that are over are not listed");
}

#[tokio::test]
async fn one_is_ended_or_all_of_a_user_or_everybodys() {
    let office = Office::open();
    let (first, second) = (office.log_in("ann").await, office.log_in("ann").await);
    let (bob, zoe) = (office.log_in("bob").await, office.log_in("zoe").await);
    let one = format!("/api/sessions/{}", first.id());
    assert_eq!(office.ask("DELETE", &one).await, (200, serde_json::json!({ "ended": 1 })));
    assert_eq!(first.why_ended(), Some(Why::Administrator));
    assert_eq!(office.ask("DELETE", &one).await.0, 404);
    assert_eq!(office.ask("GET", &one).await.0, 404);
    let answer = office.ask("DELETE", "/api/sessions?user=ann").await;
    assert_eq!(answer, (200, serde_json::json!({ "ended": 1 })));
    assert!(second.why_ended().is_some() && bob.why_ended().is_none());
    let answer = office.ask("DELETE", "/api/sessions?all=true").await;
    assert_eq!(answer, (200, serde_json::json!({ "ended": 2 })));
    assert!(bob.why_ended().is_some() && zoe.why_ended().is_some());
    assert_eq!(office.desk.sessions.live(), 0);
}

#[tokio::test]
async fn everybodys_are_ended_in_steps() {
    let office = Office::open();
    let total = 2 * END_STEP + 5;
    for number in 0..total {
        office.log_in(&format!("user {number}")).await;
    }
    let (mut steps, mut after) = (Vec::new(), String::new());
    loop {
        let (status, step) = office.ask("DELETE", &format!("/api/sessions?all=true{after}")).await;
        assert_eq!(status, 200);
        steps.push(step["ended"].as_u64().unwrap());
        let Some(next) = step["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(steps, [END_STEP as u64, END_STEP as u64, 5]);
    assert_eq!(office.desk.sessions.live(), 0);
}

#[tokio::test]
async fn every_act_is_told_with_who_did_it() {
    let office = Office::open();
    let session = office.log_in("ann").await;
    let id = session.id().to_string();
    let one = format!("/api/sessions/{id}");
    for (method, target) in [
        ("GET", "/api/sessions"),
        ("GET", "/api/sessions?user=ann"),
        ("GET", &one),
        ("DELETE", &one),
        ("DELETE", "/api/sessions?user=ann"),
        ("DELETE", "/api/sessions?all=true"),
    ] {
        assert_eq!(office.ask(method, target).await.0, 200, "{method} {target}");
    }
    let told = office.audited();
    let uid = rustix::process::getuid().as_raw();
    assert!(told.iter().all(|line| line["event"] == "authz_admin" && line["actor"] == format!("uid:{uid}")));
    let actions: Vec<_> = told.iter().map(|line| line["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["list", "list_user", "show", "end", "end_user", "end_all"]);
    assert_eq!(
        (&told[3]["user"], &told[3]["session"], &told[3]["ended"]),
        (&"ann".into(), &id.into(), &1.into())
    );
    assert_eq!((&told[4]["user"], &told[4]["ended"]), (&"ann".into(), &0.into()));
}

#[tokio::test]
async fn what_is_not_understood_is_said_in_a_sentence() {
    let office = Office::open();
    let (status, answer) = office.ask("DELETE", "/api/sessions").await;
    assert_eq!((status, &answer["error"]), (400, &"bad_request".into()));
    assert!(answer["message"].as_str().unwrap().contains("?user=NAME"));
    let put = office.send("PUT /api/sessions HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(put.contains("405") && put.contains("allow: GET, DELETE\r\n"), "{put}");
    let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(64 * 1024));
    assert!(!office.send(&long).await.contains("200 OK"));
    assert!(office.audited().is_empty(), "nothing was done");
}

#[tokio::test]
async fn the_socket_goes_when_the_gateway_stops() {
    let office = Office::open();
    office.ask("GET", "/api/sessions").await;
    office.shutdown.cancel();
    while office.path.exists() {
        tokio::task::yield_now().await;
    }
}
