//! How a test account logs in and out: a small YAML file, read into what the active look needs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use http::HeaderName;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::crypto::Secret;

/// A recipe cannot be used; the text says why, and what to write.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RecipeError(String);

/// How to log in and out.
#[derive(Debug)]
pub struct Recipe {
    pub(crate) login: Login,
    pub(crate) private: Private,
    pub(crate) logout: Option<Logout>,
}

/// Logging in.
#[derive(Debug)]
pub(crate) struct Login {
    /// The page with the form.
    pub(crate) page: String,
    /// Where the form is sent; nothing: where it says.
    pub(crate) action: Option<String>,
    pub(crate) format: Format,
    /// What is typed, but the password.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) password: (String, Secret<String>),
    pub(crate) token: Option<Token>,
}

/// How a form is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// As browsers send forms.
    #[default]
    Form,
    /// As scripts do.
    Json,
}

/// A token against forgery that is not in a hidden field of the form.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) from: Source,
    pub(crate) to: Place,
}

/// Where a token comes from.
#[derive(Debug)]
pub(crate) enum Source {
    Cookie(String),
    Meta(String),
}

/// Where a token goes.
#[derive(Debug)]
pub(crate) enum Place {
    Field(String),
    Header(HeaderName),
}

/// A page that needs the login.
#[derive(Debug)]
pub(crate) struct Private {
    pub(crate) page: String,
    /// What stands in it for whoever is logged in.
    pub(crate) shows: Option<String>,
}

/// Logging out.
#[derive(Debug)]
pub(crate) struct Logout {
    /// The page with the form, where hidden fields are needed.
    pub(crate) page: Option<String>,
    pub(crate) action: String,
    pub(crate) method: Method,
}

