//! The app's own login and logout as they are written.

use schemars::JsonSchema;

use crate::config::findings::Findings;
use crate::config::read;
use crate::config::read::Given;
use crate::config::read::OneOrMany;
use crate::config::read::OrNull;
use crate::config::read::Read;
use crate::config::tree::Node;
use crate::config::tree::Value;
use crate::config::units::FieldName;
use crate::config::units::Text;
use crate::config::words::LoginMethod;
use crate::config::words::SiteLoginWord;
use crate::route::TellApp;

shape! {
    /// The app's own login page, passed through and observed.
    AppLoginFile {
        /// Where the login page is. Default: /login.
        page: Text,
        /// The parameter that tells it where to lead back to; `null`: it knows none. Default: next.
        return_to: OrNull<Text>,
        /// Where its form is sent. Default: the page.
        submit: Text,
        /// Who has logged in.
        user: UserFile,
        /// What says that somebody has: all of it must hold.
        success: SuccessFile,
    }
    required ["success"]
    filled ["success"]
}

shape! {
    /// Who has logged in.
    UserFile {
        /// The field of the login form (urlencoded, multipart or JSON) with the user's name. Default: username.
        field: Text,
        /// The field of the answer's head that says it instead.
        header: FieldName,
        /// The value in the answer's JSON that says it instead, such as `user.name`.
        json: Text,
    }
}

shape! {
    /// What the answer to a login must be like.
    SuccessFile {
        /// One of these statuses.
        status: OneOrMany<u64>,
        /// A redirect to one of these paths: `/home` alone, or `/home/*` with everything below.
        location: OneOrMany<Text>,
        /// A cookie of this name is set.
        set_cookie: Text,
        /// A header that is there: `X-Login`, or with its value `X-Login: ok`.
        header: Text,
        /// Values in the answer's JSON, such as `{ ok: true }` or `{ user.active: true }`.
        json: JsonValues,
    }
}

shape! {
    /// The app's own logout.
    LogoutBlock {
        /// Where it is.
        path: OneOrMany<Text>,
        /// Whether the app is told when somebody logs out at the gateway: `off`, or its first path is asked for by `get` or `post`. Default: off.
        tell_app: TellApp,
    }
    required ["path"]
    filled ["path"]
}

shape! {
    /// A login that is not the gateway's own.
    LoginBlock {
        /// The app's own login page, passed through and observed.
        app: AppLoginFile,
    }
    required ["app"]
    filled ["app"]
}

/// How people log in at a site.
#[derive(Debug, JsonSchema)]
#[schemars(inline, with = "SiteLoginForms")]
pub(crate) enum SiteLoginFile {
    /// Not at all.
    None,
    /// At the gateway's own pages.
    Own,
    /// At the app's own.
    App(Box<LoginBlock>),
}

#[derive(JsonSchema)]
#[schemars(inline, untagged)]
#[expect(dead_code, reason = "exists for the schema alone")]
enum SiteLoginForms {
    Word(SiteLoginWord),
    Methods(Vec<LoginMethod>),
    App(Box<LoginBlock>),
}

impl Read for SiteLoginFile {
    fn read(node: &Node, path: &str, findings: &mut Findings) -> Option<Self> {
        match &node.value {
            Value::Map(_) => LoginBlock::read(node, path, findings).map(|block| Self::App(Box::new(block))),
            Value::List(_) => {
                let methods: OneOrMany<LoginMethod> = OneOrMany::read(node, path, findings)?;
                if methods.is_empty() {
                    let wanted = "a list of at least one method";
                    read::wrong_type(node, path, wanted, "`all`, `none` or `[password]`", findings);
                }
                Some(Self::Own)
            }
            Value::Null | Value::Bool(_) | Value::Whole(_) | Value::Number(_) | Value::Text(_) => {
                let word = SiteLoginWord::read(node, path, findings)?;
                Some(if word == SiteLoginWord::All { Self::Own } else { Self::None })
            }
        }
    }
}

/// The app's logout: its paths alone, or a block.
#[derive(Debug, JsonSchema)]
#[schemars(inline, with = "LogoutForms")]
pub(crate) struct LogoutFile(pub(crate) LogoutBlock);

#[derive(JsonSchema)]
#[schemars(inline, untagged)]
#[expect(dead_code, reason = "exists for the schema alone")]
enum LogoutForms {
    Paths(OneOrMany<Text>),
    Block(LogoutBlock),
}

impl Read for LogoutFile {
    fn read(node: &Node, path: &str, findings: &mut Findings) -> Option<Self> {
        if matches!(node.value, Value::Map(_)) {
            return LogoutBlock::read(node, path, findings).map(Self);
        }
        let value = OneOrMany::read(node, path, findings)?;
        Some(Self(LogoutBlock { path: Some(Given { value, at: node.at }), ..LogoutBlock::default() }))
    }
}

/// What stands where in JSON.
#[derive(Debug, JsonSchema)]
#[schemars(inline, with = "serde_json::Map<String, serde_json::Value>")]
pub(crate) struct JsonValues(pub(crate) Vec<(Given<String>, serde_json::Value)>);

impl Read for JsonValues {
    fn read(node: &Node, path: &str, findings: &mut Findings) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            read::wrong_type(node, path, "a block of names and values", "`{ ok: true }`", findings);
            return None;
        };
        let values = entries.iter().filter_map(|entry| {
            let value = match &entry.node.value {
                Value::Bool(value) => (*value).into(),
                Value::Whole(value) => (*value).into(),
                Value::Text(value) => value.as_str().into(),
                Value::Null | Value::Number(_) | Value::List(_) | Value::Map(_) => {
                    let name = read::join(path, &entry.key);
                    let wanted = "a truth value, a whole number or a text";
                    read::wrong_type(&entry.node, &name, wanted, "for example `true`", findings);
                    return None;
                }
            };
            Some((Given { value: entry.key.clone(), at: entry.at }, value))
        });
        Some(Self(values.collect()))
    }
}
