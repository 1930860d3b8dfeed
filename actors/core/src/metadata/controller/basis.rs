//! The ground of a decision: an image and the defaults.
//!
//! A method of [`Basis`] decides each kind of question, in a file of its own. It turns the question into outcomes and
//! records and changes nothing. The machine hands it the image with all pending proposals applied, so that two
//! decisions of one moment know each other (R43).

use crate::metadata::configs::Statics;
use crate::metadata::image::Image;
use std::sync::Arc;

/// Defaults of new topics, and of every config that nothing overrides.
#[derive(Clone, Debug)]
pub struct TopicDefaults {
    /// Partitions of a new topic (`num.partitions`).
    pub partitions: i32,
    /// The settings of the configuration file.
    pub statics: Arc<Statics>,
}

/// One decision's image and defaults.
pub(super) struct Basis<'a> {
    pub image: &'a Image,
    pub defaults: &'a TopicDefaults,
}
