//! What a cutover would do, step by step, and whether it could do that now. Changes nothing, not even the journal.

use group_offsets::Rule;
use serde::Serialize;
use tokio::sync::mpsc::unbounded_channel;

use super::{
    Block, Chosen, Course, Depth, Ending, Error, Intent, Plan, Request, Step, Story, chosen, of_topics, who,
    world::Acting,
};
use crate::{
    operation::{
        Steps,
        drive::Trouble,
        groups,
        lanes::{Standing, lag},
    },
    topics::Scene,
    words::{counted, few},
};

/// All steps.
#[derive(Debug, Clone, Serialize)]
pub struct Preview {
    /// The link.
    pub link: String,
    /// The source cluster's name.
    pub source: String,
    /// The target cluster's name.
    pub target: String,
    /// What would be cut over.
    #[serde(flatten)]
    pub plan: Plan,
    /// What has to be known first: that one is under way, or done.
    pub note: Option<String>,
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
    /// The ACLs that it would make.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub acls: Vec<kafka_wire::AclRule>,
    /// Why it could not do it now, with what to do.
    pub trouble: Option<String>,
}

/// Looks.
pub async fn preview(request: &Request) -> Result<Preview, Error> {
    let scene = Scene::of(&of_topics(request)).await?;
    let decided = scene.journal().await?;
    let stories = decided.as_ref().map(Story::all).transpose()?.unwrap_or_default();
    let (open, mut done): (Vec<_>, Vec<_>) =
        stories.into_iter().partition(|story| story.course.ended.is_none());
    done.retain(|story| matches!(story.course.ended, Some((_, Ending::Done))));
    let (story, note) = match open.into_iter().next() {
        Some(story) => {
            let at = story.course.steps.last().map_or(Step::Preconditions, |passed| passed.step);
            let way = if story.course.back.is_some() { "going back" } else { "going on" };
            let note = format!("one is under way, by {}: at {at}, {way}", story.runner.by);
            (story, Some(note))
        }
        None => match chosen(request, &scene, decided.as_ref(), done).await? {
            Chosen::Plan(plan) => (Story::imagined(plan, &who(request)), None),
            Chosen::Done(story) => (*story, Some("it is done already".to_owned())),
        },
    };
    // Whoever watches would be told of waiting only.
    let (watcher, _nobody) = unbounded_channel();
    let looking = Looking { request, world: Acting::new(request, &watcher, &story)?, course: &story.course };
    let mut steps = Vec::new();
    for step in Step::ALL {
        steps.push(looking.step(*step).await);
    }
    Ok(Preview {
        link: request.link.link.clone(),
        source: request.link.source.name.clone(),
        target: request.link.target.name.clone(),
        plan: story.course.plan.clone(),
        note,
        steps,
    })
}

struct Looking<'a> {
    request: &'a Request,
    world: Acting<'a>,
    course: &'a Course,
}

/// What a step would do, with which ACLs; and why it could not now.
type Look = (String, Vec<kafka_wire::AclRule>, Option<Trouble>);

