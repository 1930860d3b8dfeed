//! The ground a decision stands on: an image and the defaults.
//!
//! Each kind of question is decided by a method of [`Basis`] in a file of its own. It turns the question into outcomes
//! and records and changes nothing. The machine gives it the image *with everything that is on its way*, so that two
//! decisions of one moment know each other (R43).

use crate::metadata::configs::Statics;
use crate::metadata::image::Image;
use std::sync::Arc;

/// Defaults of new topics.
#[derive(Clone, Debug)]
pub struct TopicDefaults {
    /// `num.partitions`.
    pub partitions: i32,
    /// The settings of the configuration file.
    pub statics: Arc<Statics>,
}

/// An image and the defaults, for one decision.
pub(super) struct Basis<'a> {
    pub image: &'a Image,
    pub defaults: &'a TopicDefaults,
}
