//! Metrics of the Kafka front-end: names, units, help and labels in one place, and the counters behind them.
//!
//! ```text
//!   frame comes in │ dispatched      │ its turn on the writer │ answer ready     │ handed to the socket
//!    └ queue ……… ─┴ local ────┴ queue ───────┴ local, fsync or wait ┴ response ──┘
//! ```

use callboard_actors::samples::Family;
use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
};
use metrics::{gauge, histogram};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Gauge: open client connections.
pub const CONNECTIONS: &str = "callboard_kafka_connections";
/// Counter: client connections since the start of the process.
pub const OPENED: &str = "callboard_kafka_connections_opened_total";
/// Counter, label `why` = client | idle | length | tls | cut | slow | io | request | sasl | stalled | slow_answer |
/// refused | shutdown: connections closed.
pub const CLOSED: &str = "callboard_kafka_connections_closed_total";
/// Counter, label `api`: requests answered.
pub const REQUESTS: &str = "callboard_kafka_requests_total";
/// Gauge: requests that are read and not answered yet.
pub const IN_FLIGHT: &str = "callboard_kafka_requests_in_flight";
/// Histogram, seconds, label `api`: from the last byte of a request to its answer being handed to the socket.
pub const SECONDS: &str = "callboard_kafka_request_seconds";
/// Histogram, seconds, labels `api`, `phase` = queue (for memory and the journal's gate while the request came in, and
/// for earlier answers of its connection) | local | fsync (Produce: for the journal) | wait (Fetch: for
/// `fetch.min.bytes`) | response (to the socket): where the time of a request went.
pub const PHASE_SECONDS: &str = "callboard_kafka_request_phase_seconds";
/// Counter, bytes, label `api`: requests.
pub const RECEIVED: &str = "callboard_kafka_received_bytes_total";
/// Counter, bytes, label `api`: answers.
pub const SENT: &str = "callboard_kafka_sent_bytes_total";
/// Counter, labels `api`, `code` (Kafka's number): requests, or parts of them, that were refused.
pub const REFUSED: &str = "callboard_kafka_refused_total";

/// Counter: connections that could not be accepted, and waited.
pub const NOT_ACCEPTED: &str = "callboard_kafka_connections_not_accepted_total";
/// Counter, label `api` = Produce | Fetch: answers whose client was told to hold back.
pub const THROTTLED: &str = "callboard_kafka_throttled_total";
/// Gauge: fetches that wait for records.
pub const FETCHES_WAITING: &str = "callboard_kafka_fetches_waiting";
/// Gauge: connections at most (`max.connections`), and so fetches that wait.
pub const CONNECTIONS_MAX: &str = "callboard_kafka_connections_max";
/// Gauge: fetch sessions of all clients.
pub const SESSIONS: &str = "callboard_kafka_fetch_sessions";
/// Gauge, bytes: memory of all fetch sessions.
pub const SESSION_BYTES: &str = "callboard_kafka_fetch_session_bytes";
/// Gauge, bytes, label `what`: every bound on memory.
pub const MEMORY_BOUND: &str = "callboard_memory_bound_bytes";
/// Gauge, bytes: the sum of all bounds on memory.
pub const MEMORY_BOUNDS: &str = "callboard_memory_bounds_sum_bytes";
/// Gauge, bytes: memory of the machine, or of the control group.
pub const MEMORY: &str = "callboard_memory_limit_bytes";

/// Gauge, bytes, label `pool` = produce | requests | small | reserve | responses | response_reserve | tickets: the
/// size of a pool.
pub const POOL_CAPACITY: &str = "callboard_kafka_pool_capacity_bytes";
/// Gauge, bytes, label `pool`: the part of a pool that is in use.
pub const POOL_USED: &str = "callboard_kafka_pool_used_bytes";
/// Gauge, label `pool`: requests that wait for memory of a pool.
pub const POOL_WAITERS: &str = "callboard_kafka_pool_waiters";

pub(super) const MOST_CONNECTIONS: Family =
    Family::gauge(CONNECTIONS_MAX, "client connections that may be open");
pub(super) const ALL_SESSIONS: Family = Family::gauge(SESSIONS, "fetch sessions");
pub(super) const ALL_SESSION_BYTES: Family = Family::gauge(SESSION_BYTES, "memory of fetch sessions");
pub(super) const BOUND: Family = Family::gauge(MEMORY_BOUND, "each bound on memory");
pub(super) const BOUNDS: Family = Family::gauge(MEMORY_BOUNDS, "sum of all bounds on memory");
pub(super) const MEMORY_THERE: Family = Family::gauge(MEMORY, "memory that the process may use");
pub(super) const POOL_BYTES: Family =
    Family::gauge(POOL_CAPACITY, "size of the memory pools for requests and answers");
pub(super) const POOL_TAKEN: Family = Family::gauge(POOL_USED, "memory of a pool that is in use");
pub(super) const POOL_WAITING: Family =
    Family::gauge(POOL_WAITERS, "requests that wait for memory of a pool");

