//! What a request asks for: pure, from its method, path and query.

use std::path::PathBuf;

use data_encoding::BASE64URL_NOPAD;
use http::Method;
use http::StatusCode;
use percent_encoding::percent_decode_str;

use crate::identity::user::UserName;
use crate::session::id::SessionId;
use crate::session::store::Cursor;

/// All sessions.
const ALL: &str = "/api/sessions";

/// A copy of the store.
const BACKUP: &str = "/api/store/backup";

/// So many sessions one answer lists where the request does not say.
const PAGE: usize = 100;

/// So many at most.
const LONGEST_PAGE: usize = 1000;

/// Something to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Lists some sessions, of one user or of all.
    List { user: Option<UserName>, from: Option<Cursor>, limit: usize },
    /// Shows one.
    Show(SessionId),
    /// Ends one.
    End(SessionId),
    /// Ends all of a user.
    EndUser(UserName),
    /// Ends some of all, those behind `from`.
    EndAll { from: Option<Cursor> },
    /// Writes a copy of the store into a new file.
    Backup { to: PathBuf },
}

/// Why nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// No such place.
    #[error("there is nothing at this path: it is /api/sessions, /api/sessions/ID or /api/store/backup")]
    NoSuchPlace,
    /// The place does not know the method.
    #[error("this path knows these methods: {0}")]
    Method(&'static str),
    /// The id is none.
    #[error("a session's id has 16 hexadecimal digits")]
    BadId,
    /// A parameter is twice there, not to be understood, or for something else.
    #[error("the parameter `{0}` is twice there, or not understood, or not for this")]
    BadParameter(&'static str),
    /// A parameter has a name that none has.
    #[error("the query has a parameter that is not known: there are user, realm, limit, after, all and to")]
    UnknownParameter,
    /// It is not said what is to be ended.
    #[error("say what to end: ?user=NAME or ?all=true, and not both")]
    EndWhat,
    /// There is nothing to copy.
    #[error("this gateway keeps its sessions in no file: see `session.store`")]
    NoFile,
    /// There is no such session.
    #[error("there is no session with this id; it may have ended already")]
    NoSuchSession,
    /// The store cannot answer.
    #[error("the session store cannot answer; nothing more was done")]
    StoreDown,
    /// A fault of ours.
    #[error("a fault in the gateway; its audit log says more")]
    Broken,
}

/// What a query may say.
const PARAMETERS: [&str; 6] = ["user", "realm", "limit", "after", "all", "to"];

impl Refusal {
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::NoSuchPlace | Self::NoSuchSession | Self::NoFile => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::BadId | Self::BadParameter(_) | Self::UnknownParameter | Self::EndWhat => {
                StatusCode::BAD_REQUEST
            }
            Self::StoreDown => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// A word that programs can tell apart.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::NoSuchPlace => "not_found",
            Self::NoSuchSession => "no_such_session",
            Self::NoFile => "no_file",
            Self::Method(_) => "method_not_allowed",
            Self::BadId | Self::BadParameter(_) | Self::UnknownParameter | Self::EndWhat => "bad_request",
            Self::StoreDown => "store_down",
            Self::Broken => "fault",
        }
    }
}

