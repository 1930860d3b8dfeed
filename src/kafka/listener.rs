//! Accepts connections and ends them. At `max.connections` nothing is accepted until one ends, as in Kafka: clients wait
//! in the system's queue. Whatever accepting fails by, the listener goes on.

use super::conn;
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

/// Clients that the system lets wait to be accepted, if it allows so many: all of them come at once after a restart, and
/// who finds no place tries again a second later.
const BACKLOG: u32 = 4096;
/// After a failure, accepting is tried again.
const AGAIN: Duration = Duration::from_millis(100);
/// Connections that have not ended by then are cut.
const DRAIN: Duration = Duration::from_secs(5);

/// A bound socket.
pub struct Listener {
    socket: TcpListener,
}

impl Listener {
    /// Binds; nothing is accepted yet. The first address of the name that can be bound. Of each connection's answers
    /// the system buffers `send_buffer` bytes; none: as many as it likes.
    pub async fn bind(address: &str, send_buffer: Option<u32>) -> io::Result<Listener> {
        let mut failed = io::Error::new(io::ErrorKind::InvalidInput, "the name has no address");
        for address in lookup_host(address).await? {
            match Listener::on(address, send_buffer) {
                Ok(listener) => return Ok(listener),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    fn on(address: SocketAddr, send_buffer: Option<u32>) -> io::Result<Listener> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        if let Some(bytes) = send_buffer {
            // Accepted sockets inherit it.
            socket.set_send_buffer_size(bytes)?;
        }
        socket.bind(address)?;
        Ok(Listener { socket: socket.listen(BACKLOG)? })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until `stop` says so; then takes no new request, lets what is in flight be answered, and returns.
    pub async fn serve(self, context: Arc<Context>, mut stop: watch::Receiver<bool>) {
        let (mut connections, for_connections) = (JoinSet::new(), stop.clone());
        loop {
            tokio::select! {
                accepted = self.accept(&context) => match accepted {
                    Ok((socket, peer, slot)) => {
                        let _ = socket.set_nodelay(true);
                        let (context, stop) = (Arc::clone(&context), for_connections.clone());
                        connections.spawn(conn::serve(socket, peer, context, stop, slot));
                    }
                    // That client is gone already; the next one is not.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(error) => {
                        // Out of descriptors, most likely: others must end first.
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

    /// The next connection, and its slot.
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
