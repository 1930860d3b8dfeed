//! Two or three transports in one process, on ports of their own, and a gate that judges like the core does.
//!
//! ```text
//!   calls.rs  questions and answers      hellos.rs  refusals, data connections, a peer that is killed
//!   raw.rs    a peer that breaks the rules, before its hello and after it
//! ```

mod calls;
mod hellos;
mod raw;

use super::*;
use bytes::Bytes;
use callboard_actors::ports::{Caller, Calls, Serves, Service};
use callboard_actors::samples::Samples;
use callboard_core::bootstrap::ClusterId;
use callboard_core::bootstrap::hello::{Hello, HelloRefusal, Here, Known, refuses};
use callboard_core::{BrokerEpoch, BrokerId, NodeUuid, ProcessId};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const SECRET: &[u8] = b"the secret of all tests";
/// A test that waits longer than this fails.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Facts {
    epoch: Option<BrokerEpoch>,
    cluster: Option<ClusterId>,
    brokers: HashMap<NodeUuid, BrokerId>,
    members: HashMap<BrokerId, Member>,
    known: HashMap<NodeUuid, Known>,
    /// Releases beyond the first version of the protocol.
    newer: u16,
    met: Vec<NodeUuid>,
}

struct FakeGate {
    uuid: NodeUuid,
    facts: Mutex<Facts>,
}

impl Gate for FakeGate {
    fn hello(&self) -> Hello {
        let (cluster, newer) = {
            let facts = self.facts.lock();
            (facts.cluster.clone(), facts.newer)
        };
        let processes = vec![ProcessId([9; 16])];
        Hello {
            version: 1 + newer,
            cluster,
            cluster_epoch: 0,
            uuid: self.uuid,
            incarnation: 1,
            processes,
            granted: 1,
        }
    }

    fn epoch(&self) -> Option<BrokerEpoch> {
        self.facts.lock().epoch
    }

    fn judge(&self, hello: &Hello, key: &str, dialled: Option<NodeUuid>) -> Result<(), HelloRefusal> {
        assert_eq!(key.len(), 64);
        let facts = self.facts.lock();
        let here = Here { version: 1 + facts.newer, cluster: facts.cluster.clone(), cluster_epoch: 0 };
        refuses(&here, hello, dialled, facts.known.get(&hello.uuid).copied()).map_or(Ok(()), Err)
    }

    fn met(&self, hello: &Hello) {
        self.facts.lock().met.push(hello.uuid);
    }

    fn broker_of(&self, uuid: NodeUuid) -> Option<BrokerId> {
        self.facts.lock().brokers.get(&uuid).copied()
    }

    fn member(&self, node: BrokerId) -> Option<Member> {
        self.facts.lock().members.get(&node).cloned()
    }
}

/// Answers with the caller's uuid, the service and the question.
struct Echo;

impl Serves for Echo {
    fn serve(
        &self,
        from: Caller,
        service: Service,
        question: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, String>> {
        Box::pin(async move { Ok(echo(from.uuid, service, &question)) })
    }
}

fn echo(from: NodeUuid, service: Service, question: &[u8]) -> Bytes {
    [from.0.as_slice(), &[service as u8], question].concat().into()
}

struct Node {
    gate: Arc<FakeGate>,
    transport: Arc<Transport>,
    dir: tempfile::TempDir,
}

fn uuid(n: u8) -> NodeUuid {
    NodeUuid([n; 16])
}

fn gate(n: u8) -> Arc<FakeGate> {
    let facts = Facts { cluster: Some(ClusterId("one".to_owned())), ..Facts::default() };
    Arc::new(FakeGate { uuid: uuid(n), facts: Mutex::new(facts) })
}

fn start(
    listen: &str,
    secret: &[u8],
    dir: &Path,
    gate: &Arc<FakeGate>,
) -> Result<Arc<Transport>, TransportError> {
    let secret = Secret::new(secret).unwrap();
    let config = TransportConfig { listen: listen.to_owned(), secret, dir: dir.to_owned() };
    Transport::start(config, Arc::clone(gate) as Arc<dyn Gate>)
}

impl Node {
    fn new(n: u8) -> Node {
        Node::with(n, "127.0.0.1:0", SECRET)
    }

    fn with(n: u8, listen: &str, secret: &[u8]) -> Node {
        let (dir, gate) = (tempfile::tempdir().unwrap(), gate(n));
        let transport = start(listen, secret, dir.path(), &gate).unwrap();
        transport.serve(Arc::new(Echo));
        Node { gate, transport, dir }
    }

    fn uuid(&self) -> NodeUuid {
        self.gate.uuid
    }

    fn address(&self) -> String {
        self.transport.local_addr().unwrap().to_string()
    }

    /// Makes a node known, under the number of its uuid.
    fn knows(&self, other: NodeUuid, addresses: Vec<String>) {
        let broker = BrokerId::from(other.0[0]);
        let mut facts = self.gate.facts.lock();
        facts.brokers.insert(other, broker);
        facts.members.insert(broker, Member { uuid: other, addresses });
    }

    async fn ask(&self, to: BrokerId, question: &[u8]) -> Result<Bytes, callboard_actors::ports::CallError> {
        let question = Bytes::copy_from_slice(question);
        self.transport.call(to, Service::Ask, question, PATIENCE).await
    }

    /// The value of a series.
    fn sampled(&self, series: &str) -> f64 {
        let mut samples = Samples::default();
        self.transport.sample(&mut samples);
        let text = samples.into_text();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{series} in {text}")).parse().unwrap()
    }

    fn refused(&self, reason: &str) -> f64 {
        self.sampled(&format!("callboard_transport_refused_total{{reason=\"{reason}\"}}"))
    }

    fn controls(&self) -> f64 {
        self.sampled("callboard_transport_connections{kind=\"control\"}")
    }
}

fn introduce(nodes: &[&Node]) {
    for node in nodes {
        node.gate.facts.lock().epoch = Some(100 + u64::from(node.uuid().0[0]));
        for other in nodes {
            node.knows(other.uuid(), vec![other.address()]);
        }
    }
}

/// Asks again until there is a value.
async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let until = std::time::Instant::now() + PATIENCE;
    loop {
        if let Some(value) = ask().await {
            return value;
        }
        assert!(std::time::Instant::now() < until, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Fails the test if a future never ends.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it never ends")
}