impl Act {
    /// Reads a request.
    pub(crate) fn parse(method: &Method, path: &str, query: Option<&str>) -> Result<Self, Refusal> {
        let query = Query::parse(query.unwrap_or_default())?;
        if path == BACKUP {
            query.only(&["to"])?;
            let to = query.read("to", |text| Some(PathBuf::from(text)).filter(|to| to.is_absolute()))?;
            return match *method {
                Method::POST => Ok(Self::Backup { to: to.ok_or(Refusal::BadParameter("to"))? }),
                _ => Err(Refusal::Method("POST")),
            };
        }
        if path != ALL {
            let id = path.strip_prefix(ALL).and_then(|rest| rest.strip_prefix('/'));
            let id = SessionId::parse(id.ok_or(Refusal::NoSuchPlace)?).ok_or(Refusal::BadId)?;
            query.only(&[])?;
            return match *method {
                Method::GET => Ok(Self::Show(id)),
                Method::DELETE => Ok(Self::End(id)),
                _ => Err(Refusal::Method("GET, DELETE")),
            };
        }
        match *method {
            Method::GET => {
                query.only(&["user", "realm", "limit", "after"])?;
                let limit = query.read("limit", |text| {
                    text.parse().ok().filter(|limit| (1..=LONGEST_PAGE).contains(limit))
                })?;
                Ok(Self::List { user: query.user()?, from: query.from()?, limit: limit.unwrap_or(PAGE) })
            }
            Method::DELETE => {
                query.only(&["user", "realm", "all", "after"])?;
                let all = query.read("all", |text| (text == "true").then_some(()))?;
                match (query.user()?, all, query.from()?) {
                    (Some(user), None, None) => Ok(Self::EndUser(user)),
                    (None, Some(()), from) => Ok(Self::EndAll { from }),
                    (Some(_) | None, _, _) => Err(Refusal::EndWhat),
                }
            }
            _ => Err(Refusal::Method("GET, DELETE")),
        }
    }
}

/// A cursor as it stands in answers and queries.
pub(crate) fn written(cursor: &Cursor) -> String {
    BASE64URL_NOPAD.encode(cursor.place())
}

