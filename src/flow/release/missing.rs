//! What the PACS of a retrieval owed and no other one brought: how many instances, and which, as far as that is certain.

use std::collections::{BTreeSet, HashSet};

use super::fetch::Request;
use super::identifier::{self, trimmed};
use crate::dicom::Uid;
use crate::dicom::tags::{SERIES, SOP_INSTANCE, STUDY};
use crate::keys::Archive;

/// Sub-operations that never came to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Missing {
    /// How many.
    pub count: u16,
    /// Which, as far as that is certain.
    pub instances: Vec<Uid>,
    /// Whether something was owed, and it is certain that all of it came from elsewhere.
    pub is_settled: bool,
}

/// What one PACS owed at its end.
#[derive(Debug, Clone, Default)]
pub(super) struct Debt {
    /// How many, if anybody knows.
    pub(super) count: Option<u16>,
    /// Those of them that it has named.
    pub(super) named: HashSet<Uid>,
    /// What it has brought.
    pub(super) came: HashSet<Uid>,
}

impl Debt {
    /// How many it has not named.
    fn unnamed(&self) -> u16 {
        self.count.unwrap_or_default().saturating_sub(length(self.named.len()))
    }

    /// Of those that it has not named, how many at least nobody knows: they are none that came from elsewhere, and none
    /// that others have named.
    fn unknown_at_least(&self, came: &HashSet<Uid>, named: &BTreeSet<Uid>) -> u16 {
        let is_other = |one: &&Uid| !self.came.contains(*one) && !self.named.contains(*one);
        let known = came.iter().chain(named).filter(is_other).count();
        self.unnamed().saturating_sub(length(known))
    }
}

/// What may have been asked for.
pub(super) struct Asked {
    /// Whether the identifier itself names it; else it is what was sealed of its study.
    pub(super) by_name: bool,
    pub(super) instances: BTreeSet<Uid>,
}

/// What is owed after all have been asked: what a PACS names counts if it did not come from elsewhere. Of the rest it is
/// known how many there are at least and at most; what was asked for and did not come says how many, if it fits, and which.
pub(super) fn missing(debts: &[Debt], came: &HashSet<Uid>, asked: &Asked) -> Missing {
    let named: BTreeSet<Uid> =
        debts.iter().flat_map(|debt| &debt.named).filter(|one| !came.contains(*one)).cloned().collect();
    let others: BTreeSet<Uid> =
        asked.instances.iter().filter(|one| !came.contains(*one) && !named.contains(*one)).cloned().collect();
    let is_known = debts.iter().all(|debt| debt.count.is_some_and(|_| debt.unnamed() == 0));
    let at_most = debts.iter().map(Debt::unnamed).fold(0, u16::saturating_add);
    let at_least = debts.iter().map(|debt| debt.unknown_at_least(came, &named)).max().unwrap_or_default();
    let likely = length(others.len());
    let unnamed = if asked.by_name && debts.iter().any(|debt| debt.count.is_none()) {
        // One broke off before it said anything: what was asked for by name has failed.
        likely
    } else {
        likely.clamp(at_least, at_most)
    };
    let count = length(named.len()).saturating_add(unnamed);
    let instances = if unnamed == likely {
        named.into_iter().chain(others).collect()
    } else {
        named.into_iter().collect()
    };
    Missing { count, instances, is_settled: !debts.is_empty() && count == 0 && (is_known || asked.by_name) }
}

