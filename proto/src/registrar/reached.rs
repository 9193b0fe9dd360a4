//! The elements that are reached over one association: mostly one, which needs no tree.

use super::ElementKey;
use std::collections::{BTreeSet, btree_set};
use std::iter::Chain;
use std::option;

/// A set of elements, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Reached {
    /// The only one.
    one: Option<ElementKey>,
    /// All, if there are more.
    many: BTreeSet<ElementKey>,
}

impl Reached {
    pub(super) fn is_empty(&self) -> bool {
        self.one.is_none() && self.many.is_empty()
    }

    /// Adds an element.
    pub(super) fn insert(&mut self, key: ElementKey) {
        if self.is_empty() {
            self.one = Some(key);
        } else if self.one.as_ref() != Some(&key) {
            self.many.extend(self.one.take());
            self.many.insert(key);
        }
    }

    /// Removes an element, if it is there.
    pub(super) fn remove(&mut self, key: &ElementKey) {
        self.one.take_if(|one| one == key);
        self.many.remove(key);
    }
}

impl IntoIterator for Reached {
    type Item = ElementKey;
    type IntoIter = Chain<option::IntoIter<ElementKey>, btree_set::IntoIter<ElementKey>>;

    fn into_iter(self) -> Self::IntoIter {
        self.one.into_iter().chain(self.many)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use params::{PeIdentifier, PoolHandle};

    #[test]
    fn each_element_is_in_it_once_and_in_order() {
        let key = |id| ElementKey::new(&PoolHandle::from("pool"), PeIdentifier(id));
        let mut reached = Reached::default();
        assert!(reached.is_empty());
        for id in [2, 2, 3, 1, 3] {
            reached.insert(key(id));
        }
        assert!(reached.clone().into_iter().eq([1, 2, 3].map(key)));
        for id in [4, 1, 3] {
            reached.remove(&key(id));
        }
        reached.insert(key(2));
        assert!(reached.clone().into_iter().eq([key(2)]));
        reached.remove(&key(2));
        assert!(reached.is_empty());
        reached.insert(key(1));
        reached.remove(&key(2));
        assert!(reached.into_iter().eq([key(1)]));
    }
}
