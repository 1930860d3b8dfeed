//! One question to the console of a node that runs, for commands.
//!
//! It is a plain GET without a redirect or TLS, as the console serves it.

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Time for the whole question.
const WITHIN: Duration = Duration::from_secs(10);
/// Bytes of an answer at most.
const ANSWER_BYTES: usize = 1 << 20;

/// Asks for a path, and gives status and text.
pub async fn ask(address: &str, path: &str) -> anyhow::Result<(u16, String)> {
    timeout(WITHIN, asked(address, path))
        .await
        .with_context(|| format!("{address} did not answer in 10 s"))?
}

async fn asked(address: &str, path: &str) -> anyhow::Result<(u16, String)> {
    let socket =
        TcpStream::connect(address).await.with_context(|| format!("no node answers at {address}"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
    tokio::spawn(connection);
    let request = Request::get(path).header(HOST, address).body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    let status = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!("{address} answered too much or broke off: {error}"))?;
    Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
}
