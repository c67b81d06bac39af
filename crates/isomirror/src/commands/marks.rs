//! `isomirror marks`: which source offset lies at which target offset, as the link has recorded it on the target; and
//! how to make it forget.
//!
//! Owns finding the lane that is meant, and the exit code. What an offset became is `offset_marks`' to say, reading is
//! `control_topic`'s, and what other links have brought is `origin_search`'s to find; for all else the source is not asked, nor
//! is the daemon. What a person sees is `show`.

mod find;
mod forget;
mod origins;
mod show;

use std::{
    io::{self, BufRead, BufWriter, Write, stdin, stdout},
    time::Duration,
};

use anyhow::Context;
use control_topic::{ControlTopic, name_of};
use kafka_wire::{Client, Settings};
use mirror_types::{Offset, Side};
use offset_marks::Ledger;

use self::origins::Origins;
use crate::{
    cli::{self, Asked, Common, Marks, OffsetsArgs, Output},
    config::Config,
    exit::{Exit, Failure},
};

/// How long to try before a cluster is called unreachable.
const PATIENCE: Duration = Duration::from_secs(10);

/// Prints what was asked for; done whatever became of the offsets.
pub fn run(config: &Config, what: &Marks, common: &Common) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.context("failed to start the runtime")?;
    let mut out = BufWriter::new(stdout().lock());
    let said = match what {
        Marks::List => {
            let (lanes, events) = runtime.block_on(async { find::lanes(&open(config).await?).await })?;
            show::list(&mut out, &config.link, &lanes, &events, common.output)
        }
        Marks::Translate(args) => {
            let ledger = runtime.block_on(async { find::by_source(&open(config).await?, args).await })?;
            let origins = Origins::of(&runtime, config, &ledger);
            answer(&mut out, &ledger, &origins, Side::Source, args, common.output)?
        }
        Marks::Reverse(args) => {
            let ledger = runtime.block_on(async { find::by_either(&open(config).await?, args).await })?;
            let origins = Origins::of(&runtime, config, &ledger);
            answer(&mut out, &ledger, &origins, Side::Target, args, common.output)?
        }
        Marks::Forget(args) => {
            let forgotten =
                runtime.block_on(async { forget::lanes(&open(config).await?, config, args).await })?;
            show::forgotten(&mut out, &config.link, &forgotten, common.output)
        }
    };
    match said.and_then(|()| out.flush()) {
        // A reader that has seen enough (`| head`) is no failure.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(Exit::Done),
    }
}

fn client(config: &Config, side: Side) -> Result<Client, Failure> {
    let cluster = match side {
        Side::Source => &config.source,
        Side::Target => &config.target,
    };
    let settings = Settings::new(cluster.kafka.iter()).map_err(|error| {
        Failure::new(Exit::Usage, format!("[{side}.kafka] can't be used to read the marks: {error}"))
    })?;
    Ok(Client::new(settings).with_patience(PATIENCE))
}

async fn open(config: &Config) -> Result<ControlTopic, Failure> {
    let client = client(config, Side::Target)?;
    let topic = ControlTopic::open(&client, &config.link).await.map_err(failure)?;
    topic.ok_or_else(|| {
        let (topic, target) = (name_of(&config.link), &config.target.name);
        let message = format!(
            "link {} has not run yet: there is no topic {topic} on {target}, where its marks would be\n  fix: run \
             it; or see that link and [target.kafka] are those it runs with",
            config.link
        );
        Failure::new(Exit::Refused, message)
    })
}

/// How the command ends that could not read the marks.
fn failure(error: control_topic::Error) -> Failure {
    let exit = if error.is_unreachable() { Exit::Unreachable } else { Exit::Failed };
    let fix = error.fix().map(|fix| format!("\n  fix: {fix}")).unwrap_or_default();
    Failure::new(exit, format!("{error}{fix}"))
}

/// Writes the answers. The outer error is the reader's fault, the inner one the terminal's.
fn answer(
    out: &mut impl Write,
    ledger: &Ledger,
    origins: &Origins<'_>,
    side: Side,
    args: &OffsetsArgs,
    output: Output,
) -> Result<io::Result<()>, Failure> {
    let mut answers = show::Answers::new(out, ledger, side, output);
    if args.all {
        return Ok(answers.all());
    }
    for asked in &args.offset {
        let said = match asked {
            Asked::Offset(offset) => answers.one(*offset, origins.elsewhere(ledger, side, *offset)),
            Asked::Stdin => from_stdin(&mut answers, &|offset| origins.elsewhere(ledger, side, offset))?,
        };
        if said.is_err() {
            return Ok(said);
        }
    }
    Ok(Ok(()))
}

/// Answers as it is asked: whoever is at the other end of both pipes may wait for one answer before the next offset.
fn from_stdin(
    answers: &mut show::Answers<'_, impl Write>,
    elsewhere: &dyn Fn(Offset) -> Option<Offset>,
) -> Result<io::Result<()>, Failure> {
    for (number, line) in (1..).zip(stdin().lock().lines()) {
        let wrong = |what: String| {
            Failure::new(
                Exit::Usage,
                format!("line {number} of standard input: {what}\n  fix: write one number a line, 0 or more"),
            )
        };
        for word in line.map_err(|error| wrong(error.to_string()))?.split_whitespace() {
            let offset = cli::offset(word).map_err(wrong)?;
            let said = answers.one(offset, elsewhere(offset));
            if said.is_err() {
                return Ok(said);
            }
        }
        let said = answers.flush();
        if said.is_err() {
            return Ok(said);
        }
    }
    Ok(Ok(()))
}
