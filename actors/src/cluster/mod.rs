//! A node among others: questions to the controller wherever it is, the judge of sessions, heartbeats, and the forming of
//! the cluster.
//!
//! ```text
//!   ControllerHandle ── Router ──> Calls ──> Door of the controller's node ──> ControllerActor
//!   Heartbeats ───────────────────> Calls ──> Door ──> SessionsActor ── judgements ──┘
//!         └─ answers ──> ContactActor: until when this node may take itself for alive
//!   FormingActor   probes, grants, Raft's begin: until this node is a member that serves
//! ```
//!
//! These are shells. `core/metadata/controller/forward.rs` says when a question is asked again, `core/sessions` who is
//! alive, `core/node/contact.rs` what this node knows of that, `core/bootstrap` who founds.

mod contact;
mod door;
mod ending;
mod forming;
mod heartbeats;
mod joining;
mod messages;
mod router;
mod sessions;
mod start;

pub(crate) use contact::ContactMsg;
pub use door::Door;
pub use ending::Ending;
pub use forming::{Forming, FormingActor, FormingArgs, FormingMsg, FormingView};
pub use heartbeats::{farewell, synced};
pub(crate) use joining::{Beating, Joining, JoiningIo};
pub use joining::{ClusterArgs, OnGranted, OnOver};
pub use messages::SessionsMsg;
pub use router::Router;
pub use sessions::{SessionsActor, SessionsArgs};
pub(crate) use start::start;
