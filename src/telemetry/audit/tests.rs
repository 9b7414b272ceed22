//! What an audit entry holds, what a flood may do, and that loss is owned up to.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::*;
use crate::telemetry::line::tests::INJECTIONS;
use crate::telemetry::outlet::tests::Paper;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_123);

fn full_context<'a>() -> Context<'a> {
    Context {
        now: NOW,
        client: Some(ClientAddr("192.0.2.7".parse().unwrap())),
        host: Some("app.example"),
        method: Some("POST"),
        path: Some("/.vestibule/login?return_to=/secret"),
        request_id: Some("r1"),
        user: Some("ada"),
        session: Some("00112233aabbccdd"),
    }
}

fn written(format: Format, tell: impl FnOnce(&Audit)) -> String {
    let paper = Paper::default();
    let audit = Audit::writing_to(paper.clone(), format).unwrap();
    tell(&audit);
    audit.flush();
    paper.text()
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn an_entry_says_when_where_what_who_and_how_it_ended() {
    let event = Event::LoginFail { reason: "wrong_password" };
    let text = written(Format::Json, |audit| audit.record(&full_context(), &event));
    let [entry] = &json_lines(&text)[..] else { panic!("{text}") };
    for (field, expected) in [
        ("time", "2023-11-14T22:13:20.123Z"),
        ("level", "WARN"),
        ("event", "authn_login_fail"),
        ("node", &node()),
        ("result", "failure"),
        ("reason", "wrong_password"),
        ("user", "ada"),
        ("session", "00112233aabbccdd"),
        ("client", "192.0.2.7"),
        ("method", "POST"),
        ("host", "app.example"),
        ("path", "/.vestibule/login?return_to=***"),
        ("request_id", "r1"),
    ] {
        assert_eq!(entry[field], expected, "{field}");
    }
    let text = written(Format::Text, |audit| audit.record(&full_context(), &event));
    let expected = format!(
        "2023-11-14T22:13:20.123Z WARN authn_login_fail node={} result=failure reason=wrong_password user=ada \
         session=00112233aabbccdd client=192.0.2.7 method=POST host=app.example \
         path=/.vestibule/login?return_to=*** request_id=r1\n",
        node()
    );
    assert_eq!(text, expected);
}

#[test]
fn what_outsiders_write_stays_in_its_field() {
    for evil in INJECTIONS {
        let context = Context {
            user: Some(evil),
            host: Some(evil),
            method: Some(evil),
            path: Some(evil),
            ..full_context()
        };
        let event = Event::InputRejected { reason: evil };
        let text = written(Format::Json, |audit| audit.record(&context, &event));
        let [entry] = &json_lines(&text)[..] else { panic!("{text}") };
        for field in ["user", "host", "method", "path", "reason"] {
            assert_eq!(entry[field], evil);
        }
        assert_eq!(entry["event"], "input_validation_fail");
        let text = written(Format::Text, |audit| audit.record(&context, &event));
        assert_eq!(text.lines().count(), 1);
    }
}

#[test]
fn a_flood_is_cut_short_and_summed_up_while_logins_are_all_written() {
    let text = written(Format::Json, |audit| {
        for _ in 0..1000 {
            audit.record(&full_context(), &Event::InputRejected { reason: "nul" });
            audit.record(&full_context(), &Event::LoginFail { reason: "unknown_user" });
        }
        audit.settle(NOW.after(std::time::Duration::from_secs(1)));
    });
    let lines = json_lines(&text);
    let count = |name: &str| lines.iter().filter(|line| line["event"] == name).count();
    assert_eq!(count("input_validation_fail"), 100);
    assert_eq!(count("authn_login_fail"), 1000);
    let last = lines.last().unwrap();
    assert_eq!(last["event"], "sys_audit_suppressed");
    assert_eq!(last["kind"], "input_validation_fail");
    assert_eq!(last["events"], 900);
}

#[test]
fn lines_that_were_lost_are_owned_up_to() {
    /// Refuses the first thing it is given.
    struct Hiccup(Paper, bool);
    impl Write for Hiccup {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if std::mem::replace(&mut self.1, true) {
                return self.0.write(bytes);
            }
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let paper = Paper::default();
    let audit = Audit::writing_to(Hiccup(paper.clone(), false), Format::Json).unwrap();
    audit.record(&full_context(), &Event::LoginSuccess);
    audit.flush();
    assert_eq!(audit.lost(), 1);
    audit.record(&full_context(), &Event::SessionCreated);
    audit.flush();
    let lines = json_lines(&paper.text());
    let names: Vec<&Value> = lines.iter().map(|line| &line["event"]).collect();
    assert_eq!(names, ["sys_audit_lost", "session_created"]);
    assert_eq!((&lines[0]["lines"], &lines[0]["total"]), (&1.into(), &1.into()));
}

#[test]
fn the_file_is_private_and_only_appended_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    for _ in 0..2 {
        let audit = Audit::start(&AuditSink::File(path.clone()), Format::Json).unwrap();
        audit.record(&Context::at(NOW), &Event::Startup { version: "0" });
        drop(audit);
    }
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(
        json_lines(&std::fs::read_to_string(&path).unwrap()).len(),
        2,
        "dropped without losing a line"
    );
    assert!(Audit::start(&AuditSink::File(folder.path().join("no/such")), Format::Json).is_err());
}

#[test]
fn the_inventory_names_every_field_and_no_other() {
    let text = written(Format::Json, |audit| {
        for event in one_of_each_field() {
            audit.record(&full_context(), &event);
        }
    });
    let fields: BTreeSet<String> = json_lines(&text)
        .iter()
        .flat_map(|line| line.as_object().unwrap().keys().cloned().collect::<Vec<_>>())
        .collect();
    assert_eq!(crate::telemetry::tests::inventory("Audit fields"), fields);
}

fn one_of_each_field() -> [Event<'static>; 15] {
    [
        Event::LoginSuccessAfterFail { failures: 1 },
        Event::LoginFailMax { limit: 1 },
        Event::LoginLocked { wait_secs: 1 },
        Event::Administration { actor: "uid:0", action: "end_all", ended: Some(1) },
        Event::SessionRevoked { target: "0011" },
        Event::AuthzFail { required: "groups" },
        Event::IdentityHeaderStripped { name: "x" },
        Event::InputRejected { reason: "x" },
        Event::Startup { version: "0" },
        Event::Shutdown { cut: 0 },
        Event::CertificateReloadFailed { file: "f", reason: "r" },
        Event::CertificateReloaded { file: "f" },
        Event::UsersReloaded { users: 1 },
        Event::Suppressed { kind: Event::LoginSuccess.kind(), events: 1 },
        Event::AuditLost { lines: 1, total: 1 },
    ]
}
