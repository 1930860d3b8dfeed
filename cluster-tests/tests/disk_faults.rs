//! Disks that are full, slow, hung, failing or read-only, under the built binary and good clients.
//!
//! ```text
//!   disk_faults/site.rs    a broker, producers beside the fault, and the judge at the end
//!   disk_faults/full.rs    a file system without space
//!   disk_faults/broken.rs  syncs and writes that take long, do not return, or fail
//! ```
//!
//! Each fault ends as DESIGN says: by itself where it may, by a restart where it must; and then every record that was
//! acknowledged is there, once, in order.

#[path = "disk_faults/broken.rs"]
mod broken;
#[path = "disk_faults/full.rs"]
mod full;
#[path = "disk_faults/site.rs"]
mod site;
#[allow(dead_code)]
#[path = "http/web.rs"]
mod web;
