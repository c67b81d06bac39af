//! What a switchover would do, step by step, and whether it could do that now. Changes nothing, not even the journals.

use std::collections::BTreeSet;

use group_offsets::Rule;
use kafka_wire::AclRule;
use link_journal::Journal;
use serde::Serialize;
use tokio::sync::mpsc::unbounded_channel;

use super::{
    Block, Consumers, Course, Depth, Error, Intent, Plan, Request, Step, Story, choose, client,
    consumers::Ends, turn, who, world::Acting,
};
use crate::{
    operation::{
        Steps,
        drive::Trouble,
        groups,
        lanes::{Standing, lag},
    },
    words::{counted, few},
};

/// All steps.
#[derive(Debug, Clone, Serialize)]
pub struct Preview {
    /// The pair.
    pub pair: String,
    /// What would be switched over, and which way.
    #[serde(flatten)]
    pub plan: Plan,
    /// What has to be known first: that one is under way.
    pub note: Option<String>,
    /// Records that the standby lacks now.
    pub lag: Option<u64>,
    /// Each step.
    pub steps: Vec<StepPreview>,
}

/// A step.
#[derive(Debug, Clone, Serialize)]
pub struct StepPreview {
    /// Which.
    pub step: Step,
    /// What it would do.
    pub would: String,
    /// The ACLs that it would make, or delete.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub acls: Vec<AclRule>,
    /// Why it could not do it now, with what to do.
    pub trouble: Option<String>,
}

/// Looks.
pub async fn preview(request: &Request) -> Result<Preview, Error> {
    let mut states = Vec::new();
    for link in &request.pair.links {
        if let Some(journal) = Journal::open(&client(link, request.timeout)?, &link.link).await? {
            states.push(journal.read().await?);
        }
    }
    let stories = Story::of_all(&states)?;
    let open = stories.iter().find(|story| story.course.ended.is_none());
    let (story, note) = match open {
        Some(story) => {
            let at = story.course.steps.last().map_or(Step::Preconditions, |passed| passed.step);
            let way = if story.course.back.is_some() { "going back" } else { "going on" };
            let note = format!("one is under way, by {}: at {at}, {way}", story.runner.by);
            (story.clone(), Some(note))
        }
        None => (Story::imagined(choose(request, &states).await?, &who(request)), None),
    };
    // Whoever watches would be told of waiting only.
    let (watcher, _nobody) = unbounded_channel();
    let world = Acting::new(request, &watcher, &story, &states)?;
    let looking = Looking { request, world, course: &story.course };
    let mut steps = Vec::new();
    for step in Step::ALL {
        steps.push(looking.step(*step).await);
    }
    let lag = looking.world.standing().await.ok().map(|lanes| lag(&lanes));
    Ok(Preview { pair: request.pair.name(), plan: story.course.plan.clone(), note, lag, steps })
}

struct Looking<'a> {
    request: &'a Request,
    world: Acting<'a>,
    course: &'a Course,
}

/// What a step would do, with which ACLs; and why it could not now.
type Look = (String, Vec<AclRule>, Option<Trouble>);

