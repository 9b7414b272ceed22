//! Logging in as a browser does: the page, its form, the session cookie.

use anyhow::Context as _;
use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use http_body_util::Full;
use hyper::Request;
use hyper::Response;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header;
use hyper::header::HeaderMap;
use hyper_util::rt::TokioIo;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::utf8_percent_encode;

use crate::tls::Target;

const PAGE: &str = "/.vestibule/login";
const COOKIE: &str = "__Host-Http-session=";

/// The Cookie header of a new session of `user`.
pub(crate) async fn log_in(target: &Target, authority: &str, user: &str, password: &str) -> Result<String> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(target.connect().await?)).await?;
    let connection = tokio::spawn(connection);
    let navigation = |method| {
        Request::builder()
            .method(method)
            .uri(PAGE)
            .header(header::HOST, authority)
            .header(header::ACCEPT, "text/html")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
    };

    let page = navigation("GET").header("sec-fetch-site", "none").body(Full::<Bytes>::default())?;
    let page = sender.send_request(page).await?;
    ensure!(page.status() == 200, "the login page answered {}", page.status());
    let cookies = pairs(page.headers()).join("; ");
    let mut fields = hidden_fields(&text(page).await?);
    fields.push(("username".to_owned(), user.to_owned()));
    fields.push(("password".to_owned(), password.to_owned()));

    let post = navigation("POST")
        .header("sec-fetch-site", "same-origin")
        .header(header::ORIGIN, format!("https://{authority}"))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::COOKIE, cookies)
        .body(Full::from(encode(&fields)))?;
    let answer = sender.send_request(post).await?;
    let status = answer.status();
    let session = pairs(answer.headers()).into_iter().find(|pair| pair.starts_with(COOKIE));
    connection.abort();
    match session {
        Some(session) if session.len() > COOKIE.len() => Ok(session),
        _ => bail!("logging in as {user} was answered {status} without a session cookie"),
    }
}

async fn text(response: Response<Incoming>) -> Result<String> {
    let bytes = response.into_body().collect().await?.to_bytes();
    String::from_utf8(bytes.to_vec()).context("the login page is not UTF-8")
}

/// The name=value of every cookie that is set.
fn pairs(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(header::SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
    values.filter_map(|value| value.split(';').next()).map(str::to_owned).collect()
}

/// The form's hidden fields, by name.
fn hidden_fields(page: &str) -> Vec<(String, String)> {
    let inputs = page.split("<input").skip(1).filter_map(|rest| rest.split('>').next());
    let hidden = inputs.filter(|input| attribute(input, "type").as_deref() == Some("hidden"));
    hidden
        .filter_map(|input| Some((attribute(input, "name")?, attribute(input, "value").unwrap_or_default())))
        .collect()
}

fn attribute(input: &str, name: &str) -> Option<String> {
    let (_, rest) = input.split_once(&format!(" {name}=\""))?;
    let (value, _) = rest.split_once('"')?;
    let escapes =
        [("&#34;", "\""), ("&#39;", "'"), ("&#60;", "<"), ("&#62;", ">"), ("&#38;", "&"), ("&amp;", "&")];
    Some(escapes.iter().fold(value.to_owned(), |text, (escape, plain)| text.replace(escape, plain)))
}

fn encode(fields: &[(String, String)]) -> String {
    let escape = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
    let pairs: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
    pairs.join("&")
}