/// Tells the exporter what the names mean.
pub fn describe() {
    describe_gauge!(CONNECTIONS, Unit::Count, "open client connections");
    describe_counter!(OPENED, Unit::Count, "client connections opened");
    describe_counter!(CLOSED, Unit::Count, "client connections closed, by reason");
    describe_counter!(REQUESTS, Unit::Count, "requests answered");
    describe_gauge!(IN_FLIGHT, Unit::Count, "requests that are read and not answered yet");
    describe_histogram!(SECONDS, Unit::Seconds, "time from a request's last byte to its answer");
    describe_histogram!(PHASE_SECONDS, Unit::Seconds, "time of a request in each phase");
    describe_counter!(RECEIVED, Unit::Bytes, "bytes of requests");
    describe_counter!(SENT, Unit::Bytes, "bytes of answers");
    describe_counter!(REFUSED, Unit::Count, "requests, or parts of them, that were refused");
    describe_counter!(NOT_ACCEPTED, Unit::Count, "connections that could not be accepted, and waited");
    describe_counter!(THROTTLED, Unit::Count, "answers whose client was told to hold back");
    describe_gauge!(FETCHES_WAITING, Unit::Count, "fetches that wait for records");
}

pub(super) fn opened() {
    counter!(OPENED).increment(1);
    gauge!(CONNECTIONS).increment(1.0);
}

pub(super) fn closed(why: &'static str) {
    counter!(CLOSED, "why" => why).increment(1);
    gauge!(CONNECTIONS).decrement(1.0);
}

pub(super) fn not_accepted() {
    counter!(NOT_ACCEPTED).increment(1);
}

pub(super) fn throttled(api: &'static str) {
    counter!(THROTTLED, "api" => api).increment(1);
}

/// Counts a fetch that waits for records, until it is dropped.
pub struct WaitingFetch(Gauge);

impl WaitingFetch {
    pub(super) fn new() -> WaitingFetch {
        let waiting = gauge!(FETCHES_WAITING);
        waiting.increment(1.0);
        WaitingFetch(waiting)
    }
}

impl Drop for WaitingFetch {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

pub(super) fn refused(api: &'static str, code: i16) {
    counter!(REFUSED, "api" => api, "code" => code.to_string()).increment(1);
}

/// Time that a request waits for something other than its own work; the code of its API adds it up.
#[derive(Clone, Debug, Default)]
pub struct Apart(Arc<AtomicU64>);

impl Apart {
    /// Adds time in the journal (Produce), or time for more bytes or other members (all others).
    pub fn add(&self, took: Duration) {
        self.0.fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
    }

    fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// One request, from its last byte to its answer; it counts as in flight until it is dropped.
pub struct Request {
    api: &'static str,
    bytes: usize,
    /// Time that it waited for memory and the gate while it came in.
    waited: Duration,
    received: Instant,
    dispatched: Instant,
    apart: Apart,
    in_flight: Gauge,
}

impl Drop for Request {
    fn drop(&mut self) {
        self.in_flight.decrement(1.0);
    }
}

impl Request {
    /// Begins to count a request that was read and dispatched.
    pub(super) fn new(
        api: &'static str,
        bytes: usize,
        waited: Duration,
        received: Instant,
        apart: Apart,
    ) -> Request {
        let in_flight = gauge!(IN_FLIGHT);
        in_flight.increment(1.0);
        Request { api, bytes, waited, received, dispatched: Instant::now(), apart, in_flight }
    }
}

/// The moments of a request on the write half.
pub(super) struct Turn {
    /// When the write half came to it.
    pub began: Instant,
    pub ready: Instant,
    pub sent: usize,
}

/// The metrics of one API, looked up once for each connection and API.
struct Meters {
    api: &'static str,
    requests: Counter,
    received: Counter,
    sent: Counter,
    seconds: Histogram,
    queue: Histogram,
    local: Histogram,
    /// Made at the first wait, because most APIs wait for nothing.
    apart: Option<Histogram>,
    response: Histogram,
}

impl Meters {
    fn new(api: &'static str) -> Meters {
        let phase = |phase| phase_of(api, phase);
        Meters {
            api,
            requests: counter!(REQUESTS, "api" => api),
            received: counter!(RECEIVED, "api" => api),
            sent: counter!(SENT, "api" => api),
            seconds: histogram!(SECONDS, "api" => api),
            queue: phase("queue"),
            local: phase("local"),
            apart: None,
            response: phase("response"),
        }
    }
}

fn phase_of(api: &'static str, phase: &'static str) -> Histogram {
    histogram!(PHASE_SECONDS, "api" => api, "phase" => phase)
}

/// The metrics of one connection, by API.
#[derive(Default)]
pub(super) struct Answered(Vec<Meters>);

impl Answered {
    /// Records a request whose answer was sent.
    pub(super) fn note(&mut self, request: &Request, turn: &Turn) {
        let at = self.0.iter().position(|m| m.api == request.api).unwrap_or_else(|| {
            self.0.push(Meters::new(request.api));
            self.0.len() - 1
        });
        let (meters, apart) = (&mut self.0[at], request.apart.get());
        let local = (request.dispatched - request.received) + (turn.ready - turn.began);
        meters.requests.increment(1);
        meters.received.increment(request.bytes as u64);
        meters.sent.increment(turn.sent as u64);
        meters.seconds.record(request.received.elapsed().as_secs_f64());
        meters.queue.record((request.waited + (turn.began - request.dispatched)).as_secs_f64());
        meters.local.record(local.saturating_sub(apart).as_secs_f64());
        if !apart.is_zero() {
            let phase = if request.api == "Produce" { "fsync" } else { "wait" };
            meters.apart.get_or_insert_with(|| phase_of(request.api, phase)).record(apart.as_secs_f64());
        }
        meters.response.record(turn.ready.elapsed().as_secs_f64());
    }
}
