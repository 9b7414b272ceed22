//! The gateway under test: its files in a folder of its own, its process, its end.

use std::fs;
use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;
use rcgen::CertifiedKey;
use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio::time::sleep;

/// The host all requests name.
pub(crate) const HOST: &str = "localhost";
/// Everybody's password: hashed once, since only the logins have to cost what logins cost.
pub(crate) const PASSWORD: &str = "seventeen patient herons by the canal";

/// How long starting and ending may take.
const PATIENCE: Duration = Duration::from_secs(40);

/// A running gateway. Dropping it kills the process and removes the folder.
pub(crate) struct Gateway {
    folder: TempDir,
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Gateway {
    /// Starts `binary` in front of `upstream` with these users, and waits until it accepts connections.
    pub(crate) async fn start(binary: &Path, upstream: SocketAddr, users: &[String]) -> Result<Self> {
        let folder =
            tempfile::Builder::new().prefix("vestibule-soak-").tempdir().context("a temporary folder")?;
        // Free now, and nobody else on this machine is likely to take it within the next second.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        write_certificate(folder.path())?;
        write_users(folder.path(), &hash(binary)?, users)?;
        write_config(folder.path(), address, upstream)?;
        let log = File::create(folder.path().join("log"))?;
        let child = Command::new(binary)
            .args(["serve", "--config", "vestibule.yaml"])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", binary.display()))?;
        let mut gateway = Self { folder, child, address };
        gateway.wait_until_it_accepts().await?;
        Ok(gateway)
    }

    /// The certificate to trust.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote last.
    pub(crate) fn last_words(&self) -> String {
        let text = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.len().saturating_sub(20);
        lines.get(last..).unwrap_or_default().join("\n")
    }

    /// Asks it to end as an operator would; it must do so with success.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        let process = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("no process id")?;
        kill_process(process, Signal::TERM).context("sending SIGTERM")?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "after SIGTERM the gateway ended with {status}");
                return Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
        bail!("the gateway did not end within {} s of SIGTERM", PATIENCE.as_secs())
    }

    async fn wait_until_it_accepts(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address).await.is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("the gateway ended at once with {status}:\n{}", self.last_words());
            }
            ensure!(Instant::now() < deadline, "the gateway does not listen:\n{}", self.last_words());
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It fails only if the process has ended, which is what is wanted.
        if self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}

fn write_certificate(folder: &Path) -> Result<()> {
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed([HOST.to_owned()])?;
    write_secret(&folder.join("cert.key"), &signing_key.serialize_pem())?;
    fs::write(folder.join("cert.pem"), cert.pem()).context("writing the certificate")
}

fn write_users(folder: &Path, hash: &str, users: &[String]) -> Result<()> {
    let entry = |user: &String| format!("  {user}: {{ password: \"{hash}\" }}");
    let entries: Vec<String> = users.iter().map(entry).collect();
    write_secret(&folder.join("users.yaml"), &format!("users:\n{}\n", entries.join("\n")))
}

fn write_config(folder: &Path, address: SocketAddr, upstream: SocketAddr) -> Result<()> {
    let text = format!(
        "state_dir: state
listen: {{ https: \"{address}\", admin: null }}
tls: {{ certificates: [{{ cert: cert.pem, key: cert.key }}] }}
login: {{ password: {{ users: users.yaml }} }}
log: {{ access: false, audit: audit.log }}
sites:
  - hosts: [{HOST}]
    upstream: http://{upstream}
"
    );
    fs::write(folder.join("vestibule.yaml"), text).context("writing the configuration")
}

fn write_secret(path: &Path, text: &str) -> Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes()).with_context(|| format!("writing {}", path.display()))
}

/// What the gateway itself makes of the password.
fn hash(binary: &Path) -> Result<String> {
    let mut child = Command::new(binary)
        .arg("hash-password")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {}", binary.display()))?;
    let mut input = child.stdin.take().context("no standard input")?;
    writeln!(input, "{PASSWORD}")?;
    drop(input);
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "`hash-password` ended with {}", output.status);
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
