//! Frames of replication as a peer may send them: lengths, archive, items, and the words that they tell.
//!
//! A mutated frame seldom has the right lengths. So the target tries each input as it is, and with lengths that fit.

use bytes::Bytes;
use callboard::transport::frame::{HEADER, Lengths, Opened, ROOT, VERSION, open};
use callboard::transport::words;

/// The frames that one input holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Seen {
    /// Items of a sound frame.
    pub items: usize,
    /// Those whose numbers a node can mean.
    pub words: usize,
}

/// Reads an input as it is, then with lengths and version that fit; returns the findings of the first sound reading.
pub fn run(bytes: &[u8]) -> Seen {
    let Some((header, body)) = bytes.split_first_chunk::<HEADER>() else { return Seen::default() };
    let as_it_is = look(*header, body);
    let payload = (u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize).min(body.len());
    let meta = body.len() - payload;
    if as_it_is != Seen::default() || meta < ROOT {
        return as_it_is;
    }
    let mut fits = body.to_vec();
    fits[meta - ROOT..meta - ROOT + 2].copy_from_slice(&VERSION.to_le_bytes());
    let lengths = (meta as u64) | ((payload as u64) << 32);
    look(lengths.to_le_bytes(), &fits)
}

fn look(header: [u8; HEADER], body: &[u8]) -> Seen {
    let Ok(lengths) = Lengths::read(header) else { return Seen::default() };
    let body = Bytes::copy_from_slice(body);
    let Ok(opened) = open(lengths, &body) else { return Seen::default() };
    let (mut items, mut sound, mut payload) = (0, 0, 0);
    let mut count = |is_sound: bool| {
        items += 1;
        sound += usize::from(is_sound);
    };
    match opened {
        Opened::Parts(parts) => parts.for_each(|(part, bytes)| {
            payload += bytes.len();
            count(words::read_part(part).is_ok());
        }),
        Opened::Diverge(all) => all.iter().for_each(|item| count(words::read_diverge(item).is_ok())),
        Opened::Refused(all) => all.iter().for_each(|item| count(words::read_refused(item).is_ok())),
        Opened::Positions(all) => all.iter().for_each(|item| count(words::read_position(item).is_ok())),
        Opened::Acks(all) => all.iter().for_each(|item| count(words::read_ack(item).is_ok())),
    }
    assert!(items > 0 && payload <= body.len(), "a frame holds something, and no more than it holds");
    Seen { items, words: sound }
}
