//! The known word that was probably meant.

/// The one of `known` that `word` is a misspelling of, if any is near enough.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    if word.len() > 64 {
        return None;
    }
    let word = word.to_lowercase().replace('-', "_");
    let (distance, best) = known
        .iter()
        .map(|other| (distance(&word, &other.replace('-', "_")), *other))
        .min_by_key(|(distance, _)| *distance)?;
    // A third of the word may be wrong; with more, a guess misleads.
    (distance <= word.chars().count().div_ceil(3).min(3)).then_some(best)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `one` into `other`.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=other.len()).collect();
    let mut last = None;
    for (row, char) in one.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, wanted) in other.iter().enumerate() {
            let at = |line: &[usize], place: usize| line.get(place).copied().unwrap_or(usize::MAX / 2);
            let replaced = at(&above, column) + usize::from(char != *wanted);
            let inserted = at(&current, column) + 1;
            let deleted = at(&above, column + 1) + 1;
            let mut best = replaced.min(inserted).min(deleted);
            let neighbour = column.checked_sub(1).and_then(|left| Some((left, *other.get(left)?)));
            if let Some((left, neighbour)) = neighbour
                && last == Some(*wanted)
                && neighbour == char
            {
                best = best.min(at(&before, left) + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut above, current);
        last = Some(char);
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_finger_are_recognised_and_other_words_are_not() {
        let known = ["idle_timeout", "absolute_timeout", "cookie", "store"];
        for (word, meant) in [
            ("idle_tmeout", Some("idle_timeout")),
            ("idle-timeout", Some("idle_timeout")),
            ("Cookie", Some("cookie")),
            ("cokoie", Some("cookie")),
            ("stroe", Some("store")),
            ("redis", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, &known), meant, "{word}");
        }
    }

    #[test]
    fn a_swap_counts_once() {
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
