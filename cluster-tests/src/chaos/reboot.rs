//! A power cut that the node can see: when its disk is mounted again, the machine has booted since.
//!
//! The kernel of this machine goes on, so its boot id does not change. The node would take its page cache for one that
//! survived. So another id is put into the node's `identity`, as the id of the boot that the cut has ended. Nothing else of
//! the directory changes.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

const KEY: &str = "\"boot_id\": \"";
/// No kernel has this id.
const BEFORE: &str = "00000000-0000-0000-0000-000000000000";

/// Makes the last start of the node in this directory one of an earlier boot. A directory that has no identity yet stays.
pub(super) fn reboot(data: &Path) -> Result<()> {
    let path = data.join("identity");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let new = rebooted(&text).with_context(|| format!("no boot id in {}", path.display()))?;
    let mut file = File::create(&path)?;
    file.write_all(new.as_bytes())?;
    Ok(file.sync_all()?)
}

fn rebooted(text: &str) -> Option<String> {
    let (body, _) = text.trim_end().rsplit_once('\n')?;
    let (before, rest) = body.split_once(KEY)?;
    let (_, after) = rest.split_once('"')?;
    let body = format!("{before}{KEY}{BEFORE}\"{after}");
    Some(format!("{body}\ncrc32c {:08x}\n", crc32c::crc32c(body.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_boot_and_the_checksum_change() {
        let body = "{\n  \"node_id\": 1,\n  \"boot_id\": \"5f\\n\",\n  \"lost\": {}\n}";
        let new = rebooted(&format!("{body}\ncrc32c 00000000\n")).unwrap();
        let (changed, crc) = new.trim_end().rsplit_once('\n').unwrap();
        assert_eq!(changed, body.replace("5f\\n", BEFORE));
        assert_eq!(crc, format!("crc32c {:08x}", crc32c::crc32c(changed.as_bytes())));
        assert!(rebooted("{}\ncrc32c 1\n").is_none());
    }
}
