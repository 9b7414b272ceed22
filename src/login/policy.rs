//! What a new password must be: long, and not one that guessers try early (SP 800-63B §3.1.1.2, ASVS 6.2).
//!
//! No rule about kinds of characters and none about age: those make passwords worse. Strength is measured by zxcvbn,
//! which knows common passwords, words, names, dates, keyboard walks and repeats, in any mix.

use zxcvbn::Score;
use zxcvbn::matching::patterns::MatchPattern;
use zxcvbn::zxcvbn;

use crate::login::hash::Password;

/// The least code points of a password that is the only factor.
pub const MIN_CHARS: usize = 15;

/// So many letters and digits must be a person's own, beside names that come with the account.
const OWN_CHARS: usize = 8;

/// Why a new password is refused. The text is a sentence for the person who chose it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyProblem {
    /// Fewer code points than [`MIN_CHARS`].
    #[error(
        "The new password has {0} characters; at least {MIN_CHARS} are needed. A sentence of four or five unrelated words is easy to remember."
    )]
    TooShort(usize),
    /// Beyond what is hashed.
    #[error("The new password is too long: at most {max} characters.", max = Password::MAX_CHARS)]
    TooLong,
    /// The same as before.
    #[error("The new password is the same as the current one.")]
    Unchanged,
    /// Guessers would find it early.
    #[error("The new password is too easy to guess. {0}")]
    Guessable(String),
}

/// Reads a new password. `context` are words that guessers of this very account try first: its name, the host, the
/// product. Takes milliseconds: not for a worker's thread.
pub fn new_password(typed: &str, context: &[&str]) -> Result<Password, PolicyProblem> {
    let password = Password::new(typed).ok_or(if typed.is_empty() {
        PolicyProblem::TooShort(0)
    } else {
        PolicyProblem::TooLong
    })?;
    let chars = password.expose().chars().count();
    if chars < MIN_CHARS {
        return Err(PolicyProblem::TooShort(chars));
    }
    let words: Vec<&str> = context.iter().flat_map(|text| words_of(text)).collect();
    if own_characters(password.expose(), &words) < OWN_CHARS {
        let advice =
            "It is made of names that everybody here knows. Use words that have nothing to do with them.";
        return Err(PolicyProblem::Guessable(advice.to_owned()));
    }
    if is_made_of_two_common(password.expose(), &words) {
        let advice = "It is one or two words or common passwords, however often. Use four or five words that have nothing to do with each other.";
        return Err(PolicyProblem::Guessable(advice.to_owned()));
    }
    let judged = zxcvbn(password.expose(), &words);
    if judged.score() >= Score::Three {
        return Ok(password);
    }
    Err(PolicyProblem::Guessable(advice(judged.feedback())))
}

/// Whether the password, compared whole, is one of those that can be made of common ones: an entry of zxcvbn's lists
/// (30,000 leaked passwords, as many English words, names), or two of them joined, that as often in a row as it likes.
/// Of leaked passwords as long as ours must be, most are of this kind; see PWD-4 in `docs/conformance.md`.
fn is_made_of_two_common(password: &str, words: &[&str]) -> bool {
    let chars: Vec<char> = password.to_lowercase().chars().collect();
    let unit = chars.get(..period(&chars)).unwrap_or_default();
    let common = |part: &[char]| {
        let text: String = part.iter().collect();
        // A shorter part is no entry worth the name: anything could be taken apart into such.
        part.len() >= SHORTEST_COMMON && part.len() <= LONGEST_COMMON && is_one_match(&text, words)
    };
    if unit.len() > 2 * LONGEST_COMMON {
        return false;
    }
    let joined =
        |split: usize| unit.split_at_checked(split).is_some_and(|(one, two)| common(one) && common(two));
    common(unit) || (SHORTEST_COMMON..unit.len()).any(joined)
}

/// What is looked up in the lists.
const SHORTEST_COMMON: usize = 3;

/// As long as the longest common password there.
const LONGEST_COMMON: usize = 20;

/// The length of the shortest beginning that, repeated, gives the whole; the last time may break off.
fn period(chars: &[char]) -> usize {
    let repeats = |length: &usize| chars.iter().zip(chars.iter().skip(*length)).all(|(one, two)| one == two);
    (1..chars.len()).find(repeats).unwrap_or(chars.len())
}

