//! Which of many images are measured: as many of each modality, spread over what there is.

use std::collections::BTreeMap;

/// The indices below `length`, `first` of them spread evenly in front.
#[must_use]
pub fn spread(length: usize, first: usize) -> Vec<usize> {
    let first = first.min(length);
    let mut order: Vec<usize> = (0..first).map(|i| i * length / first.max(1)).collect();
    let front: std::collections::HashSet<usize> = order.iter().copied().collect();
    order.extend((0..length).filter(|at| !front.contains(at)));
    order
}

/// The indices of `modalities` in turns: one of each modality, then a second of each, as far as there are. Of a modality
/// those come first that lie apart.
#[must_use]
pub fn by_turns(modalities: &[Option<String>], wanted: usize) -> Vec<usize> {
    let mut groups = BTreeMap::<&Option<String>, Vec<usize>>::new();
    for (at, modality) in modalities.iter().enumerate() {
        groups.entry(modality).or_default().push(at);
    }
    let share = wanted.div_ceil(groups.len().max(1));
    let groups: Vec<Vec<usize>> = groups
        .into_values()
        .map(|all| spread(all.len(), share).into_iter().map(|at| all[at]).collect())
        .collect();
    let longest = groups.iter().map(Vec::len).max().unwrap_or(0);
    (0..longest).flat_map(|turn| groups.iter().filter_map(move |group| group.get(turn).copied())).collect()
}

/// How many there are of each modality, in words.
#[must_use]
pub fn counted<'a>(modalities: impl Iterator<Item = Option<&'a str>>) -> String {
    let mut counts = BTreeMap::<&str, usize>::new();
    modalities.for_each(|modality| *counts.entry(modality.unwrap_or("of no modality")).or_default() += 1);
    let said: Vec<String> =
        counts.into_iter().map(|(modality, count)| format!("{count} {modality}")).collect();
    said.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_to_measure_are_spread_over_all() {
        assert_eq!(spread(10, 3), [0, 3, 6, 1, 2, 4, 5, 7, 8, 9]);
        assert_eq!(spread(2, 5), [0, 1]);
        assert!(spread(0, 5).is_empty());
    }

    #[test]
    fn a_rare_modality_comes_before_the_many_images_of_a_common_one() {
        let modality = |text: &str| Some(text.to_owned());
        let mut all = vec![modality("MR"); 8];
        all.extend([modality("CR"), None, modality("CR")]);
        assert_eq!(by_turns(&all, 6), [9, 8, 0, 10, 4, 1, 2, 3, 5, 6, 7]);
        assert!(by_turns(&[], 4).is_empty());
    }

    #[test]
    fn what_was_taken_is_counted_by_modality() {
        assert_eq!(
            counted([Some("MR"), None, Some("CT"), Some("MR")].into_iter()),
            "1 CT, 2 MR, 1 of no modality"
        );
    }
}
