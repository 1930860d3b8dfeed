//! What the Kafka front-end holds at the moment of a scrape: pools, connections, sessions, the bounds on memory.
//!
//! `metrics.rs` counts as things happen and names every metric. Here values are read only when somebody asks for them.

use super::context::Context;
use super::metrics::{
    ALL_SESSION_BYTES, ALL_SESSIONS, BOUND, BOUNDS, MEMORY_THERE, MOST_CONNECTIONS, POOL_BYTES, POOL_TAKEN,
    POOL_WAITING,
};
use callboard_actors::permit::Pool;
use callboard_actors::samples::{Family, Samples};

/// Adds a sample of everything that is read and not counted.
pub fn sample(context: &Context, out: &mut Samples) {
    let pools = context.pools.all();
    let mut each = |family: &Family, of: fn(&Pool) -> usize| {
        let mut series = out.family(family);
        for (name, pool) in pools {
            series.add(&[("pool", name)], of(pool) as f64);
        }
    };
    each(&POOL_BYTES, Pool::capacity);
    each(&POOL_TAKEN, Pool::used);
    each(&POOL_WAITING, Pool::waiters);
    out.one(&MOST_CONNECTIONS, context.slots.capacity() as f64);
    let (sessions, bytes) = {
        let sessions = context.fetch_sessions.lock();
        (sessions.len(), sessions.bytes())
    };
    out.one(&ALL_SESSIONS, sessions as f64);
    out.one(&ALL_SESSION_BYTES, bytes as f64);
    let mut bounds = out.family(&BOUND);
    for term in &context.bounds.terms {
        bounds.add(&[("what", term.what)], term.bytes as f64);
    }
    out.one(&BOUNDS, context.bounds.terms.iter().map(|term| term.bytes as f64).sum());
    out.one(&MEMORY_THERE, context.bounds.memory as f64);
}