impl Looking<'_> {
    async fn step(&self, step: Step) -> StepPreview {
        let (would, acls, trouble) = match step {
            Step::Preconditions => {
                let found = self.world.preconditions(self.course).await;
                ("look at everything that has to be so, on both sites".to_owned(), Vec::new(), found.err())
            }
            Step::Block => self.block().await,
            Step::Stragglers => self.stragglers().await,
            Step::Even => self.even().await,
            Step::Groups => self.groups().await,
            Step::Flip | Step::Follow => (self.turns(step), Vec::new(), None),
            Step::Release => self.release().await,
            Step::Clients => (self.clients(), Vec::new(), None),
            Step::Leave => (self.leave(), Vec::new(), None),
        };
        StepPreview { step, would, acls, trouble: trouble.map(|trouble| trouble.what) }
    }

    async fn block(&self) -> Look {
        let would = match &self.request.settings.block {
            Block::Acl(writers) if writers.is_empty() => {
                "deny everybody to write whom an ACL lets, but the mirror".to_owned()
            }
            Block::Acl(writers) => format!("deny {} to write, by ACLs", writers.join(", ")),
            Block::Hook(hook) => format!("run {:?}", hook.run),
            Block::Quiet(quiet) => format!("wait until nobody has written for {quiet:?}"),
        };
        with_acls(would, self.world.block_intent(self.course).await)
    }

    async fn stragglers(&self) -> Look {
        let would = "wait until no log end moves and no transaction is open".to_owned();
        match self.world.standing().await {
            Ok(lanes) => {
                let open: Vec<String> =
                    lanes.iter().filter(|lane| lane.stable != lane.source).map(Standing::name).collect();
                match open.is_empty() {
                    true => (would, Vec::new(), None),
                    false => (format!("{would}; one is open in {} now", few(open)), Vec::new(), None),
                }
            }
            Err(trouble) => (would, Vec::new(), Some(trouble)),
        }
    }

    async fn even(&self) -> Look {
        let compare = match self.request.settings.verify {
            Depth::None => String::new(),
            Depth::Tail => ", and compare the last records of each lane".to_owned(),
            Depth::Full => ", and compare all records".to_owned(),
            Depth::Sample(part) => format!(", and compare {}% of each lane", part * 100.0),
        };
        match self.world.standing().await {
            Ok(lanes) => {
                let would =
                    format!("wait for {} that are missing now{compare}", counted(lag(&lanes), "record"));
                (would, Vec::new(), None)
            }
            Err(trouble) => (format!("wait for what is missing{compare}"), Vec::new(), Some(trouble)),
        }
    }

    async fn groups(&self) -> Look {
        let link = match self.request.pair.link(turn(&self.course.plan).map_or("", |turn| &turn.link)) {
            Ok(link) => link,
            Err(error) => {
                return ("carry over groups' offsets".to_owned(), Vec::new(), Some(Trouble::of(error)));
            }
        };
        let clusters = self.world.clusters();
        let found = async {
            let readers = groups::readers(link, clusters, &self.course.plan).await?;
            let lanes = self.world.standing().await?;
            let behind = match self.request.settings.consumers {
                Consumers::CaughtUp => {
                    Ends::new().behind(clusters, &self.course.plan, &readers, &lanes).await?
                }
                Consumers::Any => None,
            };
            let rule = Rule { backwards: true };
            let planned = groups::prepared(link, self.request.timeout, &self.course.plan, rule).await?;
            let names: BTreeSet<String> = readers.into_iter().map(|reader| reader.group).collect();
            Ok((names, behind, planned))
        };
        match found.await {
            Ok((_, _, None)) => ("nothing: [groups] has no include".to_owned(), Vec::new(), None),
            Ok((awake, behind, Some(planned))) => {
                let totals = planned.report().totals;
                let mut would = format!(
                    "carry over the offsets of {} ({} to commit now, {} would be read again)",
                    counted(totals.groups, "group"),
                    totals.commit,
                    counted(totals.read_again, "record")
                );
                if !awake.is_empty() {
                    would.push_str(&format!(
                        "; {} now",
                        few(awake.iter().map(|group| format!("{group} has members")))
                    ));
                }
                if let Some(behind) = behind {
                    would.push_str(&format!("; waits as long as {behind}"));
                }
                (would, Vec::new(), None)
            }
            Err(trouble) => ("carry over groups' offsets".to_owned(), Vec::new(), Some(trouble)),
        }
    }

    fn turns(&self, step: Step) -> String {
        let Ok(turn) = turn(&self.course.plan) else { return String::new() };
        match step {
            Step::Flip => {
                format!("have link {} rest, and mark where {} goes on: at the log ends", turn.link, turn.back)
            }
            _ => format!("wait until link {} runs", turn.back),
        }
    }

    async fn release(&self) -> Look {
        let to = turn(&self.course.plan).map_or("", |turn| &*turn.to);
        let intent = self.world.release_intent(self.course).await;
        let would = match &intent {
            Ok(Intent::Run { command, .. }) => format!("run {command:?}"),
            Ok(Intent::Look) => format!("nothing: {to} has no authorizer"),
            _ => format!("let those write on {to} who may write now"),
        };
        with_acls(would, intent)
    }

    fn clients(&self) -> String {
        match &self.request.settings.clients {
            Some(command) => format!("run {command:?}"),
            None => "nothing: no clients_hook; clients are yours to move".to_owned(),
        }
    }

    fn leave(&self) -> String {
        let Ok(turn) = turn(&self.course.plan) else { return String::new() };
        match self.request.settings.consumers {
            Consumers::Any => "nothing: consumers = \"any\"".to_owned(),
            Consumers::CaughtUp => format!(
                "wait until consumers have left {}, for {:?} at most; then link {} runs on",
                turn.from, self.request.settings.leave_limit, turn.back
            ),
        }
    }
}

fn with_acls(would: String, intent: Result<Intent, Trouble>) -> Look {
    match intent {
        Ok(Intent::Acls { create, there, delete }) => {
            let mut would = format!("{would}: {} to make, {} are there", create.len(), there.len());
            if !delete.is_empty() {
                would.push_str(&format!(", {} to delete", delete.len()));
            }
            (would, create.into_iter().chain(delete).collect(), None)
        }
        Ok(_) => (would, Vec::new(), None),
        Err(trouble) => (would, Vec::new(), Some(trouble)),
    }
}