/// The parameters of a query, each at most once.
struct Query(Vec<(&'static str, String)>);

impl Query {
    fn parse(text: &str) -> Result<Self, Refusal> {
        let mut found: Vec<(&'static str, String)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let parameter = PARAMETERS.into_iter().find(|known| *known == name);
            let parameter = parameter.ok_or(Refusal::UnknownParameter)?;
            let spaced = value.replace('+', " ");
            let decoded = percent_decode_str(&spaced).decode_utf8();
            let value = decoded.map_err(|_not_text| Refusal::BadParameter(parameter))?.into_owned();
            if found.iter().any(|(known, _)| *known == parameter) {
                return Err(Refusal::BadParameter(parameter));
            }
            found.push((parameter, value));
        }
        Ok(Self(found))
    }

    fn only(&self, known: &[&str]) -> Result<(), Refusal> {
        let other = self.0.iter().find(|(parameter, _)| !known.contains(parameter));
        other.map_or(Ok(()), |(parameter, _)| Err(Refusal::BadParameter(parameter)))
    }

    /// What `read` makes of a parameter that is there.
    fn read<T>(
        &self,
        parameter: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        let Some((_, value)) = self.0.iter().find(|(known, _)| *known == parameter) else { return Ok(None) };
        read(value).map(Some).ok_or(Refusal::BadParameter(parameter))
    }

    fn user(&self) -> Result<Option<UserName>, Refusal> {
        let user = self.read("user", UserName::parse)?;
        let named = |realm: &str| Some(realm.to_owned()).filter(|realm| !realm.chars().any(char::is_control));
        match (user, self.read("realm", named)?) {
            (user, None) => Ok(user),
            (Some(user), Some(realm)) if !realm.is_empty() => Ok(Some(user.in_realm(&realm))),
            (Some(_) | None, Some(_)) => Err(Refusal::BadParameter("realm")),
        }
    }

    fn from(&self) -> Result<Option<Cursor>, Refusal> {
        self.read("after", |text| {
            BASE64URL_NOPAD.decode(text.as_bytes()).ok().map(|place| Cursor::new(&place))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(method: &Method, target: &str) -> Result<Act, Refusal> {
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        Act::parse(method, path, query)
    }

    #[test]
    fn what_is_asked_is_understood() {
        let user = |name: &str| UserName::parse(name);
        let id = SessionId::parse("00112233aabbccdd").unwrap();
        let get = |target| parse(&Method::GET, target).unwrap();
        let delete = |target| parse(&Method::DELETE, target).unwrap();
        assert_eq!(get("/api/sessions"), Act::List { user: None, from: None, limit: 100 });
        assert_eq!(
            get("/api/sessions?user=Ann+%C3%84&limit=1000&after=AAEC"),
            Act::List { user: user("Ann \u{c4}"), from: Some(Cursor::new(&[0, 1, 2])), limit: 1000 }
        );
        assert_eq!(get("/api/sessions/00112233aabbccdd"), Act::Show(id));
        assert_eq!(delete("/api/sessions/00112233aabbccdd"), Act::End(id));
        assert_eq!(delete("/api/sessions?user=ann"), Act::EndUser(user("ann").unwrap()));
        let of_app = UserName::parse("ann").map(|name| name.in_realm("wiki.example/"));
        let asked = "/api/sessions?user=ann&realm=wiki.example%2F";
        assert_eq!(delete(asked), Act::EndUser(of_app.clone().unwrap()));
        assert_eq!(get(asked), Act::List { user: of_app, from: None, limit: 100 });
        assert_eq!(delete("/api/sessions?all=true"), Act::EndAll { from: None });
        let backup = parse(&Method::POST, "/api/store/backup?to=%2Fbackup%2Fa+b").unwrap();
        assert_eq!(backup, Act::Backup { to: "/backup/a b".into() });
        let from = Some(Cursor::new(&[0, 1, 2]));
        assert_eq!(delete("/api/sessions?all=true&after=AAEC"), Act::EndAll { from });
    }

    #[test]
    fn what_is_not_understood_does_nothing() {
        let bad = Refusal::BadParameter;
        for (method, target, refusal) in [
            (Method::GET, "/", Refusal::NoSuchPlace),
            (Method::GET, "/api/sessionsx", Refusal::NoSuchPlace),
            (Method::GET, "/api/sessions/", Refusal::BadId),
            (Method::DELETE, "/api/sessions/00112233AABBCCDD", Refusal::BadId),
            (Method::DELETE, "/api/sessions/00112233aabbccdd?all=true", bad("all")),
            (Method::POST, "/api/sessions", Refusal::Method("GET, DELETE")),
            (Method::PUT, "/api/sessions/00112233aabbccdd", Refusal::Method("GET, DELETE")),
            (Method::DELETE, "/api/sessions", Refusal::EndWhat),
            (Method::DELETE, "/api/sessions?user=ann&all=true", Refusal::EndWhat),
            (Method::DELETE, "/api/sessions?user=ann&after=AAEC", Refusal::EndWhat),
            (Method::DELETE, "/api/sessions?all=1", bad("all")),
            (Method::DELETE, "/api/sessions?all=true&all=true", bad("all")),
            (Method::DELETE, "/api/sessions?usr=ann&all=true", Refusal::UnknownParameter),
            (Method::DELETE, "/api/sessions?user=", bad("user")),
            (Method::GET, "/api/sessions?user=%FF", bad("user")),
            (Method::GET, "/api/sessions?user=wiki.example/%1Fann", bad("user")),
            (Method::GET, "/api/sessions?realm=wiki.example/", bad("realm")),
            (Method::GET, "/api/sessions?user=ann&realm=", bad("realm")),
            (Method::DELETE, "/api/sessions?user=ann&realm=a%1Fb", bad("realm")),
            (Method::GET, "/api/sessions?limit=0", bad("limit")),
            (Method::GET, "/api/sessions?limit=1001", bad("limit")),
            (Method::GET, "/api/sessions?after=!", bad("after")),
            (Method::GET, "/api/store/backup?to=/a", Refusal::Method("POST")),
            (Method::POST, "/api/store/backup", bad("to")),
            (Method::POST, "/api/store/backup?to=a", bad("to")),
            (Method::POST, "/api/store/backup?to=/a&user=ann", bad("user")),
        ] {
            assert_eq!(parse(&method, target), Err(refusal), "{method} {target}");
        }
    }
}
