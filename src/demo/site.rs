//! The trial's gateway: a folder with its configuration and keys, and the process that serves it.

use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::DemoError;
use crate::association::{Config, Transport};
use crate::custody::Role;
use crate::dicom::{AeAddress, AeTitle};
use crate::identity;
use crate::scu;
use crate::seal::random;

/// The port that DICOM tools try first.
const USUAL_PORT: u16 = 11112;
const ATTEMPTS: u32 = 200;
const BETWEEN: Duration = Duration::from_millis(50);

/// A running gateway of its own; it is stopped when this is dropped.
pub(super) struct Site {
    pub(super) folder: PathBuf,
    pub(super) address: SocketAddr,
    /// Where its admin page is, and the password of its user.
    pub(super) admin: Admin,
    child: Child,
}

impl Site {
    /// Makes the folder's contents, and starts the gateway in front of an archive.
    pub(super) async fn start(folder: &Path, archive: &AeAddress) -> Result<Self, DemoError> {
        let folder = folder.canonicalize()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let admin = Admin::new()?;
        fs::write(folder.join("gateway.toml"), configuration(&folder, address, archive, &admin))?;
        private_folder(&folder.join("credentials"))?;
        admin.write(&folder.join("credentials/admins"))?;
        let secret = random::<32>().map_err(io::Error::other)?;
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        options.open(folder.join("credentials/sealgate-kek"))?.write_all(&secret)?;
        let made = command(&folder, &["keys", "init"])?.output()?;
        if !made.status.success() {
            let said = String::from_utf8_lossy(&made.stderr).trim().to_owned();
            return Err(DemoError::Gateway("`sealgate keys init` failed", said));
        }
        let log = fs::File::create(folder.join("gateway.log"))?;
        let child = command(&folder, &["serve"])?.stdout(Stdio::null()).stderr(log).spawn()?;
        let mut site = Self { folder, address, admin, child };
        site.wait().await?;
        Ok(site)
    }

    /// Where it is called.
    pub(super) fn ae(&self) -> AeAddress {
        AeAddress::parse(&format!("SEALGATE@{}", self.address)).expect("a title and a socket address")
    }

    /// Until it answers.
    async fn wait(&mut self) -> Result<(), DemoError> {
        let (target, limits) = (self.ae(), Arc::new(Config::default()));
        let calling = AeTitle::parse("MODALITY").expect("a title");
        for _ in 0..ATTEMPTS {
            if let Some(status) = self.child.try_wait()? {
                return Err(DemoError::Gateway(
                    "the gateway has ended",
                    format!("{status}; {}", self.last_words()),
                ));
            }
            if scu::echo(&Transport::Plain, &target, &calling, &limits).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(BETWEEN).await;
        }
        Err(DemoError::Gateway("the gateway does not answer", self.last_words()))
    }

    /// The last line of its log.
    pub(super) fn last_words(&self) -> String {
        let log = fs::read_to_string(self.folder.join("gateway.log")).unwrap_or_default();
        log.lines().last().unwrap_or("its log is empty").to_owned()
    }

    /// Whether it still runs.
    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // A gateway may be killed at any time: that is what its spool is for. Here nothing is left in it.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// This program with the trial's configuration and credentials.
fn command(folder: &Path, arguments: &[&str]) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments).arg("--config").arg(folder.join("gateway.toml")).stdin(Stdio::null());
    command.env("CREDENTIALS_DIRECTORY", folder.join("credentials"));
    Ok(command)
}

/// The admin page of a trial: its address, and its one user.
pub(super) struct Admin {
    pub(super) address: SocketAddr,
    pub(super) password: String,
}

impl Admin {
    pub(super) const USER: &str = "admin";

    fn new() -> Result<Self, DemoError> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let password = random::<16>().map_err(io::Error::other)?;
        let password = format!("{:020x}", u128::from_be_bytes(password) >> 48);
        Ok(Self { address: free.local_addr()?, password })
    }

    fn write(&self, path: &Path) -> Result<(), DemoError> {
        let roles = Role::ALL.map(|role| role.word().to_owned()).into();
        let line = identity::hash(Self::USER, &self.password, Some(&roles)).map_err(io::Error::other)?;
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
        Ok(writeln!(file, "{line}")?)
    }
}

fn private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)
}

fn free_port() -> io::Result<u16> {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, USUAL_PORT));
    taken.or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?.local_addr().map(|address| address.port())
}

fn configuration(folder: &Path, address: SocketAddr, archive: &AeAddress, admin: &Admin) -> String {
    let path = |name: &str| toml_text(&folder.join(name).display().to_string());
    let (keys, generators, spool, audit) = (path("keys"), path("generators"), path("spool"), path("audit"));
    let (admin, admins) = (admin.address, path("credentials/admins"));
    let grants = path("grants.json");
    format!(
        r#"# The configuration of a trial. Start it again by hand with
#   CREDENTIALS_DIRECTORY={credentials} sealgate serve --config {config}
titles = ["SEALGATE"]

[[listeners]]
address = "{address}"

[http]
address = "{admin}"
users = {admins}

[keys]
folder = {keys}

[grants]
file = {grants}

[audit]
folder = {audit}

[keygen]
folder = {generators}

[spool]
folder = {spool}
refuse_associations_free_bytes = 67108864
refuse_stores_free_bytes = 33554432

[forward]
retry_seconds_min = 1

# Sends images, as a scanner does.
[[peers]]
name = "modality"
title = "MODALITY"
addresses = ["127.0.0.1"]
may = ["echo", "store"]

# Sees images.
[[peers]]
name = "viewer"
title = "VIEWER"
addresses = ["127.0.0.1"]
may = ["echo", "find", "get", "open"]

# May ask, and sees nothing.
[[peers]]
name = "stranger"
title = "STRANGER"
addresses = ["127.0.0.1"]
may = ["echo", "find", "get"]

[[destinations]]
name = "archive"
address = "{archive}"
retrieve = "get"

[[routes]]
name = "everything"
destinations = ["archive"]
"#,
        credentials = folder.join("credentials").display(),
        config = folder.join("gateway.toml").display(),
    )
}

/// A basic string of TOML; paths have no control characters here.
fn toml_text(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