fn length(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

/// What may have been asked for: what the identifier names, or what was sealed of its study.
pub(super) fn asked(request: &Request, archive: &Archive) -> Asked {
    let encoding = request.context.transfer_syntax.encoding;
    let values = identifier::values(&request.identifier, encoding, &[SOP_INSTANCE, STUDY, SERIES]);
    let of = |tag| -> Vec<Uid> {
        let list = values.as_ref().ok().and_then(|values| values.get(&tag));
        let list = list.map(|value| trimmed(value)).unwrap_or_default();
        list.split(|byte| *byte == b'\\').filter_map(|one| Uid::from_wire(one).ok()).collect()
    };
    let named = of(SOP_INSTANCE);
    if !named.is_empty() {
        return Asked { by_name: true, instances: named.into_iter().collect() };
    }
    let series = of(SERIES);
    let sealed = of(STUDY).into_iter().flat_map(|study| archive.instances_of(&study).unwrap_or_default());
    let asked =
        sealed.filter(|(_, of)| series.is_empty() || of.as_ref().is_some_and(|of| series.contains(of)));
    Asked { by_name: false, instances: asked.map(|(instance, _)| instance).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Instances by their last numbers, in the order of these.
    fn uids<T: FromIterator<Uid>>(numbers: impl IntoIterator<Item = u16>) -> T {
        numbers.into_iter().map(|number| Uid::parse(&format!("1.2.{}", 100 + number)).unwrap()).collect()
    }

    fn debt(count: impl Into<Option<u16>>, came: impl IntoIterator<Item = u16>) -> Debt {
        Debt { count: count.into(), named: HashSet::new(), came: uids(came) }
    }

    fn sealed(numbers: impl IntoIterator<Item = u16>) -> Asked {
        Asked { by_name: false, instances: uids(numbers) }
    }

    fn by_name(numbers: impl IntoIterator<Item = u16>) -> Asked {
        Asked { by_name: true, instances: uids(numbers) }
    }

    fn lost(count: u16, numbers: impl IntoIterator<Item = u16>) -> Missing {
        Missing { count, instances: uids(numbers), is_settled: false }
    }

    #[test]
    fn what_a_mirror_brings_is_not_missing() {
        let debts = [debt(7, 1..=5)];
        assert_eq!(missing(&debts, &uids(1..=12), &sealed(1..=12)), lost(0, []));
        assert_eq!(missing(&debts, &uids(1..=12), &sealed([])), lost(0, []), "nothing of it was ever sealed");
    }

    #[test]
    fn what_nobody_brings_is_missing_and_named_where_it_was_sealed() {
        // The other one has twelve too, of which seven are others.
        let came = uids((1..=5).chain(21..=27));
        let all = || (1..=12).chain(21..=27);
        assert_eq!(missing(&[debt(7, 1..=5)], &came, &sealed(all())), lost(7, 6..=12));
        assert_eq!(missing(&[debt(7, 1..=5)], &uids(1..=5), &sealed(1..=12)), lost(7, 6..=12));
        assert_eq!(missing(&[debt(7, 1..=5)], &uids(1..=5), &sealed([])), lost(7, []));
        assert_eq!(missing(&[debt(7, 1..=5)], &uids(1..=7), &sealed([])), lost(5, []));
        // What was deleted there stays in the key store.
        assert_eq!(missing(&[debt(2, 1..=5)], &uids(1..=5), &sealed(1..=12)), lost(2, []));
        // Both owe the same.
        let both = [debt(7, 1..=5), debt(7, 1..=5)];
        assert_eq!(missing(&both, &uids(1..=5), &sealed(1..=12)), lost(7, 6..=12));
    }

    #[test]
    fn what_a_pacs_names_is_missing_unless_it_came_from_elsewhere() {
        let named = Debt { count: Some(3), named: uids([1, 2, 3]), came: uids([4]) };
        let of =
            |came: &[u16]| missing(std::slice::from_ref(&named), &uids(came.iter().copied()), &sealed([]));
        assert_eq!(of(&[4, 1]), lost(2, [2, 3]));
        assert_eq!(of(&[1, 2, 3, 4]), Missing { is_settled: true, ..lost(0, []) });
        let one_more = Debt { count: Some(4), ..named.clone() };
        assert_eq!(missing(&[one_more], &uids([1, 2, 3, 4]), &sealed([])), lost(1, []));
        // Another one broke off, and owed what the first one has named.
        assert_eq!(missing(&[named.clone(), debt(3, [4])], &uids([4]), &sealed([])), lost(3, [1, 2, 3]));
        assert_eq!(missing(&[named.clone(), debt(4, [4])], &uids([4]), &sealed([])), lost(4, [1, 2, 3]));
    }

    #[test]
    fn what_was_asked_for_by_name_has_failed_where_nobody_brought_it() {
        let silent = [debt(None, [])];
        assert_eq!(missing(&silent, &uids([1]), &by_name([1, 2])), lost(1, [2]));
        assert_eq!(
            missing(&silent, &uids([1, 2]), &by_name([1, 2])),
            Missing { is_settled: true, ..lost(0, []) }
        );
        assert_eq!(missing(&silent, &uids([]), &sealed([1, 2])), lost(0, []), "nobody knows what it has");
        assert_eq!(missing(&[], &uids([1]), &by_name([1, 2])), lost(0, []), "it does not exist");
    }
}
