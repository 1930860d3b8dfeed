//! Starting: a configuration or a data directory that cannot be used ends the process with exit code 78, says why and
//! what to do, and changes nothing.

use std::path::Path;

use anyhow::{Context, Result, bail};
use callboard_cluster_tests::process::{Broker, Nodes, Options};

/// README.md: a configuration or a data directory that cannot be used.
const EXIT_CONFIG: i32 = 78;

fn refuses(broker: &mut Broker, words: &[&str]) -> Result<()> {
    let (code, text) = broker.refuses()?;
    if code != Some(EXIT_CONFIG) || words.iter().any(|word| !text.contains(word)) || text.contains("panicked")
    {
        bail!("exit code {EXIT_CONFIG} and {words:?} were due; it ended with {code:?} and said:\n{text}");
    }
    Ok(())
}

#[test]
fn a_wrong_configuration_is_refused_before_anything_is_touched() -> Result<()> {
    let files = [
        ("no_such_field = 1\n", ["no_such_field", "config/callboard.toml"]),
        ("num_partitions = 0\n", ["num_partitions = 0", "it takes 1 to 10000"]),
        ("num_partitions = \"many\"\n", ["num_partitions", "config/callboard.toml"]),
        ("segment_bytes = 70000\n", ["segment_bytes = 70000", "a multiple of 512"]),
        ("socket_request_max_bytes = 1\n", ["socket_request_max_bytes = 1", "it takes 65536 to"]),
        ("socket_send_buffer_bytes = 0\n", ["socket_send_buffer_bytes = 0", "it takes -1, or 4096 to"]),
        ("produce_memory_bytes = 1099511627776\n", ["produce 1099511627776, ", "lower the largest"]),
        ("max_connections = 2147483647\n", ["max_connections = 2147483647", "it takes at most"]),
        ("this is no TOML\n", ["wrong.toml", "config/callboard.toml"]),
    ];
    for (text, words) in files {
        let mut broker = Broker::new(Options::default().with_env("CALLBOARD_CONFIG", "wrong.toml"))?;
        std::fs::write(broker.dir().join("wrong.toml"), text)?;
        refuses(&mut broker, &words).with_context(|| text.to_owned())?;
        if broker.data().exists() {
            bail!("{text}: the data directory was made");
        }
    }
    let missing = Options::default().with_env("CALLBOARD_CONFIG", "missing.toml");
    refuses(&mut Broker::new(missing)?, &["missing.toml", "--config"])?;
    let flag = Options { durability: "perhaps", ..Options::default() };
    refuses(&mut Broker::new(flag)?, &["perhaps", "--durability", "fsync, os"])?;
    let variable = Options::default().with_env("CALLBOARD_SEGMENT_BYTES", "much");
    refuses(&mut Broker::new(variable)?, &["much", "--segment-bytes"])?;
    let address = Options::default().with_env("CALLBOARD_ADVERTISED", "nonsense");
    refuses(&mut Broker::new(address)?, &["nonsense", "HOST:PORT"])
}

/// Other nodes would tell clients an address that leads each client to its own machine.
#[test]
fn a_node_of_a_cluster_on_all_addresses_must_say_how_clients_reach_it() -> Result<()> {
    let rows = [
        ("0.0.0.0:9092", "", "write --advertised HOST:9092,"),
        ("[::]:0", "", "write --advertised HOST:PORT,"),
        ("A://0.0.0.0:1,B://[::]:2", "B://b:22", "write --advertised A://HOST:1,B://b:22,"),
    ];
    for (listeners, advertised, words) in rows {
        let options = Options { listeners: Some(listeners.to_owned()), ..Options::default() };
        let nodes = Nodes::at(vec!["127.0.0.1:1".to_owned()], |_| match advertised {
            "" => options.clone(),
            advertised => options.clone().with_env("CALLBOARD_ADVERTISED", advertised),
        });
        let broker = &mut nodes?.nodes[0];
        refuses(broker, &[words, "HOST is the name by which clients reach this machine"])?;
        if broker.data().exists() {
            bail!("{listeners}: the data directory was made");
        }
    }
    Ok(())
}

