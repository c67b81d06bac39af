//! The Kafka distribution: jars fetched once by Maven into `<target>/kafka/<version>/`, and the JVM
//! command lines that use them.
//!
//! Layout of that directory: `jars/` (broker and tools), `mirror-jars/` (MirrorMaker 2, on demand),
//! `bootstrap-*.checkpoint` (what `StorageTool format` writes, reused by every node), `classes.jsa`
//! (shared class archive; nearly halves a broker's start), `*.done` (written last). A lock file
//! keeps two processes from preparing the same version at once. Versions 2.x run with ZooKeeper and
//! have neither checkpoint nor archive.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, bail};
use rustix::fs::{FlockOperation, flock};

use crate::process::tail;

const INSTALL: &str = "install it with `apt-get install -y maven openjdk-17-jdk-headless` \
                       (Debian packages maven and openjdk-17-jdk-headless)";
const LOG4J: &str = "log4j.rootLogger=INFO, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d{ISO8601} %p %m (%c{1})%n
log4j.logger.kafka.server.KafkaConfig=WARN
log4j.logger.org.apache.kafka.common.config.AbstractConfig=WARN
log4j.logger.state.change.logger=WARN
";
const TOOL_LOG4J: &str = "log4j.rootLogger=WARN, err
log4j.appender.err=org.apache.log4j.ConsoleAppender
log4j.appender.err.target=System.err
log4j.appender.err.layout=org.apache.log4j.PatternLayout
log4j.appender.err.layout.ConversionPattern=%p %m (%c{1})%n
";

/// The workspace's target directory.
pub fn target_dir() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let workspace = workspace.canonicalize().unwrap_or(workspace);
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => workspace.join(dir),
        None => workspace.join("target"),
    }
}

/// One fetched Kafka version.
#[derive(Debug, Clone)]
pub struct Dist {
    version: String,
    dir: PathBuf,
}

impl Dist {
    /// The jars of `version`, fetched now if they are not there yet.
    pub fn get(version: &str) -> Result<Self> {
        require_jdk()?;
        let dir = target_dir().join("kafka").join(version);
        let dist = Self { version: version.to_owned(), dir };
        let kafka = ("org.apache.kafka", "kafka_2.13", version);
        let tools = ("org.apache.kafka", "kafka-tools", version);
        dist.once("jars", |dist| dist.fetch("jars", &[kafka, tools]))?;
        dist.once("classes", |dist| {
            std::fs::write(dist.dir.join("log4j.properties"), LOG4J)?;
            std::fs::write(dist.dir.join("tool-log4j.properties"), TOOL_LOG4J)?;
            if dist.needs_zookeeper() {
                return Ok(());
            }
            if let Err(error) = crate::broker::archive_classes(dist) {
                eprintln!("brokers will start slower, no shared class archive: {error:#}");
            }
            Ok(())
        })?;
        Ok(dist)
    }

    /// The version, as asked for.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether its brokers need a ZooKeeper: those before version 3 can't do transactions without.
    pub fn needs_zookeeper(&self) -> bool {
        self.version.starts_with("2.")
    }

    /// Where this version's files are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A JVM with the broker and tool jars, quick to start rather than fast for long.
    pub fn tool_command(&self, main: &str) -> Command {
        let mut command = self.quick_jvm("-Xmx256m", None);
        command.arg(main);
        command
    }

    /// A JVM for a node whose main class is `main`; `flags` are JVM flags.
    pub fn node_command(&self, main: &str, flags: &[String]) -> Command {
        let mut command = self.jvm("jars");
        command.args(flags).arg(self.log4j("log4j.properties")).arg(main);
        command
    }

    /// A JVM that can run MirrorMaker 2 (`org.apache.kafka.connect.mirror.MirrorMaker`); add flags,
    /// the class and its arguments. Fetches its jars at first use.
    pub fn mirror_maker_command(&self) -> Result<Command> {
        let version = self.version.as_str();
        let modules = ["connect-mirror", "connect-runtime", "kafka-tools"];
        let modules = modules.map(|name| ("org.apache.kafka", name, version));
        self.once("mirror-jars", |dist| dist.fetch("mirror-jars", &modules))?;
        let mut command = self.jvm("mirror-jars");
        command.arg(self.log4j("log4j.properties"));
        Ok(command)
    }

