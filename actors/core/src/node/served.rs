//! The progress of this node: up to which index of the metadata log it follows the image.
//!
//! Each piece of work that an image causes is counted under that image's index until it is done. The node serves the
//! image up to just below the lowest index that still has work. The counter does no work itself.

use std::collections::BTreeMap;

/// Work under way, counted by index.
#[derive(Debug, Default)]
pub struct Served {
    under_way: BTreeMap<u64, usize>,
    said: u64,
}

impl Served {
    /// A piece of work begins for this index.
    pub fn begin(&mut self, index: u64) {
        *self.under_way.entry(index).or_default() += 1;
    }

    /// A piece of work of this index is done. An index without work is ignored.
    pub fn done(&mut self, index: u64) {
        if let Some(left) = self.under_way.get_mut(&index) {
            *left -= 1;
            if *left == 0 {
                self.under_way.remove(&index);
            }
        }
    }

    /// The index served, if the image is applied up to `applied`.
    #[must_use]
    pub fn index(&self, applied: u64) -> u64 {
        self.under_way.first_key_value().map_or(applied, |(first, _)| first.saturating_sub(1))
    }

    /// The index served, if it differs from the one given last.
    pub fn news(&mut self, applied: u64) -> Option<u64> {
        let index = self.index(applied);
        (index != self.said).then(|| {
            self.said = index;
            index
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_served_when_all_work_up_to_it_is_done() {
        let mut served = Served::default();
        assert_eq!((served.news(7), served.news(7)), (Some(7), None));
        served.begin(9);
        served.begin(9);
        served.begin(8);
        assert_eq!(served.index(9), 7);
        served.done(8);
        served.done(9);
        assert_eq!(served.index(9), 8, "one of two is under way");
        served.done(9);
        served.done(9);
        assert_eq!(served.index(9), 9);
    }
}
