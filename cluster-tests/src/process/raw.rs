//! A bare socket: it sends bytes as a test wants them and reads the broker's answer. It knows a frame's length and the
//! first fields of a request's header, and nothing else of the protocol.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use anyhow::{Context, Result, bail};

use super::HANG;

/// A larger answer is an error.
const MAX_ANSWER: i32 = 16 << 20;

/// One connection without a protocol.
pub struct Raw {
    stream: TcpStream,
}

impl Raw {
    /// Connects; a read or write that takes [`HANG`] is an error.
    pub fn connect(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, HANG)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(HANG))?;
        stream.set_write_timeout(Some(HANG))?;
        Ok(Self { stream })
    }

    /// The address of this end, which the broker's log names.
    pub fn local(&self) -> Result<SocketAddr> {
        Ok(self.stream.local_addr()?)
    }

    /// Sends bytes as they are. A broker that has hung up meanwhile is no error, because the answer will tell.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        match self.stream.write_all(bytes) {
            Err(e) if !matches!(e.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                Err(e.into())
            }
            _ => Ok(()),
        }
    }

    /// Sends bytes behind their length.
    pub fn frame(&mut self, bytes: &[u8]) -> Result<()> {
        let length = i32::try_from(bytes.len()).context("a frame over 2 GiB")?;
        self.send(&[&length.to_be_bytes(), bytes].concat())
    }

    /// Ends this side's sending. A broker that has hung up before is no error.
    pub fn finish(&mut self) -> Result<()> {
        match self.stream.shutdown(Shutdown::Write) {
            Err(e) if e.kind() != ErrorKind::NotConnected => Err(e.into()),
            _ => Ok(()),
        }
    }

    /// Receives the next frame, without its length; `None` when the broker has closed the connection.
    pub fn answer(&mut self) -> Result<Option<Vec<u8>>> {
        let mut length = [0; 4];
        match self.stream.read_exact(&mut length) {
            Err(e) if matches!(e.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
                return Ok(None);
            }
            other => other?,
        }
        let length = i32::from_be_bytes(length);
        if !(0..=MAX_ANSWER).contains(&length) {
            bail!("an answer of {length} bytes");
        }
        let mut frame = vec![0; length as usize];
        self.stream.read_exact(&mut frame)?;
        Ok(Some(frame))
    }

    /// The start of a request: its header up to the client id, which is null. Flexible headers end in one more zero.
    pub fn header(key: i16, version: i16, correlation_id: i32, flexible: bool) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&key.to_be_bytes());
        out.extend_from_slice(&version.to_be_bytes());
        out.extend_from_slice(&correlation_id.to_be_bytes());
        out.extend_from_slice(&(-1i16).to_be_bytes());
        out.extend_from_slice(if flexible { &[0] } else { &[] });
        out
    }
}
