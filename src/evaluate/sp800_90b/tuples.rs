//! Estimators from repeated substrings: t-tuple and longest repeated substring (sections 6.3.5 and 6.3.6).

use rayon::prelude::*;

use super::{min_entropy_of, upper_bound};
use crate::evaluate::EvaluateError;
use crate::evaluate::error::at_least;

/// A tuple counts as frequent when it occurs so often, section 6.3.5 (1).
const FREQUENT: usize = 35;

/// t-tuple estimate, section 6.3.5, in bits for each symbol.
pub fn t_tuple(symbols: &[u8], values: usize) -> Result<f64, EvaluateError> {
    at_least("the t-tuple estimate", "symbols", FREQUENT, symbols.len())?;
    let n = symbols.len();
    let share = |width: usize, most: usize| (most as f64 / (n - width + 1) as f64).powf(1.0 / width as f64);
    let most = repeats(symbols)
        .iter()
        .filter(|r| r.most >= FREQUENT)
        .map(|r| share(r.width, r.most))
        .fold(0.0, f64::max);
    Ok(capped(most, n, values))
}

/// Longest repeated substring estimate, section 6.3.6, in bits for each symbol.
///
/// It looks at the widths that are too long for the t-tuple estimate; where no such width repeats it says nothing.
pub fn longest_repeat(symbols: &[u8], values: usize) -> Result<f64, EvaluateError> {
    at_least("the longest repeated substring estimate", "symbols", FREQUENT, symbols.len())?;
    let n = symbols.len();
    let share = |width: usize, pairs: f64| {
        let starts = (n - width + 1) as f64;
        (pairs / (starts * (starts - 1.0) / 2.0)).powf(1.0 / width as f64)
    };
    let most = repeats(symbols)
        .iter()
        .filter(|r| r.most < FREQUENT && r.pairs > 0.0)
        .map(|r| share(r.width, r.pairs))
        .fold(0.0, f64::max);
    Ok(capped(most, n, values))
}

fn capped(most: f64, n: usize, values: usize) -> f64 {
    let limit = (values as f64).log2();
    if most == 0.0 { limit } else { min_entropy_of(upper_bound(most, n)).min(limit) }
}

/// What repeats at one width.
struct Repeat {
    width: usize,
    /// How often the most frequent substring of this width occurs.
    most: usize,
    /// How many pairs of places hold the same substring.
    pairs: f64,
}

/// For every width at which something repeats, and one beyond: from one sweep over the common prefixes, longest first.
///
/// Neighbours in the suffix array that share `width` symbols belong to one class; lowering the width only joins
/// classes, so sizes and pairs are kept up to date by union-find.
fn repeats(symbols: &[u8]) -> Vec<Repeat> {
    let order = suffix_array(symbols);
    let mut joints: Vec<(u32, u32)> =
        common_prefixes(symbols, &order).into_iter().zip(1_u32..).filter(|(length, _)| *length > 0).collect();
    joints.par_sort_unstable_by(|a, b| b.cmp(a));
    let longest = joints.first().map_or(0, |joint| joint.0 as usize);
    let mut classes = Classes::new(symbols.len());
    let mut found = Vec::with_capacity(longest);
    let mut joints = joints.into_iter().peekable();
    for width in (1..=longest).rev() {
        while let Some((_, at)) = joints.next_if(|joint| joint.0 as usize >= width) {
            classes.join(at - 1, at);
        }
        found.push(Repeat { width, most: classes.most as usize, pairs: classes.pairs });
    }
    if longest == 0 {
        found.push(Repeat { width: 1, most: 1, pairs: 0.0 });
    }
    found
}

/// Disjoint sets with the size of the largest and the number of pairs.
struct Classes {
    parent: Vec<u32>,
    size: Vec<u32>,
    most: u32,
    pairs: f64,
}

impl Classes {
    fn new(n: usize) -> Self {
        Self { parent: (0..n as u32).collect(), size: vec![1; n], most: 1, pairs: 0.0 }
    }

