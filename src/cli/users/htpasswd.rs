//! Apache's htpasswd files: `name:hash` a line.

use std::collections::BTreeSet;

use crate::identity::user::UserName;
use crate::login::hash::Hash;
use crate::login::hash::HashProblem;

/// What can be taken over, and what cannot.
#[derive(Debug)]
pub(crate) struct Imported {
    pub(crate) users: Vec<(String, Hash)>,
    /// `line: what is wrong`.
    pub(crate) problems: Vec<String>,
}

/// Reads an htpasswd file. Only bcrypt is strong enough to be kept until its owner's next login replaces it.
pub(crate) fn parse(text: &str) -> Imported {
    let mut imported = Imported { users: Vec::new(), problems: Vec::new() };
    let mut seen = BTreeSet::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match user(line) {
            Ok((name, _)) if !seen.insert(name.clone()) => {
                imported.problems.push(format!("{}: {name:?} is there twice; the first one counts", at + 1));
            }
            Ok(user) => imported.users.push(user),
            Err(problem) => imported.problems.push(format!("{}: {problem}", at + 1)),
        }
    }
    imported
}

fn user(line: &str) -> Result<(String, Hash), String> {
    let (name, hash) = line.split_once(':').ok_or("this is not `name:hash`")?;
    let name = UserName::parse(name).ok_or_else(|| format!("{name:?} is no user name"))?;
    match Hash::parse(hash) {
        Ok(hash) => Ok((name.to_string(), hash)),
        Err(HashProblem::Unknown) => Err(format!(
            "the password of {name} is stored as {}, which is too weak to be taken over; give a new one with `vestibule users add {name}`, or run `htpasswd -B` first",
            kind(hash)
        )),
        Err(problem) => Err(format!("the password of {name} {problem}")),
    }
}

fn kind(hash: &str) -> &'static str {
    const KINDS: [(&str, &str); 5] = [
        ("$apr1$", "Apache MD5"),
        ("{SHA}", "SHA-1"),
        ("$1$", "MD5-crypt"),
        ("$5$", "SHA-256-crypt"),
        ("$6$", "SHA-512-crypt"),
    ];
    let known = KINDS.iter().find(|(prefix, _)| hash.starts_with(prefix));
    known.map_or("DES-crypt or plain text", |(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bcrypt_is_taken_over_and_the_rest_is_explained() {
        let hash = format!("$2y$05${}", ".".repeat(53));
        let text = format!(
            "# people\nalice:{hash}\n\nbob:$apr1$x$y\ncarol:{{SHA}}x\ndave:abJnggxhB/yWI\nbroken\nalice:{hash}\n"
        );
        let imported = parse(&text);
        assert_eq!(imported.users.len(), 1);
        let said = imported.problems.join("\n");
        for part in
            ["4: ", "Apache MD5", "5: ", "SHA-1", "6: ", "DES-crypt", "7: ", "name:hash", "8: ", "twice"]
        {
            assert!(said.contains(part), "{part} is not in {said}");
        }
        assert!(!said.contains("abJnggxhB"), "{said}");
    }
}
