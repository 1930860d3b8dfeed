//! The node's contact with the controller on a task of its own: the shell round `Contact`.
//!
//! ```text
//!   Heartbeats ── Answered · Applied ──> machine ──> Until ──> ContactUntil, which every replica reads
//!                                               └──> CutOff · Back ──> a log line, a counter, and each replica is woken
//! ```
//! A replica that has nothing to do would notice a lost contact only with its next message, so each of them gets one. The
//! actor decides nothing.

use super::door::Door;
use crate::clock::Clock;
use crate::contact::ContactUntil;
use crate::directory::Directory;
use crate::metrics;
use crate::partition::ReplicaMsg;
use crate::shell::{Perform, Shell};
use callboard_core::node::contact::{Contact, Effect, Input};
use callboard_core::sessions::{Heard, SESSION_MS};
use callboard_core::{BrokerId, Millis};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::sync::Arc;

/// A message to the contact.
#[derive(Debug)]
pub enum ContactMsg {
    /// The broker epoch is stored, and the first heartbeat is about to leave.
    Begin,
    /// A heartbeat that was sent at this moment was answered.
    Answered { sent: Millis, heard: Heard },
    /// This node has applied the metadata log up to this index.
    Applied(u64),
    /// A deadline may have passed.
    Tick,
}

/// Everything that the contact starts with.
pub struct ContactArgs {
    pub me: BrokerId,
    pub door: Arc<Door>,
    pub until: Arc<ContactUntil>,
    pub directory: Arc<Directory>,
    pub clock: Arc<dyn Clock>,
}

/// The contact's actor: a busy controller or a busy replica must not make it late.
pub struct ContactActor;

/// Performs the contact's effects.
pub struct ContactIo {
    me: BrokerId,
    door: Arc<Door>,
    until: Arc<ContactUntil>,
    directory: Arc<Directory>,
}

impl ContactIo {
    /// Lets each replica look at the contact.
    fn wake(&self) {
        for handle in self.directory.all() {
            handle.tell(ReplicaMsg::Tick);
        }
    }
}

impl Perform<Effect> for ContactIo {
    fn perform(&mut self, effect: Effect) {
        let (node, lead) = (self.me, *self.door.lead().borrow());
        let controller = lead.map_or(-1, |lead| lead.node);
        match effect {
            Effect::Until(until) => self.until.set(until),
            Effect::CutOff { silent_ms } => {
                metrics::cut_off();
                tracing::warn!(
                    node,
                    controller,
                    silent_ms,
                    session_ms = SESSION_MS,
                    "cut off from the controller: partitions that cannot commit end their producers' requests with \
                     NOT_LEADER_OR_FOLLOWER until a heartbeat is answered; look at the network between the nodes"
                );
                self.wake();
            }
            Effect::Back { after_ms } => {
                tracing::info!(node, controller, after_ms, "in contact with the controller again");
                self.wake();
            }
        }
    }
}

impl Actor for ContactActor {
    type Msg = ContactMsg;
    type State = Shell<Contact, ContactIo>;
    type Arguments = ContactArgs;

    async fn pre_start(
        &self,
        _me: ActorRef<ContactMsg>,
        args: ContactArgs,
    ) -> Result<Self::State, ActorProcessingErr> {
        let ContactArgs { me, door, until, directory, clock } = args;
        Ok(Shell::new(Contact::default(), ContactIo { me, door, until, directory }, clock))
    }

    async fn handle(
        &self,
        me: ActorRef<ContactMsg>,
        message: ContactMsg,
        shell: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        shell.step(match message {
            ContactMsg::Begin => Input::Begin,
            ContactMsg::Answered { sent, heard } => Input::Answered { sent, heard },
            ContactMsg::Applied(index) => Input::Applied(index),
            ContactMsg::Tick => Input::Tick,
        });
        shell.rearm(&me, || ContactMsg::Tick);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::sessions::{SessionsActor, SessionsArgs};
    use super::*;
    use crate::images::Images;
    use crate::partition::PartitionHandle;
    use crate::ports::Majority;
    use crate::proposer::{ProposerActor, ProposerArgs};
    use crate::reply::Reply;
    use callboard_core::metadata::Image;
    use callboard_core::partition::{Role, View};
    use callboard_core::sessions::Heartbeat;
    use callboard_core::{Now, Peer, ReplicaId, TopicId, TopicPartition};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;
    use tokio::sync::mpsc;
    use tokio::time::timeout;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// A clock that stands still until it is set. It has no answer of a majority before it is set.
    #[derive(Default)]
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn now(&self) -> Now {
            Now { mono: Millis(self.0.load(Ordering::SeqCst)), ..Now::default() }
        }
    }

    impl Majority for Hand {
        fn answered_ms(&self) -> Option<u64> {
            Some(self.0.load(Ordering::SeqCst)).filter(|ms| *ms > 0)
        }
    }

