//! Accepts connections and ends them.

use super::conn;
use super::context::Context;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Connections that have not ended by then are cut.
const DRAIN: Duration = Duration::from_secs(5);

/// A bound socket.
pub struct Listener {
    socket: TcpListener,
}

impl Listener {
    /// Binds; nothing is accepted yet.
    pub async fn bind(address: &str) -> io::Result<Listener> {
        Ok(Listener { socket: TcpListener::bind(address).await? })
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
                accepted = self.socket.accept() => match accepted {
                    Ok((socket, peer)) => {
                        let _ = socket.set_nodelay(true);
                        connections.spawn(conn::serve(socket, peer, Arc::clone(&context), for_connections.clone()));
                    }
                    Err(error) => {
                        // Out of descriptors, most likely: others must end first.
                        tracing::warn!("a connection was not accepted: {error}");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(_) = connections.join_next() => {}
                () = stopped(&mut stop) => break,
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
}

/// Resolves when the node ends.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
