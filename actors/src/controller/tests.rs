//! Tests of the controller's actor, over a log that the test drives.

use super::{Ask, ControllerActor, ControllerArgs, ControllerHandle};
use crate::clock::SystemClock;
use crate::group::CoordinatorsArgs;
use crate::images::Images;
use crate::node::{NodeActor, NodeArgs, NodeIdentity};
use crate::partition::TailBudget;
use crate::ports::{MetadataLog, OpenLog};
use callboard_core::ErrorCode;
use callboard_core::metadata::controller::Reply as Said;
use callboard_core::metadata::{
    Committed, LEVELS, Leadership, MetadataRecord, ProposalId, ProposeResult, Registration, TopicDefaults,
};
use futures_util::future::{BoxFuture, FutureExt};
use ractor::Actor;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

const FIRST: ProposalId = ProposalId { node: 1, number: 5 };
const PATIENCE: Duration = Duration::from_secs(30);

/// A log that hands each proposal to its function.
struct Log(Box<dyn Fn(ProposalId, Vec<MetadataRecord>) -> ProposeResult + Send + Sync>);

impl MetadataLog for Log {
    fn propose(
        &self,
        _leadership: Leadership,
        id: ProposalId,
        records: Vec<MetadataRecord>,
    ) -> BoxFuture<'static, ProposeResult> {
        std::future::ready((self.0)(id, records)).boxed()
    }

    fn close(&self) {}
}

/// An empty log that this node leads. The function `does` gets the stream.
fn open(
    does: impl Fn(&mpsc::UnboundedSender<Committed>, ProposalId, Vec<MetadataRecord>) -> ProposeResult
    + Send
    + Sync
    + 'static,
) -> OpenLog {
    let (stream, committed) = mpsc::unbounded_channel();
    stream.send(Committed::Snapshot { image: Arc::default(), index: 0 }).unwrap();
    stream.send(Committed::Lead(Leadership { term: 1, node: FIRST.node })).unwrap();
    let log = Arc::new(Log(Box::new(move |id, records| does(&stream, id, records))));
    OpenLog { log, committed, first: FIRST }
}

fn defaults() -> TopicDefaults {
    TopicDefaults { partitions: 1, statics: Arc::default() }
}

async fn controller(log: OpenLog) -> (ControllerHandle, Arc<Images>) {
    let images: Arc<Images> = Arc::default();
    let clock = Arc::new(SystemClock::default());
    let args = ControllerArgs { log, images: Arc::clone(&images), clock, defaults: defaults(), door: None };
    let (actor, _) = Actor::spawn(None, ControllerActor, args).await.unwrap();
    (ControllerHandle::new(actor), images)
}

#[tokio::test]
async fn an_ask_is_answered_when_its_batch_came_back_under_its_id() {
    let (controller, images) = controller(open(|stream, id, records| {
        let records = Arc::new(records);
        // The same records come first from a former process, and then from the proposal itself.
        for (index, proposal) in [(1, None), (2, Some(id))] {
            let records = Arc::clone(&records);
            stream.send(Committed::Batch { index, proposal, records }).unwrap();
        }
        ProposeResult::Committed(2)
    }))
    .await;
    let node = Box::new(Registration { broker: FIRST.node, levels: LEVELS, ..Registration::default() });
    let register = Ask::Register { node, alone: Some("c".to_owned()), log_epochs: Vec::new() };
    let answer = controller.ask(register).get();
    assert_eq!(timeout(PATIENCE, answer).await.unwrap(), Said::Done(2));
    assert_eq!(images.current().applied, 2, "the image is shown first");
}

#[tokio::test]
async fn the_logs_refusal_is_told_as_what_it_is() {
    let rows = [
        (ProposeResult::NotLeader, Some(ErrorCode::NotController)),
        (ProposeResult::Refused("full".into()), Some(ErrorCode::UnknownServerError)),
        (ProposeResult::Unknown("lost".into()), None),
    ];
    for (result, code) in rows {
        let says = result.clone();
        let (controller, _) = controller(open(move |_, _, _| says.clone())).await;
        let said = timeout(PATIENCE, controller.ask(Ask::ProducerIds).get()).await.unwrap();
        match (&said, code) {
            (Said::Failed(refusal), Some(code)) => assert_eq!(refusal.code, code, "{result:?}"),
            (Said::Unknown(_), None) => {}
            _ => panic!("{result:?}: {said:?}"),
        }
    }
}

#[tokio::test]
async fn a_controller_that_fails_ends_its_node() {
    let images: Arc<Images> = Arc::default();
    let clock = Arc::new(SystemClock::default());
    let coordinators = CoordinatorsArgs {
        directory: Arc::default(),
        images: Arc::clone(&images),
        clock: Arc::clone(&clock) as _,
        coordinators: Arc::default(),
        groups: Default::default(),
        config: Default::default(),
    };
    let node = Registration { broker: FIRST.node, levels: LEVELS, ..Registration::default() };
    let (ready, _serving) = tokio::sync::oneshot::channel();
    let args = NodeArgs {
        identity: NodeIdentity { node, alone: Some("c".to_owned()) },
        shards: Vec::new(),
        log: open(|_, _, _| panic!("the log fails under the controller")),
        clock,
        directory: Arc::default(),
        images,
        tails: Arc::new(TailBudget::new(0)),
        defaults: defaults(),
        coordinators,
        cluster: None,
        ready,
    };
    let (_, ended) = Actor::spawn(None, NodeActor, args).await.unwrap();
    timeout(PATIENCE, ended).await.expect("the node goes on without a controller").unwrap();
}
