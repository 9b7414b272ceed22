//! What every page of ours has, and what no value can do to it.

use super::*;

fn pages() -> Pages {
    Pages::new(Look::plain("Sign in"), Forms::Stay)
}

fn html(response: &Response<Bytes>) -> &str {
    std::str::from_utf8(response.body()).unwrap()
}

const EVIL: &str = "\"><script>alert(1)</script>'";

fn login(error: Option<&'static str>) -> LoginView<'static> {
    LoginView {
        host: "app.example",
        user: EVIL,
        token: "TOKEN",
        return_to: "SEALED",
        idle: "30 minutes",
        absolute: "24 hours",
        notice: Some("You were away."),
        error,
    }
}

fn row() -> SessionRow {
    SessionRow {
        id: EVIL.to_owned(),
        client: EVIL.to_owned(),
        address: EVIL.to_owned(),
        hosts: EVIL.to_owned(),
        began: Time { text: EVIL.to_owned(), machine: EVIL.to_owned() },
        last_used: Time { text: EVIL.to_owned(), machine: EVIL.to_owned() },
    }
}

fn sessions<'a>(own: &'a SessionRow, others: &'a [SessionRow]) -> SessionsView<'a> {
    SessionsView {
        host: "app.example",
        user: EVIL,
        token: "TOKEN",
        own,
        others,
        more: 3,
        own_password: true,
        asks_again: true,
        notice: Some(EVIL),
        error: Some(EVIL),
    }
}

fn resubmission(fields: &[(String, String)]) -> ResubmitView<'_> {
    ResubmitView { host: "app.example", action: "/return?a=\"><script>alert(1)</script>", fields }
}

fn all() -> Vec<Response<Bytes>> {
    let pages = pages();
    let password = PasswordView {
        host: "app.example",
        user: EVIL,
        token: "TOKEN",
        ticket: None,
        rules: "At least 15 characters.",
        notice: None,
        error: Some(EVIL),
    };
    let ticket = PasswordView { ticket: Some("TICKET"), ..password };
    vec![
        pages.login(StatusCode::OK, &login(Some(EVIL))),
        pages.password(StatusCode::OK, &password),
        pages.password(StatusCode::OK, &ticket),
        pages.changed("app.example", EVIL),
        pages.logout("app.example", EVIL, "TOKEN"),
        pages.sessions(StatusCode::OK, &sessions(&row(), &[row()])),
        pages.signed_out("app.example", EVIL),
        pages.signed_in("login.example", EVIL, &[EVIL.to_owned()]),
        pages.back("app.example", EVIL),
        pages.onward("app.example", EVIL),
        pages.again("app.example", EVIL),
        pages.onward_to_login("app.example", EVIL),
        pages.resubmit(&resubmission(&[(EVIL.to_owned(), EVIL.to_owned())])),
        pages.error(&ErrorView::new(StatusCode::BAD_GATEWAY, EVIL)),
    ]
}

#[test]
fn every_page_has_a_language_a_title_one_heading_and_a_main_landmark() {
    for page in all() {
        let html = html(&page);
        for part in ["<!doctype html>", "<html lang=\"en\">", "<title>", "<main>"] {
            assert_eq!(html.matches(part).count(), 1, "{part} in {html}");
        }
        assert_eq!(html.matches("<h1").count(), 1, "{html}");
        assert!(!html.contains("<title></title>"), "{html}");
    }
}

#[test]
fn every_visible_field_has_a_label_and_completion() {
    for page in all() {
        let html = html(&page);
        for field in html.split("<input ").skip(1) {
            let field = field.split('>').next().unwrap();
            if field.contains("type=\"hidden\"") || field.contains("type=\"checkbox\"") {
                continue;
            }
            let id = field.split("id=\"").nth(1).unwrap().split('"').next().unwrap();
            assert!(html.contains(&format!("<label for=\"{id}\">")), "{id} has no label");
            assert!(field.contains("autocomplete=\""), "{field}");
        }
    }
}

#[test]
fn markup_in_a_value_stays_text() {
    for page in all() {
        assert!(!html(&page).contains("<script>alert"), "{}", html(&page));
    }
}

#[test]
fn an_error_is_announced_and_tied_to_the_fields() {
    let page = pages().login(StatusCode::FORBIDDEN, &login(Some("Wrong.")));
    let html = html(&page);
    assert!(html.contains("role=\"alert\" id=\"error\">Wrong.</p>"));
    assert_eq!(html.matches("aria-describedby=\"error\"").count(), 2);
    let quiet = pages().login(StatusCode::OK, &login(None));
    assert!(!self::html(&quiet).contains("role=\"alert\""));
    assert!(self::html(&quiet).contains("30 minutes without activity"));
}

#[test]
fn the_policy_names_exactly_what_the_page_inlines() {
    for page in all() {
        let html = html(&page);
        let policy = page.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        for (open, close) in [("<style>", "</style>"), ("<script>", "</script>")] {
            if let Some(inlined) = html.split(open).nth(1).map(|rest| rest.split(close).next().unwrap()) {
                let hash = BASE64.encode(&sha256(inlined.as_bytes()));
                assert!(policy.contains(&format!("'sha256-{hash}'")), "{open} does not match");
            }
        }
        assert!(!html.contains(" style=") && !html.contains(" onclick="));
        assert!(!policy.contains("unsafe"));
    }
}

#[test]
fn every_answer_of_our_own_is_fenced_in() {
    let mut answers = all();
    answers.push(see_other("/a"));
    answers.push(json(StatusCode::OK, &"x"));
    for answer in answers {
        let field = |name: &str| answer.headers()[name].to_str().unwrap();
        assert_eq!(field("cache-control"), "no-store");
        assert_eq!(field("x-content-type-options"), "nosniff");
        assert_eq!(field("x-frame-options"), "DENY");
        assert_eq!(field("referrer-policy"), "same-origin");
        let sends = answer.body().windows(17).any(|text| text == b"another site sent");
        let opener = if sends { "unsafe-none" } else { "same-origin" };
        assert_eq!(field("cross-origin-opener-policy"), opener);
        assert!(field("content-type").ends_with("charset=utf-8"));
        assert!(field("content-security-policy").contains("frame-ancestors 'none'"));
    }
}

#[test]
fn a_way_back_goes_out_as_it_came() {
    let response = see_other("/ü?next=//x");
    assert_eq!(response.headers()[header::LOCATION].as_bytes(), "/ü?next=//x".as_bytes());
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    assert_eq!(see_other("/\n").headers()[header::LOCATION], "/");
}
