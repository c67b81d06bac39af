//! One Kafka node on disk and as a process: its directory, its properties file, format, start.
//! Knows nothing of the other nodes of its cluster.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::dist::{Dist, log_end, missing, text};
use crate::ports::Port;
use crate::process::Process;

/// How long a broker may take to start or to stop; a loaded build machine is slow.
pub const DEADLINE: Duration = Duration::from_secs(120);

const BROKER: &str = "kafka.Kafka";

/// A Kafka properties file, in the order given; a later value of the same key wins.
#[derive(Debug, Clone, Default)]
pub struct Properties(Vec<(String, String)>);

impl Properties {
    /// Adds or replaces one property.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) -> &mut Self {
        let key = key.into();
        self.0.retain(|(k, _)| *k != key);
        self.0.push((key, value.into()));
        self
    }

    fn write(&self, path: &Path) -> Result<()> {
        let mut text = String::new();
        for (key, value) in &self.0 {
            // In the properties format a backslash starts an escape.
            let _ = writeln!(text, "{key}={}", value.replace('\\', "\\\\"));
        }
        std::fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))
    }
}

/// A node that can be started: directory, properties, main class and JVM flags.
#[derive(Debug)]
pub struct Node {
    dir: PathBuf,
    jvm_flags: Vec<String>,
    dist: Dist,
    main: &'static str,
}

impl Node {
    /// Lays out a new node in `dir`.
    pub fn create(
        dist: &Dist,
        dir: &Path,
        id: u32,
        cluster_id: &str,
        checkpoint: &Path,
        mut properties: Properties,
        jvm_flags: &[String],
    ) -> Result<Self> {
        let data = dir.join("data");
        std::fs::create_dir_all(&data).with_context(|| format!("failed to create {}", data.display()))?;
        properties.set("node.id", id.to_string()).set("log.dirs", data.display().to_string());
        properties.write(&dir.join("server.properties"))?;
        // This is what `StorageTool format` leaves behind, without the two seconds of a JVM.
        let meta =
            format!("node.id={id}\ndirectory.id={}\nversion=1\ncluster.id={cluster_id}\n", random_id()?);
        std::fs::write(data.join("meta.properties"), meta)?;
        std::fs::copy(checkpoint, data.join("bootstrap.checkpoint"))
            .context("failed to copy the checkpoint")?;
        Ok(Self { dir: dir.to_owned(), jvm_flags: jvm_flags.to_vec(), dist: dist.clone(), main: BROKER })
    }

    /// Lays out a new node of a cluster that has a ZooKeeper, in `dir`. It formats itself at its start.
    pub fn create_unformatted(
        dist: &Dist,
        dir: &Path,
        id: u32,
        mut properties: Properties,
        jvm_flags: &[String],
    ) -> Result<Self> {
        let data = dir.join("data");
        std::fs::create_dir_all(&data).with_context(|| format!("failed to create {}", data.display()))?;
        properties.set("broker.id", id.to_string()).set("log.dirs", data.display().to_string());
        properties.write(&dir.join("server.properties"))?;
        Ok(Self { dir: dir.to_owned(), jvm_flags: jvm_flags.to_vec(), dist: dist.clone(), main: BROKER })
    }

    /// Lays out a new ZooKeeper in `dir`.
    pub fn create_zookeeper(dist: &Dist, dir: &Path, port: u16) -> Result<Self> {
        let data = dir.join("data");
        std::fs::create_dir_all(&data).with_context(|| format!("failed to create {}", data.display()))?;
        let mut properties = Properties::default();
        properties
            .set("dataDir", data.display().to_string())
            .set("clientPort", port.to_string())
            .set("clientPortAddress", "127.0.0.1")
            .set("maxClientCnxns", "0")
            // It grants no session shorter than two ticks.
            .set("tickTime", "1000")
            .set("admin.enableServer", "false");
        properties.write(&dir.join("server.properties"))?;
        let jvm_flags = ["-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"].map(str::to_owned);
        let main = "org.apache.zookeeper.server.quorum.QuorumPeerMain";
        Ok(Self { dir: dir.to_owned(), jvm_flags: jvm_flags.to_vec(), dist: dist.clone(), main })
    }

    /// Starts its JVM; it is not yet ready when this returns.
    pub fn spawn(&self) -> Result<Process> {
        let mut command = self.dist.node_command(self.main, &self.jvm_flags);
        command.arg(self.dir.join("server.properties")).current_dir(&self.dir);
        Process::spawn(command, &self.log())
    }

    /// Where its output goes.
    pub fn log(&self) -> PathBuf {
        self.dir.join("broker.log")
    }