    fn root(&mut self, mut at: u32) -> u32 {
        while self.parent[at as usize] != at {
            let up = self.parent[self.parent[at as usize] as usize];
            self.parent[at as usize] = up;
            at = up;
        }
        at
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        let (large, small) = if self.size[a as usize] >= self.size[b as usize] { (a, b) } else { (b, a) };
        let (of_large, of_small) = (self.size[large as usize], self.size[small as usize]);
        self.pairs += f64::from(of_large) * f64::from(of_small);
        self.parent[small as usize] = large;
        self.size[large as usize] = of_large + of_small;
        self.most = self.most.max(of_large + of_small);
    }
}

/// The suffixes in order, by doubling the length that they are sorted by: after seven symbols at first.
fn suffix_array(symbols: &[u8]) -> Vec<u32> {
    const FIRST: usize = 7;
    let n = symbols.len();
    // A symbol behind the end is below all others, hence the 9 bits for each.
    let key = |at: usize| {
        (at..at + FIRST).fold(0_u64, |key, i| key << 9 | symbols.get(i).map_or(0, |s| u64::from(*s) + 1))
    };
    let mut keyed: Vec<(u64, u32)> = (0..n).map(|at| (key(at), at as u32)).collect();
    let mut rank = vec![0_u32; n];
    let mut width = FIRST;
    loop {
        keyed.par_sort_unstable();
        if !assign_ranks(&keyed, &mut rank) || width >= n {
            return keyed.into_iter().map(|(_, at)| at).collect();
        }
        for (key, at) in &mut keyed {
            let behind = rank.get(*at as usize + width).map_or(0, |r| u64::from(*r) + 1);
            *key = u64::from(rank[*at as usize]) << 32 | behind;
        }
        width *= 2;
    }
}

/// Equal keys get equal ranks; says whether any are left equal.
fn assign_ranks(keyed: &[(u64, u32)], rank: &mut [u32]) -> bool {
    let (mut current, mut previous, mut ties) = (0_u32, None, false);
    for (i, (key, at)) in keyed.iter().enumerate() {
        if previous == Some(*key) {
            ties = true;
        } else {
            current = i as u32;
        }
        previous = Some(*key);
        rank[*at as usize] = current;
    }
    ties
}

/// The common prefix of each suffix with the one before it in order, the first left out (Kasai et al. 2001).
fn common_prefixes(symbols: &[u8], order: &[u32]) -> Vec<u32> {
    let n = symbols.len();
    let mut rank = vec![0_usize; n];
    order.iter().enumerate().for_each(|(i, at)| rank[*at as usize] = i);
    let mut prefixes = vec![0_u32; n.saturating_sub(1)];
    let mut length = 0;
    for at in 0..n {
        if rank[at] == 0 {
            length = 0;
            continue;
        }
        let before = order[rank[at] - 1] as usize;
        let rest = symbols[at + length..].iter().zip(&symbols[before + length..]);
        length += rest.take_while(|(a, b)| a == b).count();
        prefixes[rank[at] - 1] = length as u32;
        length = length.saturating_sub(1);
    }
    prefixes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::Seeded;

    #[test]
    fn suffixes_stand_in_order() {
        for text in
            ["banana", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "mississippi", "abababababababababababababab", "z"]
        {
            let symbols = text.as_bytes();
            let mut expected: Vec<u32> = (0..symbols.len() as u32).collect();
            expected.sort_by_key(|at| &symbols[*at as usize..]);
            assert_eq!(suffix_array(symbols), expected, "{text}");
        }
    }

    #[test]
    fn repeats_agree_with_counting_by_hand() {
        let mut bytes = vec![0; 700];
        Seeded::new(11).fill(&mut bytes);
        let symbols: Vec<u8> = bytes.iter().map(|byte| byte % 3).collect();
        for repeat in repeats(&symbols) {
            let mut counts = std::collections::HashMap::new();
            symbols.windows(repeat.width).for_each(|w| *counts.entry(w).or_insert(0_usize) += 1);
            let most = counts.values().max().copied().unwrap();
            let pairs: usize = counts.values().map(|n| n * (n - 1) / 2).sum();
            assert_eq!((repeat.most, repeat.pairs as usize), (most, pairs), "width {}", repeat.width);
        }
    }

    #[test]
    fn a_constant_holds_nothing_and_ends() {
        assert!(t_tuple(&[3; 100_000], 256).unwrap() < 1e-3);
        assert!(longest_repeat(&[3; 100_000], 256).unwrap() < 0.01);
    }
}
