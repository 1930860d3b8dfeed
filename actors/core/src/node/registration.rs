//! The registration of this process with the controller: asked again until the image shows it, or until it can never be.
//!
//! ```text
//!   Asking ── answer: not now, unknown ──> asks again      image: my record, my process ──> Granted(epoch)
//!      ├── another process holds the place, for two sessions ──> Over(why)
//!      └── a refusal that stays ──> Over(why)              image: my record, another process, later ──> Over (I13)
//! ```
//!
//! The broker epoch comes from this node's own record in its image and from nowhere else (R46). An answer that was lost
//! then costs nothing, and one that is late cannot name another life. The machine stores nothing; the shell stores the
//! epoch before anything is served.

use crate::error::ErrorCode;
use crate::ids::{BrokerEpoch, BrokerId, ProcessId};
use crate::machine::{Effects, Machine};
use crate::metadata::Image;
use crate::metadata::controller::Reply;
use crate::sessions::SESSION_MS;
use crate::time::{Millis, Now};
use std::sync::Arc;

/// Milliseconds until a registration is asked for again.
const AGAIN_MS: u64 = 300;
/// Milliseconds after which an ask without an answer is asked again.
const ANSWER_MS: u64 = 3_000;
/// Milliseconds between two words about a controller that does not answer.
const SAY_AGAIN_MS: u64 = 10_000;
/// Milliseconds for which another process may hold this node's place, before this one gives up (R17).
const TAKEN_MS: u64 = 2 * SESSION_MS;

/// An event that the registration hears of.
#[derive(Clone, Debug)]
pub enum Input {
    Begin,
    /// The answer to `Ask`.
    Said(Reply),
    Image(Arc<Image>),
    /// A deadline may have passed.
    Tick,
}

/// An action that the registration wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Ask the controller to register this process.
    Ask,
    /// The image shows this process under this broker epoch. Said once.
    Granted(BrokerEpoch),
    /// Tell the operator why it takes so long.
    Waits(String),
    /// This process can never run as this node, or not any more. It ends with these words.
    Over(String),
}

#[derive(Debug)]
enum State {
    New,
    /// An ask is under way, until this moment.
    Asking(Millis),
    /// The next ask leaves at this moment.
    Again(Millis),
    Granted(BrokerEpoch),
    Over,
}

/// The registration of one process.
#[derive(Debug)]
pub struct Registering {
    me: BrokerId,
    process: ProcessId,
    incarnation: u64,
    state: State,
    /// Since when another process has held the place.
    taken: Option<Millis>,
    /// When the operator was told last that no controller answers.
    said: Millis,
}

impl Registering {
    /// A process that has not asked yet.
    #[must_use]
    pub fn new(me: BrokerId, process: ProcessId, incarnation: u64) -> Registering {
        Registering { me, process, incarnation, state: State::New, taken: None, said: Millis(0) }
    }

    fn over(&mut self, why: String, out: &mut Effects<Effect>) {
        self.state = State::Over;
        out.push(Effect::Over(why));
    }

    fn ask(&mut self, now: Millis, out: &mut Effects<Effect>) {
        self.state = State::Asking(now.plus(ANSWER_MS));
        out.push(Effect::Ask);
    }

    /// Tells the operator every ten seconds why the node does not serve.
    fn wait(&mut self, now: Millis, why: String, out: &mut Effects<Effect>) {
        if now >= self.said.plus(SAY_AGAIN_MS) {
            self.said = now;
            out.push(Effect::Waits(why));
        }
    }

    fn said(&mut self, now: Millis, reply: Reply, out: &mut Effects<Effect>) {
        if !matches!(self.state, State::Asking(_)) {
            return;
        }
        let refusal = match reply {
            // The image brings the epoch. It may be behind, and then the next ask finds the process registered.
            Reply::Done(_) => {
                self.state = State::Again(now.plus(ANSWER_MS));
                return;
            }
            Reply::Unknown(why) => {
                self.state = State::Again(now.plus(ANSWER_MS));
                return self.wait(now, why, out);
            }
            other => other.refusal(),
        };
        match refusal.code {
            ErrorCode::NotController | ErrorCode::RequestTimedOut => self.wait(now, refusal.message, out),
            ErrorCode::DuplicateBrokerRegistration => {
                if self.taken.is_none() {
                    // Told at once: it may be a second process on a copy of the directory.
                    self.said = now;
                    out.push(Effect::Waits(refusal.message.clone()));
                }
                let since = *self.taken.get_or_insert(now);
                if now >= since.plus(TAKEN_MS) {
                    return self.over(format!("DUPLICATE_BROKER_REGISTRATION: {}", refusal.message), out);
                }
                self.wait(now, refusal.message, out);
            }
            _ => return self.over(refusal.message, out),
        }
        self.state = State::Again(now.plus(AGAIN_MS));
    }

