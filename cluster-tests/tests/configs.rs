//! Configs and partitions as operators know them, against the built binary.
//!
//! Each name that DescribeConfigs lists has a proof here: its value changes what the broker does, or it is stored and
//! returned as Kafka's, or it takes no other value. A name without a proof fails its test, and so does a proof without
//! a name.

#[path = "configs/admin.rs"]
mod admin;
#[path = "configs/answers.rs"]
mod answers;
#[path = "configs/proofs.rs"]
mod proofs;

use admin::{BROKER, Site, TOPIC, entry};
use anyhow::{Result, ensure};
use proofs::{Knob, Proof};
use std::collections::BTreeSet;

/// Proves every name that is listed, on a topic of its own.
fn prove(site: &mut Site, kind: i8, resource: &str, table: &[(&str, Proof)]) -> Result<()> {
    let listed: BTreeSet<String> =
        site.describe(kind, resource)?.into_iter().map(|e| e.name.to_string()).collect();
    let proved: BTreeSet<String> = table.iter().map(|(name, _)| (*name).to_owned()).collect();
    ensure!(listed == proved, "listed {listed:?}\nproved {proved:?}");
    for (name, proof) in table {
        let read_only = entry(&site.describe(kind, resource)?, name)?.read_only;
        ensure!(read_only == matches!(proof, Proof::ReadOnly(_)), "{name}: read-only is {read_only}");
        let topic =
            format!("{}-{}", name.replace('.', "-"), if resource.is_empty() { "all" } else { resource });
        let of = if kind == TOPIC { topic.clone() } else { resource.to_owned() };
        let knob = Knob { kind, resource: of, name: (*name).to_owned(), topic };
        let proved = match proof {
            Proof::ReadOnly(other) | Proof::StoredForAll(other, _) => {
                let before = site.describe(kind, resource)?;
                let (code, why) = site.set(kind, resource, name, other)?;
                // Kafka's codes: INVALID_CONFIG, or INVALID_REQUEST for what only the file of a broker sets.
                ensure!(code == 40 || (kind == BROKER && code == 42), "{name}={other}: {code} {why}");
                ensure!(site.describe(kind, resource)? == before, "{name} was refused and changed");
                continue;
            }
            Proof::Stored(value, bad) => {
                site.wire.create_topic(&knob.topic, 1)?;
                proofs::stored(site, &knob, value, bad)
            }
            Proof::Changes(proof) => {
                site.wire.create_topic(&knob.topic, 1)?;
                proof(site, &knob)
            }
        };
        proved.map_err(|error| error.context(format!("{kind} {name}")))?;
        knob.unset(site)?;
    }
    Ok(())
}

#[test]
fn each_topic_config_changes_what_the_broker_does_or_is_stored_or_takes_no_other_value() -> Result<()> {
    let mut site = Site::start("fsync")?;
    site.wire.create_topic("t", 1)?;
    prove(&mut site, TOPIC, "t", &proofs::topic())?;
    for name in ["no.such", "message.format.version", "message.downconversion.enable", "log.retention.ms"] {
        let (code, why) = site.set(TOPIC, "t", name, "1")?;
        ensure!(code == 40 && why == format!("Unknown topic config name: {name}"), "{name}: {code} {why}");
    }
    site.broker.stop()
}

#[test]
fn each_broker_config_changes_what_the_broker_does_or_is_stored_or_takes_no_other_value() -> Result<()> {
    let mut site = Site::start("fsync")?;
    prove(&mut site, BROKER, "1", &proofs::broker())?;
    for name in ["no.such", "num.io.threads", "retention.ms", "log.cleaner.threads"] {
        let (code, why) = site.set(BROKER, "1", name, "1")?;
        ensure!(code == 40 && why == format!("Unknown broker config name: {name}"), "{name}: {code} {why}");
    }
    site.broker.stop()
}

#[test]
fn what_is_set_for_all_brokers_changes_what_this_one_does() -> Result<()> {
    let mut site = Site::start("os")?;
    let others = |site: &mut Site| {
        let all = site.describe(BROKER, "")?.into_iter().map(|e| e.name.to_string());
        // Like Kafka's, a new cluster says this one from the beginning.
        anyhow::Ok(all.filter(|name| name != "min.insync.replicas").collect::<Vec<_>>())
    };
    ensure!(others(&mut site)?.is_empty(), "nothing is set");
    for (name, proof) in proofs::broker() {
        if matches!(proof, Proof::ReadOnly(_)) {
            continue;
        }
        let topic = name.replace('.', "-");
        site.wire.create_topic(&topic, 1)?;
        let knob = Knob { kind: BROKER, resource: String::new(), name: name.to_owned(), topic };
        let proved = match &proof {
            Proof::Changes(proof) => proof(&mut site, &knob),
            Proof::Stored(value, bad) | Proof::StoredForAll(value, bad) => {
                proofs::stored(&mut site, &knob, value, bad)
            }
            Proof::ReadOnly(_) => Ok(()),
        };
        proved.map_err(|error| error.context(name))?;
        if matches!(proof, Proof::StoredForAll(..)) {
            // What Kafka says from the beginning is never taken back.
            knob.set(&mut site, "1")?;
            continue;
        }
        ensure!(others(&mut site)? == [name]);
        knob.unset(&mut site)?;
    }
    ensure!(others(&mut site)?.is_empty(), "nothing is set any more");
    site.broker.stop()
}

#[test]
fn a_rate_of_throttled_replicas_is_listed_where_it_is_set() -> Result<()> {
    let mut site = Site::start("fsync")?;
    for name in [
        "leader.replication.throttled.rate",
        "follower.replication.throttled.rate",
        "replica.alter.log.dirs.io.max.bytes.per.second",
    ] {
        for resource in ["", "1"] {
            ensure!(entry(&site.describe(BROKER, resource)?, name).is_err(), "{name} is listed");
            let knob = Knob {
                kind: BROKER,
                resource: resource.to_owned(),
                name: name.to_owned(),
                topic: String::new(),
            };
            proofs::stored(&mut site, &knob, "5", "-1")?;
            knob.unset(&mut site)?;
        }
    }
    site.broker.stop()
}
