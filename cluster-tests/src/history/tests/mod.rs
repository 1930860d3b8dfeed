//! The checker's own test: planted anomalies are caught by name, good histories never alarm, a long one takes seconds.
//!
//! `tale` tells one small good history, into which `planted` puts each anomaly. `world` is a log service that keeps all
//! promises, at random; `random` judges what its clients see.

mod long;
mod planted;
mod random;
mod tale;
mod transactions;
mod world;
