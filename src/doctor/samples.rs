//! Several ids compared: what they have in common, and how much could be unguessable in them at most.
//!
//! This can prove that ids are bad, never that they are good: a hash of a counter looks as random as anything. So every
//! figure is an upper bound, and "nothing low was seen" is the best there is to say.

/// What a set of ids has in common.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Comparison {
    pub(crate) samples: usize,
    /// How many of them differ.
    pub(crate) distinct: usize,
    /// If they count up or down: by how much at most.
    pub(crate) step: Option<u128>,
    /// Characters of the longest.
    pub(crate) length: usize,
    /// Positions at which all are the same, of ids of one length.
    pub(crate) fixed: usize,
    /// So many bits are unguessable at most.
    pub(crate) bits: f64,
}

/// Ids that count are further apart than this on a busy site only.
const LARGEST_STEP: u128 = 100_000;

/// From so many samples on, a position at which all are the same is a fixed one: with fewer it may be chance.
const TELLING: usize = 5;

/// Below so many samples, characters that did not come up tell nothing.
const ENOUGH_FOR_FREQUENCIES: usize = 16;

impl Comparison {
    /// Compares ids in the order in which they were given out; nothing if there are none.
    pub(crate) fn of(ids: &[&str]) -> Option<Self> {
        let length = ids.iter().map(|id| id.chars().count()).max()?;
        let mut sorted = ids.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let step = step(ids);
        let positions = positions(ids);
        // What stands in every id, such as a prefix, says nothing of what the rest is made of.
        let varying = positions.iter().flatten().filter(|seen| ids.len() < TELLING || seen.len() > 1);
        let alphabet = match &positions {
            Some(_) => alphabet(&varying.flatten().copied()),
            None => alphabet(&ids.iter().flat_map(|id| id.chars())),
        };
        let fixed = match &positions {
            Some(positions) if ids.len() >= TELLING => {
                positions.iter().filter(|seen| seen.len() == 1).count()
            }
            Some(_) | None => 0,
        };
        let of_position = |seen: &Vec<char>| match seen.len() {
            1 if ids.len() >= TELLING => 0.0,
            distinct => bits_at_most(distinct, ids.len(), alphabet),
        };
        let bits = match (&positions, step) {
            // The next one is a guess or two away.
            (_, Some(step)) => log2(step),
            (_, None) if ids.len() > 1 && sorted.len() == 1 => 0.0,
            (Some(positions), None) => positions.iter().map(of_position).sum(),
            (None, None) => to_f64(length) * to_f64(alphabet).log2(),
        };
        Some(Self { samples: ids.len(), distinct: sorted.len(), step, length, fixed, bits })
    }
}

/// The most that ids are apart, if they go one way in steps that somebody could try.
fn step(ids: &[&str]) -> Option<u128> {
    let radix = if ids.iter().all(|id| id.bytes().all(|byte| byte.is_ascii_digit())) { 10 } else { 16 };
    let numbers: Option<Vec<u128>> = ids.iter().map(|id| u128::from_str_radix(id, radix).ok()).collect();
    let numbers = numbers.filter(|numbers| numbers.len() >= 3)?;
    let pairs = || numbers.iter().zip(numbers.iter().skip(1));
    let up = pairs().all(|(one, next)| next > one);
    let down = pairs().all(|(one, next)| next < one);
    let most = pairs().map(|(one, next)| one.abs_diff(*next)).max()?;
    ((up || down) && most <= LARGEST_STEP).then_some(most)
}

/// Whether a character is of an alphabet.
type Alphabet = fn(char) -> bool;

/// The size of the smallest usual alphabet that all characters are of.
fn alphabet(chars: &(impl Iterator<Item = char> + Clone)) -> usize {
    let all = |of: Alphabet| chars.clone().all(of);
    let alphabets: [(Alphabet, usize); 6] = [
        (|char| char.is_ascii_digit(), 10),
        (|char| matches!(char, '0'..='9' | 'a'..='f'), 16),
        (|char| matches!(char, '0'..='9' | 'A'..='F'), 16),
        (|char| matches!(char, '0'..='9' | 'a'..='z'), 36),
        (|char| char.is_ascii_alphanumeric(), 62),
        (|char| char.is_ascii_alphanumeric() || matches!(char, '+' | '/' | '-' | '_' | '=' | ','), 64),
    ];
    alphabets.into_iter().find(|(of, _)| all(*of)).map_or(94, |(_, size)| size)
}

