//! `isomirror plan` and `isomirror apply`: what the target lacks of what the link needs there.
//!
//! Owns what a person or a script sees, and the exit code. What there is to do is `migration::plan`'s to say, and to do.

mod show;

use std::{collections::BTreeSet, fs, path::Path, sync::Arc};

use migration::plan::{Error, Part, Prepared, Progress, Report, Request, prepare};
use serde_json::Value;

use crate::{
    cli::{ApplyArgs, Common, Only, Output, PlanArgs},
    config::Config,
    exit::{Exit, Failure},
    link, progress,
};

/// Says what would be done.
pub fn plan(config: &Config, args: &PlanArgs, common: &Common) -> anyhow::Result<Exit> {
    run(async {
        let planned = planned(config, args).await?;
        said(planned.report(), common.output)
    })
}

/// Does it, and says by the exit code whether all of it was done.
pub fn apply(config: &Config, args: &ApplyArgs, common: &Common) -> anyhow::Result<Exit> {
    let reviewed = args.plan.as_deref().map(read).transpose()?;
    run(async {
        let mut planned = planned(config, &args.what).await?;
        if let Some(reviewed) = &reviewed {
            planned.report().is_as_reviewed(reviewed).map_err(|difference| {
                let message = format!(
                    "there is something else to do than in the plan: {difference}; nothing was done\n  fix: look at \
                     the new plan"
                );
                Failure::new(Exit::Refused, message)
            })?;
        }
        let progress = planned.progress();
        tokio::select! {
            () = planned.apply() => {}
            () = draw(progress) => unreachable!("it goes on for ever"),
        }
        said(planned.report(), common.output)
    })
}

fn run(work: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
    super::interruptible(
        work,
        "interrupted; what was done before stays, and `isomirror plan` says what is left",
    )
}

/// A plan that somebody has looked at.
fn read(path: &Path) -> Result<Value, Failure> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string());
    text.and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string())).map_err(|error| {
        let message = format!(
            "cannot read the plan {}: {error}\n  fix: name a file that `isomirror plan CONFIG --output json` has written",
            path.display()
        );
        Failure::new(Exit::Usage, message)
    })
}

async fn planned(config: &Config, args: &PlanArgs) -> Result<Prepared, Failure> {
    let all = [Only::Topics, Only::Configs, Only::Acls, Only::Groups];
    let only = if args.only.is_empty() { &all[..] } else { &args.only };
    let part = |only: &Only| match only {
        Only::Topics => Part::Topics,
        Only::Configs => Part::Configs,
        Only::Acls => Part::Acls,
        Only::Groups => Part::Groups,
    };
    let request = Request {
        link: link::config(config, None),
        timeout: super::TIMEOUT,
        parts: only.iter().map(part).collect::<BTreeSet<_>>(),
        choice: link::groups(config),
    };
    prepare(&request).await.map_err(failure)
}

fn failure(error: Error) -> Failure {
    match &error {
        Error::Marks(control_topic::Error::NotAuthorized { .. }) => {
            Failure::new(Exit::Refused, error.to_string())
        }
        Error::Admin(answered) if answered.is_not_authorized() => {
            Failure::new(Exit::Refused, error.to_string())
        }
        _ => super::failure(error),
    }
}

/// Prints what would be done, or was, and says how that ends.
fn said(report: &Report, output: Output) -> anyhow::Result<Exit> {
    super::print(&match output {
        Output::Json => serde_json::to_string_pretty(report)?,
        Output::Table => show::report(report),
    })?;
    Ok(if report.unreachable {
        Exit::Unreachable
    } else if report.failed() > 0 {
        Exit::Failed
    } else if report.refused() > 0 {
        Exit::Refused
    } else {
        Exit::Done
    })
}

async fn draw(progress: Arc<Progress>) {
    progress::keep_drawn(|bar| {
        let (done, of) = progress.now();
        bar.set_length(of.max(1) as u64);
        bar.set_position(done as u64);
        bar.set_message(format!("{done} of {of} steps"));
    })
    .await;
}
