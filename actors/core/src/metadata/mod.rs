//! Metadata: committed records, and the image they add up to.

mod image;
mod record;

pub use image::{Image, Partition, Topic};
pub use record::MetadataRecord;