/// The characters seen at each position; nothing if lengths differ.
fn positions(ids: &[&str]) -> Option<Vec<Vec<char>>> {
    let length = ids.first()?.chars().count();
    let mut positions = vec![Vec::new(); length];
    for id in ids {
        if id.chars().count() != length {
            return None;
        }
        for (seen, char) in positions.iter_mut().zip(id.chars()) {
            if !seen.contains(&char) {
                seen.push(char);
            }
        }
    }
    Some(positions)
}

/// What one position holds at most, where `distinct` of `samples` characters differed: as much as the largest alphabet
/// of which so few would come up by chance in one of ten thousand positions.
fn bits_at_most(distinct: usize, samples: usize, alphabet: usize) -> f64 {
    let whole = to_f64(alphabet).log2();
    if samples < ENOUGH_FOR_FREQUENCIES {
        return whole;
    }
    // Each choice of so few characters is the only one seen with (distinct / size)^samples; there are so many choices.
    let chance = |size: usize| {
        let choices: f64 = (1..=distinct).map(|one| (to_f64(size - distinct + one) / to_f64(one)).ln()).sum();
        choices + to_f64(samples) * (to_f64(distinct) / to_f64(size)).ln()
    };
    let largest = (distinct..=alphabet).rev().find(|size| chance(*size) > 1e-4_f64.ln()).unwrap_or(distinct);
    to_f64(largest).log2().min(whole)
}

fn log2(number: u128) -> f64 {
    to_f64(usize::try_from(number.max(1)).unwrap_or(usize::MAX)).log2()
}

#[expect(clippy::cast_precision_loss, reason = "numbers of characters and samples are small")]
fn to_f64(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::base64url;
    use crate::crypto::random;

    fn compare(ids: &[String]) -> Comparison {
        Comparison::of(&ids.iter().map(String::as_str).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn counters_are_seen_through_in_both_radices_and_directions() {
        for (ids, step) in [
            (["1000", "1001", "1002"], Some(1)),
            (["1009", "1004", "1002"], Some(5)),
            (["3f8", "3f9", "40a"], Some(17)),
            (["1000", "1000", "1000"], None),
            (["82731", "1", "999999999"], None),
        ] {
            let seen = Comparison::of(&ids).unwrap();
            assert_eq!(seen.step, step, "{ids:?}");
            assert!(seen.bits < 32.0);
        }
    }

    #[test]
    fn the_same_id_for_everybody_is_worth_nothing() {
        let seen = Comparison::of(&["abcdef0123456789"; 3]).unwrap();
        assert_eq!((seen.distinct, seen.bits), (1, 0.0));
    }

    #[test]
    fn random_ids_keep_their_bits() {
        for _ in 0..20 {
            let ids: Vec<_> = (0..32).map(|_| base64url(&random::<32>())).collect();
            let seen = compare(&ids);
            assert!(seen.bits > 235.0 && seen.step.is_none(), "{seen:?}");
            let few = compare(&ids[..5]);
            assert!(few.bits > 250.0 && few.fixed == 0, "{few:?}");
        }
    }

    #[test]
    fn what_all_have_in_common_counts_for_nothing() {
        let ids: Vec<_> = (0..5).map(|n| format!("srv01-2026-{:04}", 7919 * (n + 1) % 10_000)).collect();
        let seen = compare(&ids);
        assert!(seen.fixed >= 11 && seen.bits < 27.0, "{seen:?}");
    }

    #[test]
    fn a_prefix_makes_nothing_more_unguessable() {
        let ids: Vec<_> =
            (0..5).map(|_| format!("user-{:012x}", u64::from_le_bytes(random()) >> 16)).collect();
        let seen = compare(&ids);
        assert!(seen.bits <= 48.5, "{seen:?}");
    }

    #[test]
    fn chance_makes_no_position_of_few_ids_a_fixed_one() {
        let seen = Comparison::of(&["0123456789abcdef0123456789abcdef", "0f1e2d3c4b5a69788796a5b4c3d2e1f0"]);
        let seen = seen.unwrap();
        assert!(seen.fixed == 0 && seen.bits > 127.0, "{seen:?}");
    }

    #[test]
    fn few_characters_at_a_position_are_noticed_in_many_samples() {
        // 32 characters of which each is one of two.
        let ids: Vec<_> = (0..32)
            .map(|_| {
                random::<32>().iter().map(|byte| if byte & 1 == 0 { 'g' } else { 'Z' }).collect::<String>()
            })
            .collect();
        let seen = compare(&ids);
        assert!((30.0..=33.0).contains(&seen.bits), "{seen:?}");
    }

    #[test]
    fn without_ids_there_is_nothing_to_say() {
        assert_eq!(Comparison::of(&[]), None);
        assert!(Comparison::of(&["", ""]).unwrap().bits < 1.0);
    }
}
