//! One listener: binds its port when the node starts, accepts connections when it serves, ends them when it ends.
//!
//! ```text
//!   bind   the port is ours, and a client that connects is refused at once and tries another node (R16)
//!   listen the system takes clients      serve   a task for each
//! ```
//! A port on which somebody listens is found at `bind`. A port that another process has bound and not opened yet is
//! found at `listen`.
//!
//! At `max.connections` the listener accepts nothing until a connection ends, as in Kafka: clients wait in the
//! system's queue. A failure to accept never ends the listener.

use super::conn::{self, Came};
use super::context::Context;
use super::metrics;
use callboard_actors::permit::Permit;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Clients that may wait to be accepted, if the system allows so many. After a restart all clients come at once,
/// and one that finds no place tries again a second later.
const BACKLOG: u32 = 4096;
/// Pause after a failure to accept.
const AGAIN: Duration = Duration::from_millis(100);
/// Time that connections get to end by themselves.
const DRAIN: Duration = Duration::from_secs(5);

/// A bound port of Kafka clients, which takes none yet.
pub struct Listener {
    name: Arc<str>,
    socket: TcpSocket,
}

/// A port that takes clients.
pub struct Listening {
    name: Arc<str>,
    socket: TcpListener,
}

impl Listener {
    /// Binds the first address of the host that can be bound. The system buffers `send_buffer` bytes of answers for
    /// each connection; none leaves that to the system.
    pub async fn bind(name: &str, host: &str, port: u16, send_buffer: Option<u32>) -> io::Result<Listener> {
        let mut failed = io::Error::new(io::ErrorKind::InvalidInput, "the name has no address");
        for address in lookup_host((host, port)).await? {
            match Listener::on(address, send_buffer) {
                Ok(socket) => return Ok(Listener { name: name.into(), socket }),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    fn on(address: SocketAddr, send_buffer: Option<u32>) -> io::Result<TcpSocket> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        if let Some(bytes) = send_buffer {
            // Accepted sockets inherit it.
            socket.set_send_buffer_size(bytes)?;
        }
        socket.bind(address)?;
        Ok(socket)
    }

    /// The name under which clients are told addresses.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address that clients connect to.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Lets the system take clients, which wait until they are served.
    pub fn listen(self) -> io::Result<Listening> {
        Ok(Listening { name: self.name, socket: self.socket.listen(BACKLOG)? })
    }
}

impl Listening {
    /// Serves until `stop` says so; then takes no new request, waits for answers in flight, and returns.
    pub async fn serve(self, context: Arc<Context>, mut stop: watch::Receiver<bool>) {
        let (mut connections, for_connections) = (JoinSet::new(), stop.clone());
        loop {
            tokio::select! {
                accepted = self.accept(&context) => match accepted {
                    Ok((socket, peer, slot)) => {
                        let _ = socket.set_nodelay(true);
                        let (context, stop) = (Arc::clone(&context), for_connections.clone());
                        let came = Came { listener: Arc::clone(&self.name), peer };
                        connections.spawn(conn::serve(socket, came, context, stop, slot));
                    }
                    // The client has gone already.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(error) => {
                        // The process is probably out of descriptors, so other connections must end first.
                        metrics::not_accepted();
                        if let Some(left_out) = context.unaccepted.one() {
                            tracing::warn!(left_out, "a connection was not accepted, and waits: {error}");
                        }
                        tokio::time::sleep(AGAIN).await;
                    }
                },
                Some(_) = connections.join_next() => {}
                () = conn::stopped(&mut stop) => break,
            }
        }
        drop(self.socket);
        let drained =
            tokio::time::timeout(DRAIN, async { while connections.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            tracing::warn!(connections = connections.len(), "connections did not end in time and are cut");
            connections.shutdown().await;
        }
    }

    /// Waits for a slot, then for a connection.
    async fn accept(&self, context: &Context) -> io::Result<(TcpStream, SocketAddr, Permit)> {
        let slots = &context.slots;
        let slot = match slots.try_acquire(1) {
            Some(slot) => slot,
            None => {
                if let Some(left_out) = context.unaccepted.one() {
                    let max = slots.capacity();
                    tracing::warn!(
                        left_out,
                        "max.connections = {max} are open: no more are accepted until one ends"
                    );
                }
                slots.acquire(1).await
            }
        };
        let (socket, peer) = self.socket.accept().await?;
        Ok((socket, peer, slot))
    }
}