/// How logging out is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Method {
    Get,
    #[default]
    Post,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecipeFile {
    login: LoginFile,
    private: PrivateFile,
    logout: Option<LogoutFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LoginFile {
    page: String,
    action: Option<String>,
    #[serde(default)]
    format: Format,
    user: UserFile,
    password: PasswordGiven,
    #[serde(default)]
    fields: BTreeMap<String, String>,
    token: Option<TokenFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserFile {
    field: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PasswordPlace {
    field: String,
    file: Option<PathBuf>,
    env: Option<String>,
}

/// Whatever stands there: an error must not print it, since it may be the password.
#[derive(Deserialize)]
#[serde(untagged)]
enum PasswordGiven {
    Place(PasswordPlace),
    Other(IgnoredAny),
}

impl PasswordGiven {
    fn field(&self) -> &str {
        match self {
            Self::Place(place) => &place.field,
            Self::Other(_) => "",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenFile {
    cookie: Option<String>,
    meta: Option<String>,
    field: Option<String>,
    header: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PrivateFile {
    page: String,
    shows: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogoutFile {
    page: Option<String>,
    action: String,
    #[serde(default)]
    method: Method,
}

impl Recipe {
    /// Reads the recipe in `file`; `variable` is the environment. Paths in it begin at its folder.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn load(file: &Path, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, RecipeError> {
        let text = fs::read_to_string(file).map_err(|error| wrong(file, &error))?;
        let folder = file.parent().unwrap_or_else(|| Path::new(""));
        Self::parse(&text, folder, variable).map_err(|error| wrong(file, &error))
    }

    fn parse(
        text: &str,
        folder: &Path,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, RecipeError> {
        let file: RecipeFile = serde_yaml::from_str(text).map_err(|error| RecipeError(error.to_string()))?;
        let login = file.login;
        let password = password(&login.password, folder, variable)?;
        let mut fields = vec![(login.user.field, login.user.value)];
        fields.extend(login.fields);
        Ok(Self {
            login: Login {
                page: path(login.page)?,
                action: login.action.map(path).transpose()?,
                format: login.format,
                fields,
                password: (login.password.field().to_owned(), password),
                token: login.token.map(token).transpose()?,
            },
            private: Private { page: path(file.private.page)?, shows: file.private.shows },
            logout: file.logout.map(logout).transpose()?,
        })
    }
}

fn wrong(file: &Path, error: &dyn std::fmt::Display) -> RecipeError {
    RecipeError(format!("the recipe {} cannot be used: {error}", file.display()))
}

fn path(text: String) -> Result<String, RecipeError> {
    if text.starts_with('/') && !text.starts_with("//") {
        return Ok(text);
    }
    Err(RecipeError(format!("{text:?} is no path of the site: it begins with one `/`")))
}

fn password(
    given: &PasswordGiven,
    folder: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Secret<String>, RecipeError> {
    let (file, env) = match given {
        PasswordGiven::Place(place) => (&place.file, &place.env),
        PasswordGiven::Other(_) => (&None, &None),
    };
    match (file, env) {
        (Some(name), None) => {
            let name = folder.join(name);
            let text = fs::read_to_string(&name)
                .map_err(|error| RecipeError(format!("the password in {}: {error}", name.display())))?;
            Ok(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
        }
        (None, Some(name)) => variable(name).map(Secret::new).ok_or_else(|| {
            RecipeError(format!("the environment has no variable `{name}` with the password"))
        }),
        (None, None) | (Some(_), Some(_)) => Err(RecipeError(
            "`login.password` names where the password is: `file: NAME`, or `env: VARIABLE`".to_owned(),
        )),
    }
}

fn token(file: TokenFile) -> Result<Token, RecipeError> {
    let from = match (file.cookie, file.meta) {
        (Some(cookie), None) => Some(Source::Cookie(cookie)),
        (None, Some(meta)) => Some(Source::Meta(meta)),
        (None, None) | (Some(_), Some(_)) => None,
    };
    let to = match (file.field, file.header.map(HeaderName::try_from)) {
        (Some(field), None) => Some(Place::Field(field)),
        (None, Some(Ok(header))) => Some(Place::Header(header)),
        (None, None | Some(Err(_))) | (Some(_), Some(_)) => None,
    };
    from.zip(to).map(|(from, to)| Token { from, to }).ok_or_else(|| {
        RecipeError(
            "`login.token` says where it comes from (`cookie: NAME` or `meta: NAME`) and where it goes \
             (`field: NAME` or `header: NAME`); hidden fields of the form are sent without it"
                .to_owned(),
        )
    })
}

fn logout(file: LogoutFile) -> Result<Logout, RecipeError> {
    Ok(Logout { page: file.page.map(path).transpose()?, action: path(file.action)?, method: file.method })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "
login:
  page: /login
  action: /session
  format: json
  user: { field: name, value: nora }
  password: { field: secret, env: NORA }
  fields: { remember: \"1\" }
  token: { cookie: csrftoken, header: X-CSRFToken }
private: { page: /notes, shows: Signed in }
logout: { page: /notes, action: /logout }
";

    fn parse(text: &str) -> Result<Recipe, RecipeError> {
        let variable = |name: &str| (name == "NORA").then(|| "pw".to_owned());
        Recipe::parse(text, Path::new("/nowhere"), &variable)
    }

    #[test]
    fn a_recipe_says_all_there_is_to_logging_in_and_out() {
        let recipe = parse(WHOLE).unwrap();
        assert_eq!(recipe.login.password.1.expose(), "pw");
        assert_eq!(recipe.login.format, Format::Json);
        assert_eq!(recipe.logout.unwrap().method, Method::Post);
        assert_eq!(recipe.login.fields.len(), 2);
    }

    #[test]
    fn what_is_wrong_is_said_with_what_to_write() {
        for (from, to, says) in [
            ("env: NORA", "value: pw", "`file: NAME`, or `env: VARIABLE`"),
            ("env: NORA", "env: OTTO", "no variable `OTTO`"),
            ("env: NORA", "file: pw.txt", "the password in /nowhere/pw.txt"),
            ("{ field: secret, env: NORA }", "hunter2", "`file: NAME`, or `env: VARIABLE`"),
            (", env: NORA", "", "`file: NAME`, or `env: VARIABLE`"),
            ("page: /login", "page: https://evil.example/login", "is no path of the site"),
            ("page: /login", "page: //evil.example/login", "is no path of the site"),
            ("cookie: csrftoken, ", "", "where it comes from"),
        ] {
            let error = parse(&WHOLE.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(says) && !error.contains("hunter2"), "{error}");
        }
    }
}