#[test]
fn a_port_or_a_directory_in_use_is_refused_and_its_user_goes_on() -> Result<()> {
    let mut first = Broker::start(Options::default())?;
    let mut second = Broker::new(Options { data: Some(first.data()), ..Options::default() })?;
    let data = first.data().display().to_string();
    refuses(&mut second, &[&data, "in use by another process", "--data"])?;
    if !first.running() {
        return Err(first.broken("it ended when another one was started on its directory"));
    }
    first.stop()?;
    // Now that the first has ended, the directory is free.
    second.restart()?;
    second.stop()
}

/// Changes `identity` and, if asked, makes its checksum right again.
fn forge(data: &Path, from: &str, to: &str, sealed: bool) -> Result<()> {
    let path = data.join("identity");
    let text = std::fs::read_to_string(&path)?;
    let (body, crc) = text.trim_end().rsplit_once('\n').context("an identity without a checksum")?;
    if !body.contains(from) {
        bail!("no {from} in the identity:\n{text}");
    }
    let body = body.replacen(from, to, 1);
    let crc = if sealed { format!("crc32c {:08x}", crc32c::crc32c(body.as_bytes())) } else { crc.to_owned() };
    Ok(std::fs::write(path, format!("{body}\n{crc}\n"))?)
}

/// Names and lengths of all files, to see that nothing was changed.
fn files(dir: &Path) -> Result<Vec<(String, u64)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(files(&entry.path())?);
        } else {
            found.push((entry.path().display().to_string(), entry.metadata()?.len()));
        }
    }
    found.sort();
    Ok(found)
}

#[test]
fn a_directory_of_a_newer_format_a_damaged_one_and_another_number_of_shards_are_refused() -> Result<()> {
    let mut broker = Broker::start(Options { shards: 2, ..Options::default() })?;
    broker.stop()?;
    let data = broker.data();
    let identity = std::fs::read(data.join("identity"))?;
    let before = files(&data)?;
    let newer = ["identity has format 2", "this build reads up to 1", "run the newer build again"];
    forge(&data, "\"format\": 1", "\"format\": 2", true)?;
    refuses(&mut broker, &newer)?;
    // A newer format may have another checksum: the number is believed first.
    std::fs::write(data.join("identity"), &identity)?;
    forge(&data, "\"format\": 1", "\"format\": 2", false)?;
    refuses(&mut broker, &newer)?;
    std::fs::write(data.join("identity"), &identity)?;
    forge(&data, "\"node_id\": 1", "\"node_id\": 7", false)?;
    refuses(&mut broker, &["identity", "its checksum does not match", "restore it from a backup"])?;
    for damaged in [&b""[..], b"{", b"\xff\xfe\n", b"{}\ncrc32c 00000000\n"] {
        std::fs::write(data.join("identity"), damaged)?;
        refuses(&mut broker, &["identity is not a usable data directory: "])?;
    }
    std::fs::write(data.join("identity"), &identity)?;
    if files(&data)? != before {
        bail!("a refused start has changed the directory");
    }
    let mut other = Broker::new(Options { shards: 3, data: Some(data), ..Options::default() })?;
    refuses(&mut other, &["--shards 2, not 3", "leave the flag out"])?;
    broker.restart()?;
    broker.stop()
}

#[test]
fn a_directory_that_is_not_ours_is_refused_and_left_as_it_is() -> Result<()> {
    for ours in ["shard-0", "meta.redb"] {
        let mut broker = Broker::new(Options::default())?;
        let data = broker.data();
        std::fs::create_dir_all(data.join(ours))?;
        std::fs::write(data.join(ours).join("something"), "of somebody")?;
        refuses(
            &mut broker,
            &[&format!("it holds {ours} but no identity"), "start with an empty directory"],
        )?;
        let names: Vec<_> = files(&data)?.into_iter().map(|(path, _)| path).collect();
        if names.iter().any(|path| path.ends_with("identity") || path.ends_with(".redb")) {
            bail!("something was made in a foreign directory: {names:?}");
        }
    }
    let mut broker = Broker::new(Options::default())?;
    std::fs::write(broker.data(), "a file, not a directory")?;
    let data = broker.data().display().to_string();
    refuses(&mut broker, &[&data, "start again"])
}