    /// A replica that tells what it hears.
    struct Ear;

    impl Actor for Ear {
        type Msg = ReplicaMsg;
        type State = mpsc::UnboundedSender<ReplicaMsg>;
        type Arguments = mpsc::UnboundedSender<ReplicaMsg>;

        async fn pre_start(
            &self,
            _me: ActorRef<ReplicaMsg>,
            to: Self::Arguments,
        ) -> Result<Self::State, ActorProcessingErr> {
            Ok(to)
        }

        async fn handle(
            &self,
            _me: ActorRef<ReplicaMsg>,
            message: ReplicaMsg,
            to: &mut Self::State,
        ) -> Result<(), ActorProcessingErr> {
            let _ = to.send(message);
            Ok(())
        }
    }

    #[tokio::test]
    async fn every_replica_looks_again_when_contact_is_lost_and_when_it_is_back() {
        let (clock, directory) = (Arc::new(Hand::default()), Arc::new(Directory::default()));
        let (to, mut heard) = mpsc::unbounded_channel();
        let (ear, _) = Actor::spawn(None, Ear, to).await.unwrap();
        let id = TopicPartition { topic: TopicId([1; 16]), partition: 0 };
        let handle = Arc::new(PartitionHandle::new(id, None, Arc::default()));
        handle.begin(ReplicaId(1), ear.clone());
        handle.publish(View::unknown(Role::Leader, 3));
        directory.insert(vec![handle]);
        let until = Arc::<ContactUntil>::default();
        let args = ContactArgs {
            me: 1,
            door: Arc::default(),
            until: Arc::clone(&until),
            directory,
            clock: Arc::clone(&clock) as _,
        };
        let (contact, _) = Actor::spawn(None, ContactActor, args).await.unwrap();
        contact.cast(ContactMsg::Begin).unwrap();
        let begun = async {
            while until.is_over(|| Millis(SESSION_MS - 1)) || !until.is_over(|| Millis(SESSION_MS)) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, begun).await.expect("the end of the contact");
        clock.0.store(SESSION_MS, Ordering::SeqCst);
        contact.cast(ContactMsg::Tick).unwrap();
        let woken = timeout(PATIENCE, heard.recv()).await.unwrap();
        assert!(matches!(woken, Some(ReplicaMsg::Tick)), "{woken:?}");
        let answered = ContactMsg::Answered { sent: Millis(SESSION_MS - 100), heard: Heard::default() };
        contact.cast(answered).unwrap();
        let woken = timeout(PATIENCE, heard.recv()).await.unwrap();
        assert!(matches!(woken, Some(ReplicaMsg::Tick)), "{woken:?}");
        assert!(
            !until.is_over(|| Millis(2 * SESSION_MS - 101)) && until.is_over(|| Millis(2 * SESSION_MS - 100))
        );
        contact.stop(None);
        ear.stop(None);
    }

    #[tokio::test]
    async fn a_heartbeat_is_answered_with_the_age_of_the_majority_and_what_is_applied() {
        let (door, images, age) =
            (Arc::new(Door::default()), Arc::new(Images::default()), Arc::new(Hand::default()));
        let clock = || Arc::clone(&age) as Arc<dyn Clock>;
        let sessions = SessionsArgs { me: 1, door: Arc::clone(&door), clock: clock() };
        let (sessions, _) = Actor::spawn(None, SessionsActor, sessions).await.unwrap();
        let ask = Box::new(|_| Reply::new().1);
        let proposer = ProposerArgs { me: 1, ask, directory: Arc::default(), clock: clock() };
        let (proposer, _) = Actor::spawn(None, ProposerActor, proposer).await.unwrap();
        images.publish(Arc::new(Image { applied: 17, ..Image::default() }));
        let heartbeat = Heartbeat {
            from: Peer { broker: 2, epoch: 9 },
            number: 1,
            applied: 12,
            recovered: true,
            ending: false,
            ended: false,
            sync_age_ms: 0,
            full: false,
            synced: Default::default(),
            unable: Default::default(),
            damaged: Default::default(),
        };
        let words = serde_json::to_vec(&heartbeat).unwrap();
        assert!(door.serve_heartbeat(Some(2), &words).is_err(), "it knows no voters yet");
        door.hearers(sessions.clone(), proposer.clone(), images, Arc::clone(&age) as _);
        assert!(door.serve_heartbeat(Some(2), &words).is_err(), "no majority has answered");
        age.0.store(420, Ordering::SeqCst);
        let said = door.serve_heartbeat(Some(2), &words).unwrap();
        let said: Heard = serde_json::from_slice(&said).unwrap();
        assert_eq!(said, Heard { majority_ms: 420, applied: 17 });
        assert!(door.serve_heartbeat(Some(3), &words).is_err(), "a node speaks for itself alone");
        sessions.stop(None);
        proposer.stop(None);
    }
}