impl Looking<'_> {
    async fn step(&self, step: Step) -> StepPreview {
        let (would, acls, trouble) = match step {
            Step::Preconditions => {
                let found = self.world.preconditions(self.course).await;
                let would = "look at everything that has to be so".to_owned();
                (would, Vec::new(), found.err())
            }
            Step::Lag => self.lag().await,
            Step::Block => self.block().await,
            Step::Drain => self.drain().await,
            Step::Groups => self.groups().await,
            Step::Verify => (self.verify(), Vec::new(), None),
            Step::Rights => self.rights().await,
            Step::Clients => (self.clients(), Vec::new(), None),
            Step::Stop => {
                (format!("stop {} in the link's journal", few(self.course.plan.sources())), Vec::new(), None)
            }
        };
        StepPreview { step, would, acls, trouble: trouble.map(|trouble| trouble.what) }
    }

    async fn lag(&self) -> Look {
        let bound = self.request.settings.max_lag;
        let would = |lag: &str| format!("wait until at most {bound} records are missing; {lag} are now");
        match self.world.standing().await {
            Ok(lanes) => (would(&lag(&lanes).to_string()), Vec::new(), None),
            Err(trouble) => (would("unknown how many"), Vec::new(), Some(trouble)),
        }
    }

    async fn block(&self) -> Look {
        let would = match &self.request.settings.block {
            Block::Acl(writers) => format!("deny {} to write, by ACLs on the source", writers.join(", ")),
            Block::Hook(hook) => format!("run {:?}", hook.run),
            Block::Quiet(quiet) => format!("wait until nobody has written for {quiet:?}"),
        };
        self.with_acls(would, self.world.block_intent(self.course).await)
    }

    async fn drain(&self) -> Look {
        let would = "wait until nothing is missing, and the logs' ends are what they have to be".to_owned();
        match self.world.standing().await {
            Ok(lanes) => {
                let open = lanes.iter().filter(|lane| lane.stable != lane.source).map(Standing::name);
                let open: Vec<String> = open.collect();
                match open.is_empty() {
                    true => (would, Vec::new(), None),
                    false => {
                        (format!("{would}; transactions are open in {} now", few(open)), Vec::new(), None)
                    }
                }
            }
            Err(trouble) => (would, Vec::new(), Some(trouble)),
        }
    }

    async fn groups(&self) -> Look {
        let (link, timeout) = (&self.request.link, self.request.timeout);
        let found = async {
            let readers =
                groups::readers(&self.request.link, self.world.clusters(), &self.course.plan).await?;
            Ok((
                readers,
                groups::prepared(link, timeout, &self.course.plan, Rule { backwards: false }).await?,
            ))
        };
        match found.await {
            Ok((_, None)) => ("nothing: [groups] has no include".to_owned(), Vec::new(), None),
            Ok((readers, Some(planned))) => {
                let totals = planned.totals();
                let would = format!(
                    "wait until no member is left, and carry over the offsets of {} ({} to commit now)",
                    counted(totals.groups, "group"),
                    totals.commit
                );
                let trouble = (!readers.is_empty()).then(|| {
                    Trouble::refused(
                        few(readers.iter().map(ToString::to_string)),
                        "stop it once writers are blocked",
                    )
                });
                (would, Vec::new(), trouble)
            }
            Err(trouble) => ("carry over groups' offsets".to_owned(), Vec::new(), Some(trouble)),
        }
    }

    fn verify(&self) -> String {
        match self.request.settings.verify {
            Depth::None => "nothing, as asked".to_owned(),
            Depth::Tail => "compare the last records of each lane".to_owned(),
            Depth::Full => "compare all records of both sides".to_owned(),
            Depth::Sample(part) => format!("compare {}% of each lane", part * 100.0),
        }
    }

    async fn rights(&self) -> Look {
        let intent = self.world.rights_intent(self.course).await;
        let would = match &intent {
            Ok(Intent::Look) => "nothing: one of the clusters has no authorizer".to_owned(),
            _ => "allow on the target who may write on the source".to_owned(),
        };
        self.with_acls(would, intent)
    }

    fn clients(&self) -> String {
        match &self.request.settings.clients {
            Some(hook) => format!("run {:?}", hook.run),
            None => "nothing: no clients_hook; clients are yours to move".to_owned(),
        }
    }

    fn with_acls(&self, would: String, intent: Result<Intent, Trouble>) -> Look {
        match intent {
            Ok(Intent::Acls { create, there, .. }) => {
                let would = format!("{would}: {} to make, {} are there", create.len(), there.len());
                (would, create, None)
            }
            Ok(_) => (would, Vec::new(), None),
            Err(trouble) => (would, Vec::new(), Some(trouble)),
        }
    }
}