fn is_one_match(text: &str, words: &[&str]) -> bool {
    let judged = zxcvbn(text, words);
    matches!(judged.sequence(), [only] if !matches!(only.pattern, MatchPattern::BruteForce))
}

/// How many letters and digits are left without the words of the context: zxcvbn thinks highly of three of them in a row.
fn own_characters(password: &str, words: &[&str]) -> usize {
    let mut rest = password.to_lowercase();
    let mut words: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    for word in &words {
        rest = rest.replace(word.as_str(), " ");
    }
    rest.chars().filter(|c| c.is_alphanumeric()).count()
}

/// A name as it stands, and its parts: `alice.smith@example.com` is guessed as `alice` and `example` too.
fn words_of(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.split(|c: char| !c.is_alphanumeric());
    std::iter::once(text).chain(parts).filter(|word| word.chars().count() > 2)
}

fn advice(feedback: Option<&zxcvbn::feedback::Feedback>) -> String {
    let mut sentences: Vec<String> = Vec::new();
    if let Some(feedback) = feedback {
        sentences.extend(feedback.warning().map(|warning| warning.to_string()));
        sentences.extend(feedback.suggestions().iter().map(ToString::to_string));
    }
    if sentences.is_empty() {
        sentences.push("Use more words that have nothing to do with each other.".to_owned());
    }
    sentences.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEXT: [&str; 3] = ["alice.wonderland", "portal.example.com", "vestibule"];

    #[test]
    fn a_long_password_of_unrelated_words_or_of_noise_passes() {
        for good in [
            "violet tractor humming seven kettles",
            "kqzvhwpmtxbnlrd",
            "Xk9#mQ2$vL7@pR4",
            "жираф под зонтом читает",
        ] {
            assert!(new_password(good, &CONTEXT).is_ok(), "{good:?} was refused");
        }
    }

    #[test]
    fn length_is_counted_in_code_points_and_never_cut() {
        assert_eq!(new_password("kqzvhwpmtxbnlr", &CONTEXT).unwrap_err(), PolicyProblem::TooShort(14));
        assert_eq!(new_password("", &CONTEXT).unwrap_err(), PolicyProblem::TooShort(0));
        let base = "violet tractor humming seven kettles ";
        let long: String = base.chars().cycle().take(256).collect();
        assert!(new_password(&long, &CONTEXT).is_ok());
        assert_eq!(new_password(&format!("{long}x"), &CONTEXT).unwrap_err(), PolicyProblem::TooLong);
    }

    #[test]
    fn what_is_made_of_one_or_two_common_ones_is_refused_whole() {
        for bad in [
            "polniypizdec0211",
            "MomsAnalAdventure",
            "trustno1trustno1trustno1",
            "dragonbaseballdragonbaseballdrag",
            "liverpoolqwerty123",
            "understandingresponsibility",
            "iloveyou1234567890",
            "1qaz2wsx3edc4rfv5tgb",
            "superman987654321",
        ] {
            assert!(matches!(new_password(bad, &CONTEXT), Err(PolicyProblem::Guessable(_))), "{bad:?}");
        }
        for good in ["purple monkey dishwasher", "turnipsangryviolins", "correct horse battery staple"] {
            assert!(new_password(good, &CONTEXT).is_ok(), "{good:?} was refused");
        }
    }

    #[test]
    fn the_shortest_repeated_beginning_is_found() {
        for (text, length) in [("aaaa", 1), ("abab", 2), ("ababa", 2), ("abcd", 4), ("a", 1), ("abaab", 3)] {
            assert_eq!(period(&text.chars().collect::<Vec<_>>()), length, "{text}");
        }
    }

    #[test]
    fn what_guessers_try_early_is_refused_with_advice() {
        for bad in [
            "passwordpassword",
            "aaaaaaaaaaaaaaaa",
            "123456789012345",
            "qwertyuiopasdfgh",
            "alice.wonderland",
            "alicewonderland1",
            "portal.example.com",
            "vestibulevestibule",
            "abcabcabcabcabcabc",
        ] {
            let Err(problem) = new_password(bad, &CONTEXT) else { panic!("{bad:?} passed") };
            let said = problem.to_string();
            assert!(matches!(problem, PolicyProblem::Guessable(_)), "{bad:?}: {said}");
            assert!(said.len() > 50, "{said}");
        }
    }
}
