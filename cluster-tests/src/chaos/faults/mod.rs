//! The faults by family, and all of them in the order of their ids.
//!
//! ```text
//!   kills   F01–F06        processes that die         disks   F25–F28        disks that fail, fill up, hang, are slow
//!   pauses  F07, F08       processes that stand still twins   F31            one node twice
//!   links   F09–F16        the wire                   clock   F32            clocks that jump
//!   power   F17, F18, F21  power cuts                 rot     F22–F24        bytes that changed while a node was down
//! ```
//! Left out: F19 and F20 (a run with `--durability os` plays F17 and F18), F29, F30 and F33 to F43.

mod clock;
mod disks;
mod kills;
mod links;
mod pauses;
mod power;
mod rot;
mod twins;

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
        assert!(ids.len() >= 25, "{ids:?}");
    }
}
