//! README's section on three nodes, run as it is written: its commands form a cluster, kcat writes and reads through each
//! node, each node is killed once and comes back, and everything acknowledged is read.
//!
//! ```text
//!   README.md ─> code blocks behind "<!-- cluster -->" ─> bash, in a network of its own ─> lines "ok …"
//! ```
//! Waits for a full ISR between two kills are added. README's ports are fixed, so the commands run in a network namespace.
//! Where the machine allows none (`unshare --net`), the test says so and uses the machine's own ports.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use callboard_cluster_tests::process::{find_program, need, run, say, scratch};

/// The code blocks of the section, in order.
fn blocks() -> Result<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let (_, section) = readme.split_once("<!-- cluster -->").context("README has no cluster section")?;
    let section = section.split("\n## ").next().unwrap_or_default();
    Ok(section.split("```\n").skip(1).step_by(2).map(str::to_owned).collect())
}

/// The steps of a user: the blocks as they stand, then each node in turn is killed and started again.
fn script(form: &str, usage: &str) -> Result<String> {
    let lines: Vec<&str> = usage.lines().collect();
    let [ready, write, list, read] = lines[..] else { anyhow::bail!("four commands were due:\n{usage}") };
    let (start, again) = (form.trim_end(), form.lines().last().context("a command that starts the nodes")?);
    let again = again.strip_prefix("for n in 1 2 3; do ").and_then(|rest| rest.strip_suffix(" & done"));
    let again = again.context("a loop over three nodes")?;
    Ok(format!(
        r#"
set -u -o pipefail
trap 'kill -9 $(jobs -p) 2> /dev/null' EXIT
die() {{ echo "FAILED $*"; tail -n 20 log; exit 1; }}
whole() {{ # every replica of every partition is in its ISR again
  for _ in $(seq 600); do
    kcat -b 127.0.0.1:909$1 -L -t orders > map 2>&1 && ! grep -q 'Broker: ' map \
      && [ "$(grep -cE 'replicas: [123],[123],[123], isrs: [123],[123],[123]' map)" -ge 1 ] \
      && [ "$(grep -c 'replicas: ' map)" = "$(grep -cE 'isrs: [123],[123],[123]' map)" ] && return 0
    sleep 0.1
  done
  cat map; die "no full ISR by node $1"
}}
exec 2>> log
{start}
total=1000
{ready} || die "node 2 is not ready"
{write} || die "kcat could not write"
{list} || die "kcat could not list"
[ "$({read})" = 1000 ] || die "not all were read"
echo "ok 1000 read"
whole 1
node() {{ n=$1; {again} & pid[$1]=$!; }}
pid=(0 $(jobs -p))
for victim in 1 2 3; do
  through=$((victim % 3 + 1))
  kill -9 ${{pid[$victim]}}; wait ${{pid[$victim]}} 2>> log
  seq 10 | kcat -b 127.0.0.1:909$through -P -t orders -X acks=all || die "kcat could not write through node $through"
  total=$((total + 10))
  for other in $through $((through % 3 + 1)); do
    got=$(kcat -b 127.0.0.1:909$other -C -t orders -e -q | wc -l)
    [ "$got" = $total ] || die "$got of $total were read from node $other"
  done
  node $victim
  whole $victim
  got=$(kcat -b 127.0.0.1:909$victim -C -t orders -e -q | wc -l)
  [ "$got" = $total ] || die "$got of $total were read from node $victim, which came back"
  echo "ok node $victim was killed and came back; $total read"
done
kill $(jobs -p); wait
echo "ok ended"
"#
    ))
}

#[test]
fn the_cluster_section_does_what_it_says() -> Result<()> {
    let Some(_) = need("cluster_readme", "kcat", find_program("kcat"))? else { return Ok(()) };
    let bash = find_program("bash").context("there is no bash")?;
    let blocks = blocks()?;
    let [form, usage, ..] = &blocks[..] else { anyhow::bail!("two blocks were due: {blocks:?}") };
    let dir = scratch()?;
    let path = dir.path().join("steps.sh");
    std::fs::write(&path, script(form, usage)?)?;
    // The commands say `callboard`: a directory with the built binary comes first in PATH.
    let around = r#"
cd "$1" && mkdir -p bin && ln -sf "$2" bin/callboard && export PATH="$1/bin:$PATH"
alone="--net --pid --fork --kill-child --mount-proc"
for private in "unshare $alone" "unshare --user --map-root-user $alone"; do
  if $private true 2>/dev/null; then
    exec $private bash -c '(ip link set lo up || ifconfig lo up) 2>/dev/null; exec bash steps.sh'
  fi
done
echo "no network namespace: the machine's own ports are used"
exec bash steps.sh
"#;
    let dir_text = dir.path().display().to_string();
    let binary = callboard_cluster_tests::process::binary()?.display().to_string();
    let out =
        run(&bash, &["-c", around, "bash", &dir_text, &binary], |_| ())?.good("README's cluster section")?;
    let out = String::from_utf8_lossy(&out).into_owned();
    say(&out);
    ensure!(out.lines().filter(|line| line.starts_with("ok ")).count() == 5, "{out}");
    Ok(())
}
