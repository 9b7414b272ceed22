//! What a form that is to be held has for fields, and which forms are not held at all.

use crate::login::form::posted_fields;
use crate::login::observed::multipart;

/// The longest form that is held.
pub const MOST_BYTES: usize = 64 * 1024;

/// The most fields it may have.
const MOST_FIELDS: usize = 512;

/// Why a form is not held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It is longer than [`MOST_BYTES`].
    TooLarge,
    /// There are files in it.
    Files,
    /// It has a password in it, or what proves a payment card: neither is kept, however well sealed.
    Password,
    /// It is no form as browsers send it.
    Unreadable,
    /// As many are held as there may be.
    Full,
    /// Nobody was logged in in this browser as far as it can tell, or they left.
    Stranger,
}

impl Unfit {
    /// One word for logs and figures.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Files => "files",
            Self::Password => "password",
            Self::Unreadable => "unreadable",
            Self::Full => "full",
            Self::Stranger => "stranger",
        }
    }

    /// What the person is told.
    pub const fn text(self) -> &'static str {
        match self {
            Self::TooLarge => {
                "What you sent was not kept, because it is too long. Sign in in another tab, then go Back here and send it again."
            }
            Self::Files => {
                "What you sent was not kept, because there are files in it. Sign in in another tab, then go Back here and send it again."
            }
            Self::Password => {
                "What you sent was not kept, because there is a password in it. Sign in in another tab, then go Back here and send it again."
            }
            Self::Unreadable | Self::Full | Self::Stranger => {
                "What you sent was not kept. Sign in in another tab, then go Back here and send it again."
            }
        }
    }
}

/// The names of a form's fields, in order; of `kind`, the value of its `Content-Type`.
///
/// # Errors
/// If it is not to be held.
pub fn names(kind: &str, body: &[u8]) -> Result<Vec<String>, Unfit> {
    if body.len() > MOST_BYTES {
        return Err(Unfit::TooLarge);
    }
    let (essence, parameters) = kind.split_once(';').unwrap_or((kind, ""));
    let names: Vec<String> = match essence.trim().to_ascii_lowercase().as_str() {
        "application/x-www-form-urlencoded" => {
            let fields = posted_fields(body, MOST_FIELDS).ok_or(Unfit::Unreadable)?;
            fields.into_iter().map(|(name, _)| name).collect()
        }
        "multipart/form-data" => {
            let parts = multipart::fields(parameters, body).ok_or(Unfit::Unreadable)?;
            if parts.iter().any(|part| part.is_file && !part.is_empty) {
                return Err(Unfit::Files);
            }
            parts.into_iter().map(|part| part.name).collect()
        }
        _ => return Err(Unfit::Unreadable),
    };
    if names.len() > MOST_FIELDS {
        return Err(Unfit::Unreadable);
    }
    if names.iter().any(|name| is_secret(name)) { Err(Unfit::Password) } else { Ok(names) }
}

/// Whether a field of this name is likely to hold what nobody but its owner may ever have.
fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    let parts = ["passw", "passphrase", "pwd", "cvc", "cvv"];
    parts.iter().any(|part| name.contains(part)) || ["pass", "pin", "otp", "secret"].contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "application/x-www-form-urlencoded";
    const PARTS: &str = "multipart/form-data; boundary=----x";

    fn multi(parts: &[(&str, &str)]) -> Vec<u8> {
        let part = |(head, value): &(&str, &str)| {
            format!("------x\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n")
        };
        (parts.iter().map(part).collect::<String>() + "------x--\r\n").into_bytes()
    }

    #[test]
    fn forms_as_browsers_send_them_have_names() {
        let found = |kind, body: &[u8]| names(kind, body).unwrap().join(",");
        assert_eq!(found(PLAIN, b"text=a+b&csrf=1&text=c"), "text,csrf,text");
        assert_eq!(found("Application/X-WWW-Form-Urlencoded; charset=UTF-8", b"a=1"), "a");
        assert_eq!(found(PARTS, &multi(&[("name=\"a\"", "1"), ("name=\"b\"", "")])), "a,b");
        assert_eq!(found(PARTS, &multi(&[("name=\"f\"; filename=\"\"", "")])), "f", "no file was chosen");
    }

    #[test]
    fn what_is_not_held_says_why() {
        let why = |kind, body: &[u8]| names(kind, body).unwrap_err();
        assert_eq!(why(PLAIN, &vec![b'a'; MOST_BYTES + 1]), Unfit::TooLarge);
        assert_eq!(why(PARTS, &multi(&[("name=\"f\"; filename=\"a.txt\"", "hello")])), Unfit::Files);
        for secret in ["password", "new_password2", "user[passwd]", "PIN", "cvc", "pass", "secret"] {
            assert_eq!(why(PLAIN, format!("a=1&{secret}=x").as_bytes()), Unfit::Password, "{secret}");
        }
        assert!(names(PLAIN, b"shopping=1&compass=2&tipping=3").is_ok());
        for (kind, body) in
            [("text/plain", &b"a=1"[..]), ("application/json", b"{}"), (PARTS, b"--y"), (PLAIN, b"a=%FF")]
        {
            assert_eq!(why(kind, body), Unfit::Unreadable, "{kind}");
        }
    }
}
