//! What a form that is to be held has for fields, and which forms are not held at all.

use percent_encoding::percent_decode;

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
            // Some apps part fields by semicolons too: what is a value to us is a field to them.
            if hidden_names(body).any(|name| is_secret(&name)) {
                return Err(Unfit::Password);
            }
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

/// What might be names behind semicolons.
fn hidden_names(body: &[u8]) -> impl Iterator<Item = String> {
    let pieces = body.split(|byte| *byte == b';').skip(1);
    pieces.map(|piece| {
        let name = piece.split(|byte| matches!(byte, b'=' | b'&')).next().unwrap_or_default();
        percent_decode(name).decode_utf8_lossy().into_owned()
    })
}

/// What the name of a secret has in it, however its words are joined. What pays is among it: it is not to be kept either.
const SECRET_PARTS: [&str; 25] = [
    "passw",
    "passphrase",
    "passcode",
    "passkey",
    "pwd",
    "pincode",
    "kennwort",
    "kodeord",
    "lozinka",
    "haslo",
    "hasło",
    "senha",
    "motdepasse",
    "contrasen",
    "contraseñ",
    "wachtwoord",
    "пароль",
    "密码",
    "密碼",
    "パスワード",
    "비밀번호",
    "cvc",
    "cvv",
    "cardnumber",
    "ccnumber",
];

/// What is one where it is a word of its own: not in `compass`, `shipping`, `secretary`.
const SECRET_WORDS: [&str; 10] = ["pass", "pin", "tan", "otp", "totp", "mfa", "pw", "psw", "secret", "csc"];

/// Whether a field of this name is likely to hold what nobody but its owner may ever have.
fn is_secret(name: &str) -> bool {
    let joined: String =
        name.chars().filter(|char| char.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    SECRET_PARTS.iter().any(|part| joined.contains(part))
        || words(name).any(|word| SECRET_WORDS.contains(&word.to_lowercase().as_str()))
}

/// The words of a name: `user[newPass2]` has three.
fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(|char: char| !char.is_alphabetic()).flat_map(|run| {
        let begins = |at: usize, char: char| {
            let before = run.get(..at).and_then(|before| before.chars().next_back());
            char.is_uppercase() && before.is_some_and(char::is_lowercase)
        };
        let cuts = run.char_indices().filter(move |(at, char)| begins(*at, *char)).map(|(at, _)| at);
        let ends: Vec<usize> = cuts.chain([run.len()]).collect();
        let mut from = 0;
        ends.into_iter().filter_map(move |end| run.get(std::mem::replace(&mut from, end)..end))
    })
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
    fn secrets_are_known_by_any_name_they_usually_have() {
        for secret in [
            "password",
            "new_password2",
            "user[passwd]",
            "user[pass]",
            "PIN",
            "cvc",
            "pass",
            "secret",
            "login_pass",
            "loginPass",
            "passcode",
            "pincode",
            "pin2",
            "otp_code",
            "otp-code",
            "totp",
            "Kennwort",
            "senha",
            "mot_de_passe",
            "mot%20de%20passe",
            "contrase%C3%B1a",
            "%D0%9F%D0%B0%D1%80%D0%BE%D0%BB%D1%8C",
            "card-number",
            "user.pw",
        ] {
            let body = format!("a=1&{secret}=x");
            assert_eq!(names(PLAIN, body.as_bytes()).unwrap_err(), Unfit::Password, "{secret}");
        }
        for hidden in ["a=1;password=2", "a=1;b=2;user%5Bpass%5D=x&c=1"] {
            assert_eq!(names(PLAIN, hidden.as_bytes()).unwrap_err(), Unfit::Password, "{hidden}");
        }
        assert_eq!(names(PARTS, &multi(&[("name=\"user[pass]\"", "x")])).unwrap_err(), Unfit::Password);
    }

    #[test]
    fn what_is_not_held_says_why() {
        let why = |kind, body: &[u8]| names(kind, body).unwrap_err();
        assert_eq!(why(PLAIN, &vec![b'a'; MOST_BYTES + 1]), Unfit::TooLarge);
        assert_eq!(why(PARTS, &multi(&[("name=\"f\"; filename=\"a.txt\"", "hello")])), Unfit::Files);
        assert!(names(PLAIN, b"shopping=1&compass=2&tipping=3&secretary=4&text=semi; colon").is_ok());
        for (kind, body) in
            [("text/plain", &b"a=1"[..]), ("application/json", b"{}"), (PARTS, b"--y"), (PLAIN, b"a=%FF")]
        {
            assert_eq!(why(kind, body), Unfit::Unreadable, "{kind}");
        }
    }
}
