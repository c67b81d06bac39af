//! `isomirror verify`: whether both sides hold the same, offset by offset. Changes nothing anywhere.
//!
//! Owns the progress bar, what a person or a script sees, and the exit code. Comparing is `migration::verify`'s.

mod show;

use std::{sync::Arc, time::Instant};

use migration::verify::{Error, Progress, Request, Sample, Verdict, verify};

use crate::{
    cli::{Common, Output, VerifyArgs},
    config::Config,
    exit::{Exit, Failure},
    human, link, progress,
};

/// Compares, prints what was found, and says by the exit code whether it is the same.
pub fn run(config: &Config, args: &VerifyArgs, common: &Common) -> anyhow::Result<Exit> {
    let request = Request {
        link: link::config(config, None),
        timeout: super::TIMEOUT,
        topics: args.topic.clone(),
        since: args.since.map(|since| since.as_millisecond()),
        sample: args.sample.map(|part| Sample { part, seed: args.seed.unwrap_or_else(random) }),
        tail: None,
        until: None,
        at_once: args.parallel,
        show: args.show_values,
        resume: args.resume.clone(),
    };
    super::interruptible(compare(&request, common.output), &interrupted(&request))
}

async fn compare(request: &Request, output: Output) -> anyhow::Result<Exit> {
    let (began, progress) = (Instant::now(), Arc::new(Progress::default()));
    let report = tokio::select! {
        report = verify(request, progress.clone()) => report.map_err(failure)?,
        () = draw(progress) => unreachable!("it is drawn for ever"),
    };
    super::print(&match output {
        Output::Json => serde_json::to_string_pretty(&report)?,
        Output::Table => show::report(&report, began.elapsed()),
    })?;
    Ok(match report.verdict {
        Verdict::Equal => Exit::Done,
        Verdict::Different => Exit::Refused,
        Verdict::Incomplete => Exit::Failed,
    })
}

fn failure(error: Error) -> Failure {
    match error {
        Error::Sides(error) => super::failure(error),
        Error::Resume { .. } => Failure::new(Exit::Usage, error.to_string()),
        Error::Metrics(_) => Failure::new(Exit::Failed, error.to_string()),
    }
}

fn interrupted(request: &Request) -> String {
    match &request.resume {
        Some(path) => format!("interrupted; the same command with --resume {} goes on", path.display()),
        None => "interrupted; with --resume FILE it could have been gone on with".to_owned(),
    }
}

async fn draw(progress: Arc<Progress>) {
    let began = Instant::now();
    progress::keep_drawn(|bar| {
        let done = progress.now();
        bar.set_length(done.of.max(1));
        bar.set_position(done.offsets);
        let seconds = began.elapsed().as_secs_f64().max(0.001);
        let rate = done.offsets as f64 / seconds;
        let left = done.of.saturating_sub(done.offsets);
        bar.set_message(format!(
            "{} of {} offsets, {}, {}, ETA {}",
            human::count(done.offsets),
            human::count(done.of),
            human::bytes(done.bytes),
            human::bytes_rate(done.bytes as f64 / seconds),
            human::eta((rate > 0.0).then(|| left as f64 / rate)),
        ));
    })
    .await;
}

/// Another one each time.
fn random() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    xxhash_rust::xxh3::xxh3_64(&now.as_nanos().to_le_bytes())
}
