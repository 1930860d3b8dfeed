//! The faults by family, and all of them in the order of their ids.
//!
//! ```text
//!   kills   F01–F06       processes that die          disks     F25–F28  disks that fail, fill up, hang, are slow
//!   pauses  F07, F08      processes that stand still  twins     F31      one node twice
//!   links   F09–F16       the wire                    clock     F32      clocks that jump
//!   power   F17–F19, F21  power cuts                  unsynced  F20      a power cut of all that may cost records
//!   rot     F22–F24       bytes that changed          lost      F29      a shard, or all of a directory, is gone
//!                                                     copies    F30      an old copy of a directory comes back
//! ```
//! `files` copies and removes directories; `refusal` waits until a process is refused. Left out: F33 to F43.

mod clock;
mod copies;
mod disks;
mod files;
mod kills;
mod links;
mod lost;
mod pauses;
mod power;
mod refusal;
mod rot;
mod twins;
mod unsynced;

use super::fault::Fault;

/// The whole table, by id.
#[must_use]
pub fn all() -> Vec<&'static Fault> {
    let mut all: Vec<&Fault> = [
        kills::LIST,
        pauses::LIST,
        links::LIST,
        power::LIST,
        rot::LIST,
        disks::LIST,
        twins::LIST,
        unsynced::LIST,
        lost::LIST,
        copies::LIST,
        clock::LIST,
    ]
    .into_iter()
    .flatten()
    .collect();
    all.sort_by_key(|fault| fault.id);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_has_an_id_of_its_own() {
        let ids: Vec<&str> = all().iter().map(|fault| fault.id).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
        assert!(ids.len() == 32, "{ids:?}");
    }
}