    /// The first metadata records of a new cluster, with these SCRAM-SHA-512 users, as
    /// `StorageTool format` writes them. Made once per version and set of users.
    pub fn bootstrap_checkpoint(&self, scram_users: &[(String, String)]) -> Result<PathBuf> {
        let mut hasher = DefaultHasher::new();
        scram_users.hash(&mut hasher);
        let name = format!("bootstrap-{:016x}", hasher.finish());
        let path = self.dir.join(format!("{name}.checkpoint"));
        self.once(&name, |dist| {
            let made = crate::broker::format(dist, &name, scram_users)?;
            std::fs::rename(&made, &path).context("failed to keep the formatted metadata")
        })?;
        Ok(path)
    }

    /// The class path argument for the broker and tool jars.
    pub fn class_path(&self) -> PathBuf {
        self.dir.join("jars").join("*")
    }

    /// A JVM for a program of the tests that was compiled into `classes`; its class's name comes next.
    pub(crate) fn program_command(&self, classes: &Path) -> Command {
        self.quick_jvm("-Xmx512m", Some(classes))
    }

    fn quick_jvm(&self, heap: &str, classes: Option<&Path>) -> Command {
        let mut command = self.jvm_with("jars", classes);
        command.args([heap, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]).arg(self.tool_log4j());
        command
    }

    fn jvm(&self, jars: &str) -> Command {
        self.jvm_with(jars, None)
    }

    fn jvm_with(&self, jars: &str, classes: Option<&Path>) -> Command {
        let mut command = Command::new(java_tool("java"));
        let archive = self.archive();
        if jars == "jars" && archive.exists() {
            command.arg(format!("-XX:SharedArchiveFile={}", archive.display()));
            // A JDK update makes the archive useless, not the broker: say nothing then.
            command.args(["-Xshare:auto", "-Xlog:cds=off", "-Xlog:cds+dynamic=off"]);
        }
        // What the archive has comes first; what follows does not make it useless.
        let mut class_path = self.dir.join(jars).join("*").into_os_string();
        if let Some(classes) = classes {
            class_path.push(":");
            class_path.push(classes);
        }
        command.arg("-cp").arg(class_path);
        command
    }

    pub(crate) fn archive(&self) -> PathBuf {
        self.dir.join("classes.jsa")
    }

    pub(crate) fn tool_log4j(&self) -> String {
        self.log4j("tool-log4j.properties")
    }

    fn log4j(&self, file: &str) -> String {
        format!("-Dlog4j.configuration=file:{}", self.dir.join(file).display())
    }

    pub(crate) fn once(&self, name: &str, work: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        once(&self.dir, name, || work(self))
    }

    fn fetch(&self, into: &str, modules: &[(&str, &str, &str)]) -> Result<()> {
        eprintln!("fetching Apache Kafka {} ({into}) by Maven, once", self.version);
        let work = self.dir.join(format!("{into}.pom"));
        std::fs::create_dir_all(&work)?;
        let log_binding = ("org.slf4j", "slf4j-reload4j", "1.7.36");
        let dependencies: String = modules
            .iter()
            .chain([&log_binding])
            .map(|(group, artifact, version)| {
                format!(
                    "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
                     <version>{version}</version></dependency>\n"
                )
            })
            .collect();
        std::fs::write(
            work.join("pom.xml"),
            format!(
                "<project><modelVersion>4.0.0</modelVersion><groupId>kafka-harness</groupId>\
                 <artifactId>dist</artifactId><version>1</version><packaging>pom</packaging>\n\
                 <dependencies>\n{dependencies}</dependencies></project>\n"
            ),
        )?;
        // Into a fresh directory, so that an interrupted run leaves no half-filled one behind.
        let part = self.dir.join(format!("{into}.part"));
        let _ = std::fs::remove_dir_all(&part);
        let output = Command::new("mvn")
            .current_dir(&work)
            .args(["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime"])
            .arg(format!("-DoutputDirectory={}", part.display()))
            .output()
            .map_err(|error| missing("mvn", &error))?;
        if !output.status.success() {
            bail!("Maven could not fetch Apache Kafka {}: {}", self.version, text(&output));
        }
        let jars = self.dir.join(into);
        let _ = std::fs::remove_dir_all(&jars);
        std::fs::rename(&part, &jars).context("failed to move the jars into place")
    }
}