    fn image(&mut self, image: &Image, out: &mut Effects<Effect>) {
        let Some(broker) = image.brokers.get(&self.me) else { return };
        let mine = broker.process == Some(self.process);
        match self.state {
            State::Over => {}
            State::Granted(epoch) if mine && broker.epoch == epoch => {}
            State::Granted(epoch) if broker.epoch > epoch => {
                self.over(format!("another process runs as node {} now: this one ends", self.me), out);
            }
            State::Granted(_) => {}
            _ if mine => {
                self.state = State::Granted(broker.epoch);
                out.push(Effect::Granted(broker.epoch));
            }
            // A record of a later start than this one: a copy of the directory runs elsewhere (R47).
            _ if broker.incarnation > self.incarnation => {
                let (me, later) = (self.me, broker.incarnation);
                self.over(
                    format!("node {me} was started later than this process ({later} starts): this directory is a copy or an old one; empty it"),
                    out,
                );
            }
            _ => {}
        }
    }
}

impl Machine for Registering {
    type Input = Input;
    type Effect = Effect;

    fn step(&mut self, now: Now, input: Input, out: &mut Effects<Effect>) {
        let now = now.mono;
        match input {
            Input::Begin if matches!(self.state, State::New) => self.ask(now, out),
            Input::Begin => {}
            Input::Said(reply) => self.said(now, reply, out),
            Input::Image(image) => self.image(&image, out),
            Input::Tick => match self.state {
                State::Asking(due) | State::Again(due) if due <= now => self.ask(now, out),
                _ => {}
            },
        }
    }

    fn next_deadline(&self) -> Option<Millis> {
        match self.state {
            State::Asking(due) | State::Again(due) => Some(due),
            State::New | State::Granted(_) | State::Over => None,
        }
    }

    fn check(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::controller::Refusal;
    use crate::metadata::{MetadataRecord, Registration};
    use crate::time::UnixMillis;

    const ME: ProcessId = ProcessId([1; 16]);
    const OTHER: ProcessId = ProcessId([2; 16]);

    struct Rig(Registering, Vec<Effect>);

    impl Rig {
        fn begun() -> Rig {
            let mut rig = Rig(Registering::new(3, ME, 5), Vec::new());
            assert_eq!(rig.at(0, Input::Begin), [Effect::Ask]);
            rig
        }

        fn at(&mut self, ms: u64, input: Input) -> Vec<Effect> {
            self.0.step(Now { mono: Millis(ms), wall: UnixMillis(0) }, input, &mut self.1);
            std::mem::take(&mut self.1)
        }
    }

    fn refused(code: ErrorCode) -> Input {
        Input::Said(Reply::Failed(Refusal { code, message: "words".to_owned() }))
    }

    fn image(index: u64, process: ProcessId, incarnation: u64) -> Input {
        let node = Registration { broker: 3, process: Some(process), incarnation, ..Registration::default() };
        let mut image = Image::default();
        image.apply_batch(index, &[MetadataRecord::Registered { node: Box::new(node), fenced: true }]);
        Input::Image(Arc::new(image))
    }

    #[test]
    fn the_image_grants_whatever_the_answers_say() {
        let lost = [Input::Said(Reply::Unknown("lost".into())), Input::Said(Reply::Done(9)), Input::Tick];
        for answer in lost {
            let mut rig = Rig::begun();
            assert_eq!(rig.at(10, answer), []);
            assert_eq!(rig.at(20, image(7, ME, 5)), [Effect::Granted(7)]);
            assert_eq!(rig.at(30, image(7, ME, 5)), [], "said once");
            assert_eq!(rig.0.next_deadline(), None);
        }
    }

    #[test]
    fn it_asks_again_until_a_controller_answers() {
        let mut rig = Rig::begun();
        assert_eq!(rig.at(100, refused(ErrorCode::NotController)), []);
        assert_eq!(rig.0.next_deadline(), Some(Millis(400)));
        assert_eq!(rig.at(399, Input::Tick), []);
        assert_eq!(rig.at(400, Input::Tick), [Effect::Ask]);
        assert_eq!(rig.at(3_400, Input::Tick), [Effect::Ask], "no answer came");
    }

    #[test]
    fn a_place_that_another_process_holds_for_two_sessions_is_given_up() {
        let mut rig = Rig::begun();
        let waits = rig.at(0, refused(ErrorCode::DuplicateBrokerRegistration));
        assert_eq!(waits, [Effect::Waits("words".into())]);
        assert_eq!(rig.at(300, Input::Tick), [Effect::Ask]);
        let over = rig.at(TAKEN_MS, refused(ErrorCode::DuplicateBrokerRegistration));
        assert!(matches!(&over[..], [Effect::Over(why)] if why.contains("DUPLICATE_BROKER_REGISTRATION")));
    }

    #[test]
    fn a_refusal_that_stays_ends_the_process() {
        let mut rig = Rig::begun();
        assert_eq!(rig.at(1, refused(ErrorCode::UnsupportedVersion)), [Effect::Over("words".into())]);
        assert_eq!(rig.at(2, image(7, ME, 5)), []);
    }

    #[test]
    fn another_process_in_the_image_ends_this_one() {
        let mut rig = Rig::begun();
        assert_eq!(rig.at(1, image(4, OTHER, 4)), [], "an earlier start of this directory");
        assert_eq!(rig.at(2, image(7, ME, 5)), [Effect::Granted(7)]);
        assert!(matches!(&rig.at(3, image(8, OTHER, 6))[..], [Effect::Over(_)]), "I13");
        let mut rig = Rig::begun();
        assert!(
            matches!(&rig.at(1, image(8, OTHER, 6))[..], [Effect::Over(_)]),
            "a later start runs elsewhere"
        );
    }
}
