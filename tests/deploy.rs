//! What deploy/ holds is accepted by the programs that will read it: systemd, Prometheus, YAML readers; and what it
//! names exists. A missing program fails the test and names its Debian package.
//!
//! There is no container engine in this project's test environment: the Dockerfile is read here, not built.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

#[path = "support/tools.rs"]
mod tools;

const UNIT: &str = "isomirror@.service";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the crate lies in the repository")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path))
        .unwrap_or_else(|error| panic!("failed to read {path}: {error}"))
}

fn run(command: &mut Command) -> Result<Output> {
    let output = command.output().with_context(|| format!("failed to start {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?} ended with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output)
}

/// A YAML file as a value. Debian's python3-yaml reads it; no crate has to.
fn yaml(path: &str) -> Result<Value> {
    let python = tools::find("python3", "python3")?;
    let script = "import json,sys\ntry:\n import yaml\nexcept ImportError:\n \
                  sys.exit('this test needs: apt-get install --no-install-recommends python3-yaml')\n\
                  json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";
    let output = run(Command::new(python).args(["-c", script]).arg(root().join(path)))?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The names of the metrics in a text.
fn metric_names(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("isomirror_"))
        .map(|word| word.strip_suffix("_bucket").unwrap_or(word))
        .collect()
}

// --- systemd ---

/// The unit in a directory of its own, with our binary for /usr/bin/isomirror: verify asks that it exists.
fn unit() -> Result<(tempfile::TempDir, PathBuf)> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join(UNIT);
    let text = read(&format!("deploy/systemd/{UNIT}"));
    std::fs::write(&path, text.replace("/usr/bin/isomirror", env!("CARGO_BIN_EXE_isomirror")))?;
    Ok((dir, path))
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() -> Result<()> {
    let analyze = tools::find("systemd-analyze", "systemd")?;
    let (_dir, unit) = unit()?;
    let output = run(Command::new(analyze).arg("verify").arg(&unit))?;
    // An unknown directive is only a line on stderr, with exit code 0.
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("isomirror"), "{said}");
    Ok(())
}

#[test]
fn the_unit_exposes_next_to_nothing() -> Result<()> {
    let analyze = tools::find("systemd-analyze", "systemd")?;
    let (_dir, unit) = unit()?;
    // Of 10.0 at worst, 1.2 at most: what is left is the network, which it is there for.
    run(Command::new(analyze).args(["security", "--offline=true", "--threshold=12"]).arg(&unit))?;
    Ok(())
}

// --- Prometheus ---

#[test]
fn promtool_accepts_the_configuration_the_rules_and_their_tests() -> Result<()> {
    let promtool = tools::find("promtool", "prometheus")?;
    let dir = root().join("deploy/prometheus");
    let tool = |args: &[&str]| run(Command::new(&promtool).args(args).current_dir(&dir));
    tool(&["check", "config", "prometheus.yml"])?;
    tool(&["check", "rules", "isomirror.rules.yml"])?;
    tool(&["test", "rules", "isomirror.rules.test.yml"])?;
    // Its rules file is mounted beside it by compose.yaml.
    tool(&["check", "config", "--syntax-only", "../docker/prometheus.yml"])?;
    Ok(())
}

#[test]
fn every_alert_tells_what_to_do_and_has_a_test() -> Result<()> {
    let rules = yaml("deploy/prometheus/isomirror.rules.yml")?;
    let tests = read("deploy/prometheus/isomirror.rules.test.yml");
    let rules = rules["groups"][0]["rules"].as_array().context("a list of rules")?;
    assert!(!rules.is_empty());
    for rule in rules {
        let name = rule["alert"].as_str().context("every rule is an alert")?;
        let severity = rule["labels"]["severity"].as_str();
        assert!(matches!(severity, Some("critical" | "warning")), "{name}: severity {severity:?}");
        assert!(rule["annotations"]["summary"].is_string(), "{name} has no summary");
        let description = rule["annotations"]["description"].as_str().unwrap_or_default();
        assert!(description.len() > 100, "{name} does not say what to do: {description:?}");
        // IsomirrorRecordsLost and its like are matched together.
        let tested = tests.contains(name) || name.starts_with("IsomirrorRecords");
        assert!(tested, "{name} has no test in isomirror.rules.test.yml");
    }
    Ok(())
}

#[test]
fn alerts_go_by_documented_metrics_only() {
    let documented = read("docs/METRICS.md");
    let documented = metric_names(&documented);
    let rules = read("deploy/prometheus/isomirror.rules.yml");
    let used = metric_names(&rules);
    assert!(used.len() > 8, "{used:?}");
    let unknown: Vec<_> = used.difference(&documented).collect();
    assert!(unknown.is_empty(), "not in docs/METRICS.md: {unknown:?}");
}

// --- containers ---

/// The sources of the Dockerfile's COPY lines that come from the repository.
fn copied() -> Vec<String> {
    read("deploy/docker/Dockerfile")
        .lines()
        .filter_map(|line| line.strip_prefix("COPY "))
        .filter(|arguments| !arguments.starts_with("--from="))
        .flat_map(|arguments| {
            let mut words: Vec<_> = arguments.split_whitespace().map(str::to_owned).collect();
            words.pop();
            words
        })
        .collect()
}

#[test]
fn what_the_dockerfile_copies_exists_and_gets_past_dockerignore() {
    let ignore = read(".dockerignore");
    let copied = copied();
    assert!(copied.len() >= 4, "{copied:?}");
    for source in copied {
        assert!(root().join(&source).exists(), "the Dockerfile copies {source}, which does not exist");
        let let_through = format!("!{source}");
        assert!(ignore.lines().any(|line| line == let_through), ".dockerignore keeps {source} out");
    }
}

#[test]
fn the_dockerfile_copies_every_member_of_the_workspace() {
    let copied = copied();
    let manifest = read("Cargo.toml");
    let members =
        manifest.lines().find_map(|line| line.strip_prefix("members = ")).expect("a list of members");
    for member in members.split('"').skip(1).step_by(2) {
        let top = member.split('/').next().expect("split gives one part at least");
        assert!(copied.iter().any(|source| source == top), "the Dockerfile does not copy {member}");
    }
}

#[test]
fn every_mirror_of_the_compose_file_is_scraped_and_its_mounts_exist() -> Result<()> {
    let compose = yaml("deploy/docker/compose.yaml")?;
    let scraped = read("deploy/docker/prometheus.yml");
    let services = compose["services"].as_object().context("services")?;
    let mut mirrors = 0;
    let mut groups = BTreeSet::new();
    for (name, service) in services {
        if service["image"] == "isomirror" {
            mirrors += 1;
            assert!(scraped.contains(&format!("\"{name}:9464\"")), "{name} is not scraped");
            let group = service["environment"]["GROUP_ID"].as_str().context("every mirror has a GROUP_ID")?;
            assert!(groups.insert(group), "two services have the group {group}");
            let dockerfile = service["build"]["dockerfile"].as_str().context("a dockerfile")?;
            let context = service["build"]["context"].as_str().context("a context")?;
            let context = root().join("deploy/docker").join(context);
            assert!(context.join(dockerfile).is_file(), "{name}: no {dockerfile} in its context");
        }
        for mount in service["volumes"].as_array().into_iter().flatten() {
            let file = mount.as_str().and_then(|m| m.split(':').next()).context("a mount as text")?;
            assert!(
                root().join("deploy/docker").join(file).is_file(),
                "{name} mounts {file}, which does not exist"
            );
        }
    }
    assert_eq!(mirrors, 2, "the example shows two pairs of topics");
    Ok(())
}
