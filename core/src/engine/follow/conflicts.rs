//! Finds the transactions that a transaction must not overtake, by the keys that both use.

use std::collections::{BTreeSet, HashMap};

use crate::conflict_hasher::ConflictKey;

/// The least number of keys at which those of committed transactions are removed.
const MIN_SWEEP: usize = 4096;

/// A transaction that was given to an applier.
#[derive(Debug, Clone, Copy)]
struct KeyUser {
    transaction: u64,
    applier: usize,
}

#[derive(Debug, Default)]
struct KeyUsers {
    /// The last transaction that used the key exclusively.
    exclusive: Option<KeyUser>,
    /// The transactions after it that shared the key.
    shared: Vec<KeyUser>,
}

/// The keys of the transactions that may still be open.
#[derive(Debug, Default)]
pub(super) struct Conflicts {
    users: HashMap<u64, KeyUsers>,
    sweep_at: usize,
}

impl Conflicts {
    /// The number of keys that are kept.
    pub(super) fn len(&self) -> usize {
        self.users.len()
    }

    /// The appliers that have open transactions which a transaction with these keys must not overtake.
    pub(super) fn appliers(&self, keys: &[ConflictKey], is_open: impl Fn(u64) -> bool) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        for key in keys {
            let Some(users) = self.users.get(&key.hash) else { continue };
            let shared = users.shared.iter().filter(|_| !key.is_shared);
            let open = users.exclusive.iter().chain(shared).filter(|user| is_open(user.transaction));
            found.extend(open.map(|user| user.applier));
        }
        found
    }

    /// Records that a transaction with these keys was given to an applier.
    pub(super) fn record(
        &mut self,
        keys: &[ConflictKey],
        transaction: u64,
        applier: usize,
        is_open: impl Fn(u64) -> bool,
    ) {
        if self.users.len() >= self.sweep_at.max(MIN_SWEEP) {
            self.users.retain(|_, users| {
                users.shared.retain(|user| is_open(user.transaction));
                users.exclusive = users.exclusive.filter(|user| is_open(user.transaction));
                users.exclusive.is_some() || !users.shared.is_empty()
            });
            self.sweep_at = 2 * self.users.len();
        }
        for key in keys {
            let users = self.users.entry(key.hash).or_default();
            if key.is_shared {
                if users.shared.len() >= 64 {
                    users.shared.retain(|user| is_open(user.transaction));
                }
                users.shared.push(KeyUser { transaction, applier });
            } else {
                // It commits after those that shared the key.
                users.shared.clear();
                users.exclusive = Some(KeyUser { transaction, applier });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(hash: u64, is_shared: bool) -> ConflictKey {
        ConflictKey { hash, is_shared }
    }

    #[test]
    fn shared_keys_conflict_with_exclusive_ones_only() {
        let mut conflicts = Conflicts::default();
        let open = |_| true;
        conflicts.record(&[key(1, true)], 0, 0, open);
        conflicts.record(&[key(1, true), key(2, false)], 1, 1, open);
        assert!(conflicts.appliers(&[key(1, true), key(3, false)], open).is_empty());
        assert_eq!(conflicts.appliers(&[key(1, false)], open), BTreeSet::from([0, 1]));
        assert_eq!(conflicts.appliers(&[key(2, true)], open), BTreeSet::from([1]));
        conflicts.record(&[key(1, false)], 2, 2, open);
        assert_eq!(conflicts.appliers(&[key(1, true)], open), BTreeSet::from([2]));
        assert!(conflicts.appliers(&[key(1, false)], |transaction| transaction > 2).is_empty());
    }

    #[test]
    fn keys_of_committed_transactions_are_removed() {
        let mut conflicts = Conflicts::default();
        for number in 0..100_000 {
            conflicts.record(&[key(number, number % 2 == 0)], number, 0, |transaction| transaction + 10 > number);
        }
        assert!(conflicts.users.len() <= MIN_SWEEP, "{}", conflicts.users.len());
        assert_eq!(conflicts.appliers(&[key(99_999, false)], |_| true).len(), 1);
    }
}
