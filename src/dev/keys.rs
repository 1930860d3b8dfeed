//! The keyboard, key by key: the terminal hands over each key at once and does not show it.
//!
//! Where the standard input is no terminal, its characters are the keys, so a script can press them. A thread reads, because
//! a read of a terminal cannot be given up. The terminal is as before when this is dropped.

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::Read as _;
use tokio::sync::mpsc;

/// The keys that are pressed.
pub struct Keys {
    keys: mpsc::UnboundedReceiver<char>,
    /// The terminal's modes of before.
    before: Option<Termios>,
}

impl Keys {
    /// Begins to read keys.
    pub fn open() -> Keys {
        let before = tcgetattr(std::io::stdin()).ok();
        if let Some(before) = &before {
            let mut modes = before.clone();
            modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &modes);
        }
        let (press, keys) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for byte in std::io::stdin().lock().bytes() {
                let Ok(byte) = byte else { return };
                if press.send(char::from(byte)).is_err() {
                    return;
                }
            }
        });
        Keys { keys, before }
    }

    /// The next key. It waits for ever once the input has ended.
    pub async fn next(&mut self) -> char {
        match self.keys.recv().await {
            Some(key) => key,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }
}