/// Runs `work`, which puts something into `dir`, unless it has once succeeded; one process at a time.
pub(crate) fn once(dir: &Path, name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let done = dir.join(format!("{name}.done"));
    if done.exists() {
        return Ok(());
    }
    std::fs::create_dir_all(dir).with_context(|| format!("failed to create {}", dir.display()))?;
    let lock = File::create(dir.join(format!("{name}.lock"))).context("failed to create a lock file")?;
    flock(&lock, FlockOperation::LockExclusive)
        .with_context(|| format!("failed to lock {}", dir.display()))?;
    if !done.exists() {
        work()?;
        std::fs::write(&done, b"")
            .with_context(|| format!("failed to mark {} as complete", dir.display()))?;
    }
    Ok(())
}

/// The path of a JDK tool: from `JAVA_HOME` if that is set, else from the search path.
pub(crate) fn java_tool(name: &str) -> PathBuf {
    std::env::var_os("JAVA_HOME")
        .map(|home| PathBuf::from(home).join("bin").join(name))
        .filter(|path| path.exists())
        .unwrap_or_else(|| PathBuf::from(name))
}

/// What a failed start of a needed program means to the person at the keyboard.
pub(crate) fn missing(program: &str, error: &std::io::Error) -> anyhow::Error {
    if error.kind() == ErrorKind::NotFound {
        anyhow!("the tests run real Kafka brokers and need `{program}`, which is not installed: {INSTALL}")
    } else {
        anyhow!("failed to start `{program}`: {error}")
    }
}

/// Both outputs of a finished command, for an error message.
pub(crate) fn text(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{}\n{}\n{}", output.status, out.trim(), err.trim())
}

fn require_jdk() -> Result<()> {
    static CHECKED: OnceLock<Result<(), String>> = OnceLock::new();
    CHECKED.get_or_init(|| check_jdk().map_err(|e| e.to_string())).clone().map_err(anyhow::Error::msg)
}

fn check_jdk() -> Result<()> {
    let java = java_tool("java");
    let output = Command::new(&java).arg("-version").output().map_err(|error| missing("java", &error))?;
    let banner = String::from_utf8_lossy(&output.stderr).into_owned();
    match major_version(&banner) {
        Some(17..) => Ok(()),
        Some(old) => {
            bail!("`{}` is Java {old}, but the tests need a JDK 17 or newer: {INSTALL}", java.display())
        }
        None => bail!("`{} -version` makes no sense ({}): {INSTALL}", java.display(), banner.trim()),
    }
}

fn major_version(banner: &str) -> Option<u32> {
    let quoted = banner.split('"').nth(1)?;
    let mut parts = quoted.split(['.', '-', '+', '_']);
    match parts.next()?.parse().ok()? {
        1 => parts.next()?.parse().ok(), // 1.8.0
        major => Some(major),
    }
}

/// The end of a log file, for an error message.
pub(crate) fn log_end(path: &Path) -> String {
    format!("{} ends:\n{}", path.display(), tail(path, 30))
}

#[cfg(test)]
mod tests {
    use super::major_version;

    #[test]
    fn java_versions_old_and_new_are_told_apart() {
        assert_eq!(major_version("openjdk version \"17.0.15\" 2025-04-15"), Some(17));
        assert_eq!(major_version("openjdk version \"21\" 2023-09-19"), Some(21));
        assert_eq!(major_version("java version \"1.8.0_392\""), Some(8));
        assert_eq!(major_version("openjdk version \"23-ea\""), Some(23));
        assert_eq!(major_version("command not found"), None);
    }
}
