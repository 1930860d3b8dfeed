//! Metrics and health over HTTP, against the built broker.
//!
//! ```text
//!   http/web.rs        a bare HTTP client, and a scrape read strictly
//!   http/endpoints.rs  paths, methods, versions; what is no HTTP, too large, too slow, too many
//!   http/counted.rs    after a load the metrics say what happened; each is declared; promtool agrees
//! ```

#![allow(clippy::unwrap_used)] // helpers of tests, too

#[path = "http/counted.rs"]
mod counted;
#[path = "http/endpoints.rs"]
mod endpoints;
#[path = "http/web.rs"]
mod web;
