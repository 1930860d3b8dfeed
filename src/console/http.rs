//! The HTTP listener: HTTP/1, GET and HEAD, three paths.
//!
//! ```text
//!   /metrics   Prometheus' text      /live   the process runs      /ready   200 when it serves, else 503 and why
//! ```
//!
//! Everything has a bound: connections, the head of a request, the time for it and its answer, and the scrapes in
//! memory at once. Bodies of requests are not read.

use super::stream::Impatient;
use super::{Console, metrics};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioTimer;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Connections at once; one more gets an answer that says so, and is closed.
const CONNECTIONS: usize = 64;
/// Scrapes in memory at once, until their last byte is handed to the socket; more of them wait.
const SCRAPES: usize = 2;
/// Bytes of a request's head at most.
const HEAD_BYTES: usize = 8 * 1024;
/// Longest time for a head to be complete, an idle connection to speak, an answer to be taken, or a scrape to get
/// its turn.
const PATIENCE: Duration = Duration::from_secs(10);

const TEXT: &str = "text/plain; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 21\r\nconnection: close\r\n\r\ntoo many connections\n";

type Answer = Response<Full<Bytes>>;

/// The bound socket of the console.
pub struct HttpListener {
    socket: TcpListener,
}

impl HttpListener {
    /// Binds, and accepts nothing yet.
    pub async fn bind(address: &str) -> io::Result<HttpListener> {
        Ok(HttpListener { socket: TcpListener::bind(address).await? })
    }

    /// The address that it is bound to.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves as long as it is polled; when it is dropped, every connection ends.
    pub async fn serve(self, console: Arc<Console>) {
        let (open, scrapes) = (Arc::new(Semaphore::new(CONNECTIONS)), Arc::new(Semaphore::new(SCRAPES)));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.socket.accept() => match accepted {
                    Ok((socket, _)) => match Arc::clone(&open).try_acquire_owned() {
                        Ok(permit) => {
                            let (console, scrapes) = (Arc::clone(&console), Arc::clone(&scrapes));
                            connections.spawn(connection(socket, console, scrapes, permit));
                        }
                        Err(_) => {
                            metrics::connection_refused();
                            // A fresh socket takes so few bytes at once, unless its client is gone.
                            let _ = socket.try_write(FULL);
                        }
                    },
                    Err(error) => {
                        tracing::warn!("an HTTP connection was not accepted: {error}");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

async fn connection(
    socket: TcpStream,
    console: Arc<Console>,
    scrapes: Arc<Semaphore>,
    permit: OwnedSemaphorePermit,
) {
    let _ = socket.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let (console, scrapes) = (Arc::clone(&console), Arc::clone(&scrapes));
        async move { Ok::<_, Infallible>(answer(request, console, scrapes).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(Impatient::new(socket, PATIENCE), service)
        .await;
    if let Err(error) = served {
        tracing::debug!("an HTTP connection ended: {error}");
    }
    drop(permit);
}

async fn answer(request: Request<Incoming>, console: Arc<Console>, scrapes: Arc<Semaphore>) -> Answer {
    let path = match request.uri().path() {
        "/metrics" => "/metrics",
        "/live" => "/live",
        "/ready" => "/ready",
        "/safe-to-restart" => "/safe-to-restart",
        _ => "other",
    };
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let mut answer = match path {
        "other" => text(
            StatusCode::NOT_FOUND,
            "not found: /metrics, /live, /ready and /safe-to-restart are there\n".into(),
        ),
        _ if !reads => {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".into());
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            answer
        }
        "/live" => text(StatusCode::OK, "live\n".into()),
        "/ready" => match console.ready() {
            Ok(()) => text(StatusCode::OK, "ready\n".into()),
            Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        },
        "/safe-to-restart" => match console.safe_to_restart().await {
            Ok(()) => text(StatusCode::OK, "safe\n".into()),
            Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        },
        _ => scrape(console, scrapes).await,
    };
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    metrics::answered(path, answer.status().as_u16());
    answer
}

/// A scrape's text, with the permit that goes back when it is sent or dropped.
struct Scrape {
    text: String,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Scrape {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

async fn scrape(console: Arc<Console>, scrapes: Arc<Semaphore>) -> Answer {
    let Ok(Ok(permit)) = timeout(PATIENCE, scrapes.acquire_owned()).await else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "other scrapes are running: try again\n".into());
    };
    console.refresh().await;
    match tokio::task::spawn_blocking(move || console.scrape()).await {
        Ok(text) => {
            let mut answer = Response::new(Full::new(Bytes::from_owner(Scrape { text, _permit: permit })));
            answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROMETHEUS));
            answer
        }
        Err(error) => {
            tracing::error!("a scrape failed: {error}; a fault of this program");
            text(StatusCode::INTERNAL_SERVER_ERROR, "the scrape failed: the log says why\n".into())
        }
    }
}

fn text(status: StatusCode, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
    answer
}

#[cfg(test)]
mod tests {
    use super::FULL;

    #[test]
    fn the_ready_made_answer_says_its_length() {
        let text = String::from_utf8(FULL.to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())));
    }
}
