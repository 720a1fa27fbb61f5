//! Small file systems in memory, mounted by root: a disk that gets full, and one that is read-only.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted file system that goes away with the value.
pub(crate) struct Mount(PathBuf);

impl Mount {
    /// One of this size over a folder. None where nobody may mount: with the feature `peers`, whose tests are to be run
    /// as root, that is a failure; without it the test says that it has not checked anything.
    pub(crate) fn new(at: impl AsRef<Path>, size: &str) -> Option<Self> {
        let at = at.as_ref();
        let owner = fs::metadata(at).unwrap();
        let options = format!("size={size},mode=0700,uid={},gid={}", owner.uid(), owner.gid());
        if run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", at.to_str().unwrap()]) {
            return Some(Self(at.to_owned()));
        }
        let is_needed = cfg!(feature = "peers");
        assert!(!is_needed, "a file system cannot be mounted here: run this as root, or with sudo");
        // Past the harness, which shows nothing of tests that pass.
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        let _ = writeln!(std::io::stderr(), "not checked  {test}: nobody may mount a file system here");
        None
    }

    #[cfg(feature = "peers")]
    pub(crate) fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(run("mount", &["-o", &options, self.0.to_str().unwrap()]), "{options}");
    }

    /// Fills it to the last byte with a file of this name.
    pub(crate) fn fill(&self, name: &str) {
        let mut file = fs::File::create(self.0.join(name)).unwrap();
        for size in [65_536, 512, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        run("umount", &["-l", self.0.to_str().unwrap()]);
    }
}

/// As root, by `sudo -n` where that is somebody else.
fn run(program: &str, arguments: &[&str]) -> bool {
    let root = Command::new("id").arg("-u").output().unwrap().stdout.starts_with(b"0\n");
    let mut command = if root { Command::new(program) } else { Command::new("sudo") };
    if !root {
        command.args(["-n", program]);
    }
    command.args(arguments).output().is_ok_and(|output| output.status.success())
}
