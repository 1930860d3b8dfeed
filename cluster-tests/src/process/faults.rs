//! Disks with faults, under a broker that knows nothing of them.
//!
//! ```text
//!   Faults    cluster-tests/faults/faults.c, compiled here: the broker's writes and syncs are slow, hang, or fail
//!   Volume    a small file system of its own: tmpfs in a mount namespace that a user may make; truly full
//! ```
//!
//! Both start the binary (`Options::wrap`) and need no privilege. Where the machine allows neither, the suite says so
//! (`need`). Power cuts are not here: the crash backend makes them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::HANG;
use super::client::{Running, run, scratch};
use super::programs::find_program;

/// Faults of writes and syncs, which a test can change while the broker runs.
pub struct Faults {
    dir: TempDir,
}

impl Faults {
    /// Compiles the supervisor and tries it; `None` if there is no compiler or the kernel does not allow it.
    pub fn build() -> Result<Option<Self>> {
        let Some(cc) = find_program("cc") else { return Ok(None) };
        let faults = Self { dir: scratch()? };
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/faults/faults.c");
        let program = faults.program();
        run(&cc, &["-O1", "-o", &program, source], |_| ())?.good("cc faults.c")?;
        faults.set("")?;
        let sh = find_program("true").context("no `true`")?;
        let control = faults.control();
        let control = control.to_str().context("a path")?;
        let tried = run(Path::new(&program), &[control, &sh.to_string_lossy()], |_| ())?;
        match tried.status.code() {
            Some(0) => Ok(Some(faults)),
            Some(77) => Ok(None),
            _ => tried.good("faults true").map(|_| None),
        }
    }

    fn program(&self) -> String {
        self.dir.path().join("faults").to_string_lossy().into_owned()
    }

    fn control(&self) -> PathBuf {
        self.dir.path().join("control")
    }

    /// Sets the faults from now on, in the lines of `faults.c`; an empty text ends them.
    pub fn set(&self, rules: &str) -> Result<()> {
        std::fs::write(self.control(), rules).context("the control file of the faults")
    }

    /// The program and arguments that start the broker with these faults.
    pub fn wrap(&self) -> Vec<String> {
        vec![self.program(), self.control().to_string_lossy().into_owned()]
    }
}

/// A small file system. Drop removes it with everything on it.
pub struct Volume {
    dir: TempDir,
    keeper: Running,
}

impl Volume {
    /// Makes a file system of `mib` MiB; `None` where a user may not.
    pub fn new(mib: u32) -> Result<Option<Self>> {
        let dir = scratch()?;
        let at = dir.path().to_string_lossy().into_owned();
        let (Some(unshare), Some(_)) = (find_program("unshare"), find_program("nsenter")) else {
            return Ok(None);
        };
        let script = format!(
            "mount -t tmpfs -o size={mib}m,mode=755 callboard-test {at} && echo mounted && \
             exec setpriv --pdeathsig KILL -- sleep 900"
        );
        let keeper = Running::start(&unshare, &["-rm", "sh", "-c", &script])?;
        if keeper.out.wait_for("mounted", 0, HANG).is_none() {
            return Ok(None);
        }
        Ok(Some(Self { dir, keeper }))
    }

    fn enter(&self) -> Vec<String> {
        let pid = self.keeper.id().to_string();
        ["nsenter", "-t", &pid, "-U", "-m", "--preserve-credentials", "--"].map(str::to_owned).to_vec()
    }

    /// The program and arguments that start the broker inside, and kill it with this process.
    pub fn wrap(&self) -> Vec<String> {
        let mut wrap = self.enter();
        wrap.extend(["setpriv", "--pdeathsig", "KILL", "--"].map(str::to_owned));
        wrap
    }

    /// Where processes inside see the file system.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    fn within(&self, script: &str) -> Result<String> {
        let mut args = self.enter();
        args.extend(["sh".to_owned(), "-c".to_owned(), script.to_owned()]);
        let program = find_program(&args.remove(0)).context("nsenter")?;
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let out = run(&program, &args, |_| ())?.good(script)?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    /// Lets another program take all free space.
    pub fn fill(&self) -> Result<()> {
        let at = self.path().display();
        self.within(&format!("cat /dev/zero > {at}/other 2>/dev/null; df {at} >&2; true")).map(|_| ())
    }

    /// Gives back the space that `fill` took.
    pub fn unfill(&self) -> Result<()> {
        self.within(&format!("rm {}/other", self.path().display())).map(|_| ())
    }

    /// Makes the file system `mib` MiB large.
    pub fn enlarge(&self, mib: u32) -> Result<()> {
        self.within(&format!("mount -o remount,size={mib}m {}", self.path().display())).map(|_| ())
    }

    /// Free space in KiB, as `df` says.
    pub fn free_kib(&self) -> Result<u64> {
        let out = self.within(&format!("df -k --output=avail {} | tail -n 1", self.path().display()))?;
        match out.trim().parse() {
            Ok(kib) => Ok(kib),
            Err(_) => bail!("df said {out:?}"),
        }
    }
}
