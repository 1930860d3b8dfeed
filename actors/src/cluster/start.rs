//! The actors that only a node of a cluster has: judge, contact, proposer, and the controller behind the router.
//!
//! They start in this order, and the door opens with the last. It must know all of them before the controller hears the
//! log. Nothing is decided here.

use super::contact::{ContactActor, ContactArgs, ContactMsg};
use super::joining::ClusterArgs;
use super::router::Router;
use super::sessions::{SessionsActor, SessionsArgs};
use crate::clock::Clock;
use crate::contact::ContactUntil;
use crate::controller::{ControllerActor, ControllerArgs, ControllerHandle};
use crate::directory::Directory;
use crate::links::Links;
use crate::proposer::{ProposerActor, ProposerArgs};
use callboard_core::BrokerId;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef};
use std::sync::Arc;

/// The ways to these actors.
pub(crate) struct Started {
    pub controller: ControllerHandle,
    pub links: Links,
    pub contact: ActorRef<ContactMsg>,
}

/// Spawns them as children of `parent`.
pub(crate) async fn start(
    parent: ActorCell,
    me: BrokerId,
    cluster: &ClusterArgs,
    controller: ControllerArgs,
    (directory, clock): (&Arc<Directory>, &Arc<dyn Clock>),
) -> Result<Started, ActorProcessingErr> {
    let (door, clock) = (&cluster.door, || Arc::clone(clock));
    let sessions = SessionsArgs { me, door: Arc::clone(door), clock: clock() };
    let (sessions, _) = Actor::spawn_linked(None, SessionsActor, sessions, parent.clone()).await?;
    let until = Arc::<ContactUntil>::default();
    let contact = ContactArgs {
        me,
        door: Arc::clone(door),
        until: Arc::clone(&until),
        directory: Arc::clone(directory),
        clock: clock(),
    };
    let (contact, _) = Actor::spawn_linked(None, ContactActor, contact, parent.clone()).await?;
    let router = Arc::new(Router::new(me, Arc::clone(door), Arc::clone(&cluster.calls)));
    let asks = Arc::clone(&router);
    let ask = Box::new(move |ask| asks.ask_once(ask));
    let proposer = ProposerArgs { me, ask, directory: Arc::clone(directory), clock: clock() };
    let (proposer, _) = Actor::spawn_linked(None, ProposerActor, proposer, parent.clone()).await?;
    // The controller opens the door itself, before it hears the log.
    let images = Arc::clone(&controller.images);
    door.hearers(sessions, proposer.clone(), images, Arc::clone(&cluster.majority));
    Actor::spawn_linked(None, ControllerActor, controller, parent).await?;
    let links = Links {
        replication: Arc::clone(&cluster.replication),
        proposer: Some(proposer),
        unable: Arc::default(),
        damaged: Arc::default(),
        contact: until,
    };
    Ok(Started { controller: ControllerHandle::routed(router), links, contact })
}