    /// Where its data is.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }
}

/// Waits until something listens on `port`, or until the process has ended.
pub fn wait_port(process: &mut Process, port: u16, end: Instant) -> Result<()> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
        check_alive(process)?;
        if Instant::now() > end {
            bail!("no broker listens on port {port} in time; its output ends:\n{}", process.log_tail());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// An error, with the end of its output, if the process has ended.
pub fn check_alive(process: &mut Process) -> Result<()> {
    match process.ended() {
        None => Ok(()),
        Some(status) => {
            bail!("the broker ended while starting ({status}); its output ends:\n{}", process.log_tail())
        }
    }
}

/// A new random id in Kafka's form: 16 bytes in URL-safe base64 without padding.
pub fn random_id() -> Result<String> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = [0_u8; 16];
    File::open("/dev/urandom")
        .and_then(|mut f| f.read_exact(&mut bytes))
        .context("failed to get random bytes")?;
    bytes[0] = (bytes[0] & 0x7f) | 0x40; // neither one of the reserved ids nor a leading dash
    let number = u128::from_be_bytes(bytes);
    // 21 digits of 6 bits, then the last 2 bits in the high part of the 22nd.
    let digit = |i: u32| if i < 21 { number >> (122 - 6 * i) } else { number << 4 };
    Ok((0..22).map(|i| char::from(DIGITS[usize::try_from(digit(i) & 63).expect("6 bits")])).collect())
}

/// Runs `StorageTool format` once and returns the checkpoint file that it wrote.
pub(crate) fn format(dist: &Dist, name: &str, scram_users: &[(String, String)]) -> Result<PathBuf> {
    let dir = dist.dir().join(format!("{name}.format"));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir)?;
    let config = dir.join("server.properties");
    standalone(&dir, 1, 2).set("node.id", "1").write(&config)?;
    let mut command = dist.tool_command("kafka.tools.StorageTool");
    command.args(["format", "-t", &random_id()?, "-c"]).arg(&config);
    for (user, password) in scram_users {
        command.arg("--add-scram").arg(format!("SCRAM-SHA-512=[name={user},password={password}]"));
    }
    let output = command.output().map_err(|error| missing("java", &error))?;
    if !output.status.success() {
        bail!("StorageTool format failed: {}", text(&output));
    }
    Ok(dir.join("data").join("bootstrap.checkpoint"))
}

/// Runs a throw-away broker that leaves an archive of its loaded classes, for quicker starts.
pub(crate) fn archive_classes(dist: &Dist) -> Result<()> {
    let dir = dist.dir().join("archive");
    let _ = std::fs::remove_dir_all(&dir);
    let _ = std::fs::remove_file(dist.archive());
    let checkpoint = dist.bootstrap_checkpoint(&[])?;
    let (port, controller) = (Port::reserve()?, Port::reserve()?);
    let part = dist.dir().join("classes.jsa.part");
    let _ = std::fs::remove_file(&part);
    let flags = [
        format!("-XX:ArchiveClassesAtExit={}", part.display()),
        "-Xmx512m".to_owned(),
        "-XX:TieredStopAtLevel=1".to_owned(),
        "-XX:+UseSerialGC".to_owned(),
    ];
    let properties = standalone(&dir, port.number(), controller.number());
    let node = Node::create(dist, &dir, 1, &random_id()?, &checkpoint, properties, &flags)?;
    let mut process = node.spawn()?;
    wait_port(&mut process, port.number(), Instant::now() + DEADLINE)?;
    process.stop(DEADLINE)?;
    std::fs::rename(&part, dist.archive()).with_context(|| log_end(&node.log()))?;
    std::fs::remove_dir_all(&dir).context("failed to remove the throw-away broker")
}

/// The least that a combined node needs.
fn standalone(dir: &Path, port: u16, controller: u16) -> Properties {
    let mut properties = Properties::default();
    properties
        .set("log.dirs", dir.join("data").display().to_string())
        .set("process.roles", "broker,controller")
        .set("controller.quorum.voters", format!("1@127.0.0.1:{controller}"))
        .set("listeners", format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}"))
        .set("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT")
        .set("controller.listener.names", "CONTROLLER")
        .set("offsets.topic.replication.factor", "1");
    properties
}

#[cfg(test)]
mod tests {
    use super::random_id;

    #[test]
    fn a_random_id_has_the_form_that_kafka_reads() {
        for _ in 0..1000 {
            let id = random_id().expect("random bytes");
            assert_eq!(id.len(), 22);
            assert!(!id.starts_with('-') && "AQgw".contains(&id[21..]), "{id}");
        }
    }
}
