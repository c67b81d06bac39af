//! Reassignments, done batch by batch: refused if they must not be begun, throttled, watched until every replica is in sync,
//! and taken back where they do not get on.
//!
//! All there is to know of how far a plan has come is in the cluster: a batch whose partitions are where it wants them is
//! done. So whoever comes after a kill -9 goes on where it was.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::OnceLock,
    time::{Duration, Instant},
};

use cluster_audit::{Facts, Move, PartitionId, partitions};
use kafka_wire::{AclOperation, Code};
use serde::Serialize;

use crate::{
    Cluster, Error, Order, gather,
    gather::sizes,
    throttle::{self, LeftOver, Throttle, left_over, take_off},
};

/// How often it looks, at most.
const LOOK: Duration = Duration::from_millis(500);
/// What a look takes is a lot where there are many partitions: so much longer than that nothing is asked.
const REST: u32 = 5;

/// How it is done.
#[derive(Debug, Clone)]
pub struct ApplyOptions {
    /// Bytes a second that each broker may send, and receive, for it; none: as fast as it goes.
    pub throttle: Option<u64>,
    /// How long nothing may get on before that is trouble.
    pub patience: Duration,
    /// How full, in per cent, a broker's disks may become.
    pub watermark: u64,
    /// How to undo it, for the error that may end it.
    pub back: String,
}

/// How far a batch is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Which of how many, from 1.
    pub batch: usize,
    /// How many there are.
    pub batches: usize,
    /// Partitions of it that are where they are to be, and all in sync.
    pub partitions_done: usize,
    /// Its partitions.
    pub partitions: usize,
    /// Bytes that its new replicas have.
    pub bytes_done: u64,
    /// What they are to have.
    pub bytes: u64,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Applied {
    /// Batches that were done now.
    pub batches: usize,
    /// Batches that had been done before.
    pub before: usize,
    /// Partitions that were moved now.
    pub partitions: usize,
    /// Bytes that new replicas have copied.
    pub bytes: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Topics whose throttle an earlier process had left behind, and that was taken off.
    pub throttles_found: usize,
}

/// What is to be done of a batch, by what is there.
struct Todo {
    /// Not where they are to be yet.
    moves: Vec<Move>,
    /// Those of them that are on their way already.
    begun: BTreeSet<PartitionId>,
}

/// Does what the orders say. `stop` ends it early: what is on its way is taken back then.
pub async fn apply(
    cluster: &Cluster,
    orders: &[Order],
    options: &ApplyOptions,
    stop: impl Future<Output = ()>,
    on: impl Fn(&Progress),
) -> Result<Applied, Error> {
    let began = Instant::now();
    let mut left = left_over(cluster).await?;
    let found = left.topics.len();
    let facts = gather(cluster).await?.facts;
    let allowed = refuse(cluster, &facts, orders, options).await;
    if facts.moving().next().is_none() {
        // Also where nothing is begun.
        let off = take_off(cluster, &left).await;
        allowed?;
        off?;
        left = LeftOver::default();
    } else {
        allowed?;
    }
    let mut done = Applied { throttles_found: found, ..Applied::default() };
    tokio::pin!(stop);
    for (at, order) in orders.iter().enumerate() {
        let todo = todo(&gather(cluster).await?.facts, order);
        if todo.moves.is_empty() {
            done.before += 1;
            continue;
        }
        let number = (at + 1, orders.len());
        let batch = Batch { cluster, order, options, number, todo, set: OnceLock::new() };
        let outcome = batch.run(&left, stop.as_mut(), &on).await;
        // Whatever it was: what is set is taken off, and so is what is still on its way.
        let ended = batch.end(outcome).await;
        left = LeftOver::default();
        let bytes = ended?;
        done.batches += 1;
        done.partitions += batch.todo.moves.len();
        done.bytes += bytes;
    }
    take_off(cluster, &left).await?;
    done.seconds = began.elapsed().as_secs_f64();
    Ok(done)
}

/// Every reason why it must not be begun.
async fn refuse(
    cluster: &Cluster,
    facts: &Facts,
    orders: &[Order],
    options: &ApplyOptions,
) -> Result<(), Error> {
    let mut needed = vec![AclOperation::Alter, AclOperation::Describe];
    if options.throttle.is_some() {
        needed.extend([AclOperation::AlterConfigs, AclOperation::DescribeConfigs]);
    }
    let mut reasons = lacking(cluster, &needed).await?;
    let ours = goals(orders);
    let is_ours =
        |at: &PartitionId| ours.get(at).zip(goal(facts, at)).is_some_and(|(ours, goal)| ours.contains(&goal));
    let mut others = facts.moving().filter(|at| !is_ours(at));
    if let Some(example) = others.next() {
        let count = partitions(1 + others.count());
        reasons.push(format!("another reassignment is in progress: {count}, {example} among them"));
    }
    for order in orders {
        for placed in &order.after {
            let Some(partition) = facts.partition(&placed.at) else {
                reasons.push(format!("there is no {} (any more)", placed.at));
                continue;
            };
            let now = &partition.replicas;
            let expected = order.before.get(&placed.at);
            let known = expected.is_none_or(|before| before == now) || *now == placed.replicas;
            if !known && partition.moving.is_none() {
                let expected = expected.map_or_else(String::new, |before| format!(", not on {before:?}"));
                reasons.push(format!(
                    "{} is on {now:?}{expected} as when the plan was made: make a new one",
                    placed.at
                ));
            }
            let down = placed.replicas.iter().filter(|id| !now.contains(id) && !facts.is_live(**id));
            let down: Vec<String> = down.map(i32::to_string).collect();
            if !down.is_empty() {
                let live = facts.live().len();
                reasons.push(format!(
                    "{} is to be on broker {}, which is down; {live} brokers are up",
                    placed.at,
                    down.join(", ")
                ));
            }
        }
    }
    let moves: Vec<Move> = orders.iter().flat_map(|order| todo(facts, order).moves).collect();
    reasons.extend(full(facts, &moves, options.watermark));
    if reasons.is_empty() && options.throttle.is_some() {
        reasons.extend(throttle_refused(cluster, &Throttle::of(&moves)).await?);
    }
    const NAMED: usize = 10;
    match reasons.len() {
        0 => Ok(()),
        count => {
            reasons.truncate(NAMED);
            if count > NAMED {
                reasons.push(format!("and {} more", count - NAMED));
            }
            Err(Error::Refused(reasons))
        }
    }
}

/// What reassignments that go on may lead to: where these orders want the partitions, or where those did that they undo.
fn goals(orders: &[Order]) -> BTreeMap<&PartitionId, Vec<BTreeSet<i32>>> {
    let mut goals = BTreeMap::<&PartitionId, Vec<BTreeSet<i32>>>::new();
    for order in orders {
        for placed in &order.after {
            let before = order.before.get(&placed.at).into_iter().flatten().copied().collect();
            goals.entry(&placed.at).or_default().extend([placed.replicas.iter().copied().collect(), before]);
        }
    }
    goals
}

/// Where a reassignment that goes on leads to.
fn goal(facts: &Facts, at: &PartitionId) -> Option<BTreeSet<i32>> {
    let partition = facts.partition(at)?;
    let removing = &partition.moving.as_ref()?.removing;
    Some(partition.replicas.iter().filter(|id| !removing.contains(id)).copied().collect())
}

/// Rights on the cluster that are needed and missing, in words; nothing where the brokers don't tell (before 2.8).
pub(crate) async fn lacking(cluster: &Cluster, needed: &[AclOperation]) -> Result<Vec<String>, Error> {
    let rights = cluster.client.cluster_rights().await.map_err(|error| cluster.error(error))?;
    let Some(rights) = rights else { return Ok(Vec::new()) };
    let lacks = needed.iter().filter(|right| !rights.contains(right));
    Ok(lacks.map(|right| format!("the right {right} on the cluster is missing")).collect())
}

/// Brokers whose disks would be over the watermark.
fn full(facts: &Facts, moves: &[Move], watermark: u64) -> Vec<String> {
    let mut coming = BTreeMap::<i32, u64>::new();
    for (id, bytes) in moves.iter().flat_map(|one| one.added().map(|id| (id, one.bytes))) {
        *coming.entry(id).or_default() += bytes;
    }
    let mut reasons = Vec::new();
    for (id, bytes) in coming {
        let Some((total, used)) = facts.brokers.get(&id).and_then(cluster_audit::Broker::disk) else {
            continue;
        };
        let (then, total) = (u128::from(used) + u128::from(bytes), u128::from(total));
        let percent = then * 100 / total;
        if then * 100 > total * u128::from(watermark) {
            reasons.push(format!(
                "the disks of broker {id} would be {percent} % full; the watermark is {watermark} %"
            ));
        }
    }
    reasons
}

/// Why the throttle can't be set, as brokers say before it is.
async fn throttle_refused(cluster: &Cluster, throttle: &Throttle) -> Result<Vec<String>, Error> {
    let topics: Vec<String> = throttle.topics().cloned().collect();
    let mut reasons: Vec<String> = throttle::foreign(cluster, &topics)
        .await?
        .into_iter()
        .map(|topic| {
            format!(
                "topic {topic} has throttled replicas that somebody else has set (kafka-reassign-partitions \
                 without --verify?): delete *.replication.throttled.replicas of it"
            )
        })
        .collect();
    let said = cluster.client.try_topic_configs(&throttle.lists(&BTreeSet::new())).await;
    for outcome in said.map_err(|error| cluster.error(error))?.into_values() {
        if let Err(error) = outcome {
            reasons.push(error.to_string());
        }
    }
    Ok(reasons)
}

/// What is not where the order wants it.
fn todo(facts: &Facts, order: &Order) -> Todo {
    let (mut moves, mut begun) = (Vec::new(), BTreeSet::new());
    for placed in &order.after {
        let Some(partition) = facts.partition(&placed.at) else { continue };
        let moving = partition.moving.as_ref();
        if moving.is_none() && partition.replicas == placed.replicas {
            continue;
        }
        // Where it was before it was on its way.
        let added = |id: &&i32| moving.is_none_or(|moving| !moving.adding.contains(id));
        let before = partition.replicas.iter().filter(added).copied().collect();
        if goal(facts, &placed.at).is_some_and(|goal| goal == placed.replicas.iter().copied().collect()) {
            begun.insert(placed.at.clone());
        }
        moves.push(Move {
            at: placed.at.clone(),
            before,
            after: placed.replicas.clone(),
            leader: partition.leader,
            bytes: partition.bytes.unwrap_or(0),
        });
    }
    Todo { moves, begun }
}

struct Batch<'a> {
    cluster: &'a Cluster,
    order: &'a Order,
    options: &'a ApplyOptions,
    number: (usize, usize),
    todo: Todo,
    /// The throttle that it sets: brokers may not show it yet when it has to go.
    set: OnceLock<LeftOver>,
}

/// How a batch ended that is not done.
enum Ended {
    Trouble(String),
    Stopped,
    Failed(Error),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Batch<'_> {
    /// Begins what has not begun, and waits until all is where it is to be; gives the bytes that were copied.
    async fn run(
        &self,
        left: &LeftOver,
        mut stop: std::pin::Pin<&mut impl Future<Output = ()>>,
        on: &impl Fn(&Progress),
    ) -> Result<u64, Ended> {
        let throttle = Throttle::of(&self.todo.moves);
        if let Some(rate) = self.options.throttle.filter(|_| !throttle.is_empty()) {
            let live = self.brokers().await?;
            let set = throttle.to_set(self.cluster, &live, left).await?;
            throttle.set(self.cluster, rate, &self.set.get_or_init(|| set).brokers).await?;
        }
        self.begin().await?;
        let mut last = (0, 0, 0);
        let mut since = Instant::now();
        loop {
            let asked = Instant::now();
            let standing = self.look(on).await;
            let rest = LOOK.max(asked.elapsed() * REST);
            match standing {
                Ok(standing) if standing.0 == self.todo.moves.len() => return Ok(standing.2),
                Ok(standing) if standing != last => (last, since) = (standing, Instant::now()),
                Ok(_) if since.elapsed() > self.options.patience => {
                    return Err(Ended::Trouble(self.stuck().await));
                }
                Ok(_) => {}
                // A broker that was asked may have gone down.
                Err(error) if since.elapsed() > self.options.patience => return Err(error.into()),
                Err(error) => tracing::debug!("{error}"),
            }
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = &mut stop => return Err(Ended::Stopped),
            }
        }
    }

    async fn begin(&self) -> Result<(), Ended> {
        let orders: Vec<_> = self
            .todo
            .moves
            .iter()
            .filter(|one| !self.todo.begun.contains(&one.at))
            .map(|one| (one.at.topic.clone(), one.at.partition, Some(one.after.clone())))
            .collect();
        if orders.is_empty() {
            return Ok(());
        }
        let outcomes =
            self.cluster.client.reassign(&orders).await.map_err(|error| self.cluster.error(error))?;
        match outcomes.into_values().find_map(Result::err) {
            Some(error) => Err(Ended::Trouble(error.to_string())),
            None => Ok(()),
        }
    }

    /// How far it is: partitions that are done, replicas in sync, bytes copied.
    async fn look(&self, on: &impl Fn(&Progress)) -> Result<(usize, usize, u64), Error> {
        let client = &self.cluster.client;
        let moving = client.list_reassignments().await.map_err(|error| self.cluster.error(error))?;
        let topics = client.topics().await.map_err(|error| self.cluster.error(error))?;
        let topics: BTreeMap<&str, _> = topics.iter().map(|topic| (&*topic.name, topic)).collect();
        let involved: BTreeSet<i32> =
            self.todo.moves.iter().flat_map(|one| one.added().chain(one.leader)).collect();
        let live = self.brokers().await?;
        let sizes = sizes(self.cluster, involved.intersection(&live).copied()).await;
        let mut progress = Progress {
            batch: self.number.0,
            batches: self.number.1,
            partitions_done: 0,
            partitions: self.todo.moves.len(),
            bytes_done: 0,
            bytes: 0,
        };
        let mut in_sync = 0;
        for one in &self.todo.moves {
            let found = topics.get(&*one.at.topic).and_then(|topic| topic.partitions.get(&one.at.partition));
            let synced = |id: &&i32| found.is_some_and(|found| found.in_sync.contains(id));
            let count = one.after.iter().filter(synced).count();
            let there = found.is_some_and(|found| found.replicas == one.after)
                && !moving.contains_key(&(one.at.topic.clone(), one.at.partition));
            in_sync += count;
            let size = |id: i32| sizes.get(&(one.at.clone(), id)).copied();
            let whole = one.leader.and_then(size).unwrap_or(one.bytes).max(one.bytes);
            let done = there && count == one.after.len();
            progress.partitions_done += usize::from(done);
            for id in one.added() {
                progress.bytes += whole;
                progress.bytes_done += if done { whole } else { size(id).unwrap_or(0).min(whole) };
            }
        }
        on(&progress);
        Ok((progress.partitions_done, in_sync, progress.bytes_done))
    }

    async fn brokers(&self) -> Result<BTreeSet<i32>, Error> {
        let brokers = self.cluster.client.brokers().await.map_err(|error| self.cluster.error(error))?;
        Ok(brokers.into_keys().collect())
    }

    /// What does not get on.
    async fn stuck(&self) -> String {
        let live = self.brokers().await.unwrap_or_default();
        let needed: BTreeSet<i32> =
            self.todo.moves.iter().flat_map(|one| one.after.iter().chain(&one.before)).copied().collect();
        let down: Vec<String> = needed.difference(&live).map(i32::to_string).collect();
        let patience = self.options.patience;
        let why = match down.is_empty() {
            true => "a throttle that is too low, or a broker that is too slow".to_owned(),
            false => format!("down: broker {}", down.join(", ")),
        };
        format!("{}: nothing has got on for {patience:.0?} ({why})", shown(&self.order.file))
    }

    /// Takes off what was set and, where it is not done, what is on its way.
    async fn end(&self, outcome: Result<u64, Ended>) -> Result<u64, Error> {
        let undone = match &outcome {
            Ok(_) => Ok(0),
            Err(_) => self.cancel().await,
        };
        let off = self.take_off().await;
        let mut said = match undone {
            Ok(0) => String::new(),
            Ok(count) => format!("on their way were {}: taken back. ", partitions(count)),
            Err(error) => format!("what was on its way could not be taken back: {error}. "),
        };
        if let Err(error) = &off {
            said +=
                &format!("The throttle could not be taken off: {error}; the next `audit apply` does it. ");
        }
        said += &format!(
            "What was done before stays; the same command goes on, and this undoes it: {}",
            self.options.back
        );
        match outcome {
            Ok(bytes) => off.map(|()| bytes),
            Err(Ended::Stopped) => Err(Error::Stopped(said)),
            Err(Ended::Trouble(what)) => Err(Error::Trouble { what, done: said }),
            Err(Ended::Failed(error)) => Err(Error::Trouble { what: error.to_string(), done: said }),
        }
    }

    /// Takes off the throttle that was set, and any that was left behind.
    async fn take_off(&self) -> Result<(), Error> {
        let seen = left_over(self.cluster).await;
        let left = seen.as_ref().map_or_else(|_| LeftOver::default(), LeftOver::clone);
        let left = self.set.get().into_iter().fold(left, LeftOver::and);
        take_off(self.cluster, &left).await.and(seen.map(drop))
    }

    /// Takes back what is on its way; how many partitions.
    async fn cancel(&self) -> Result<usize, Error> {
        let client = &self.cluster.client;
        let moving = client.list_reassignments().await.map_err(|error| self.cluster.error(error))?;
        let ours = self.todo.moves.iter().map(|one| (one.at.topic.clone(), one.at.partition));
        let ours: Vec<_> =
            ours.filter(|at| moving.contains_key(at)).map(|(topic, number)| (topic, number, None)).collect();
        if ours.is_empty() {
            return Ok(0);
        }
        for outcome in client.reassign(&ours).await.map_err(|error| self.cluster.error(error))?.into_values()
        {
            match outcome {
                Err(error) if error.code() == Some(Code::NoReassignmentInProgress) => {}
                outcome => outcome.map_err(|error| self.cluster.error(error))?,
            }
        }
        Ok(ours.len())
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use cluster_audit::{Broker, Dir};

    use super::*;

    fn moved(after: &[i32], bytes: u64) -> Move {
        let at = PartitionId::new("t", 0);
        Move { at, before: vec![1], after: after.to_vec(), leader: Some(1), bytes }
    }

    #[test]
    fn disks_are_full_by_what_is_on_them_and_what_comes() {
        let broker = |used: u64| {
            let dir = Dir { path: "/d".into(), error: None, total: Some(1_000), usable: Some(1_000 - used) };
            Broker { live: true, rack: None, dirs: Some(vec![dir]) }
        };
        let silent = Broker { live: true, ..Broker::default() };
        let brokers = [(1, broker(990)), (2, broker(500)), (3, broker(700)), (4, silent)].into();
        let facts = Facts { brokers, ..Facts::default() };
        let moves = [moved(&[1, 2, 3], 150), moved(&[1, 3, 4], 150)];
        // Broker 1 gets nothing, and broker 4 does not tell.
        assert_eq!(
            full(&facts, &moves, 85),
            ["the disks of broker 3 would be 100 % full; the watermark is 85 %"]
        );
        assert_eq!(full(&facts, &moves[..1], 85), Vec::<String>::new());
        assert_eq!(full(&facts, &moves[..1], 84).len(), 1);
        assert_eq!(full(&facts, &moves[..1], 0).len(), 2);
    }

    #[test]
    fn where_a_reassignment_leads_to_is_told_from_where_it_began() {
        let partition = |replicas: &[i32], adding: &[i32], removing: &[i32]| {
            let moving = cluster_audit::Moving { adding: adding.to_vec(), removing: removing.to_vec() };
            cluster_audit::Partition {
                leader: Some(1),
                replicas: replicas.to_vec(),
                in_sync: vec![1],
                bytes: Some(7),
                moving: (!adding.is_empty() || !removing.is_empty()).then_some(moving),
            }
        };
        let facts = |partition| {
            let partitions = [(0, partition)].into();
            let topic = cluster_audit::Topic { partitions, ..cluster_audit::Topic::default() };
            Facts { topics: [("t".to_owned(), topic)].into(), ..Facts::default() }
        };
        let order = |after: &[i32]| Order {
            file: "reassign-001.json".into(),
            undo: None,
            after: vec![cluster_audit::Placed { at: PartitionId::new("t", 0), replicas: after.to_vec() }],
            before: BTreeMap::new(),
        };
        let found = |partition, after: &[i32]| {
            let todo = todo(&facts(partition), &order(after));
            todo.moves.first().map(|one| (one.before.clone(), !todo.begun.is_empty()))
        };
        // From 1, 2 to 2, 3: on its way there, on its way elsewhere, not begun, done.
        assert_eq!(found(partition(&[2, 3, 1], &[3], &[1]), &[2, 3]), Some((vec![2, 1], true)));
        assert_eq!(found(partition(&[2, 3, 1], &[3], &[1]), &[1, 2]), Some((vec![2, 1], false)));
        assert_eq!(found(partition(&[1, 2], &[], &[]), &[2, 3]), Some((vec![1, 2], false)));
        assert_eq!(found(partition(&[2, 3], &[], &[]), &[2, 3]), None);
        // The same brokers in another order is another order of preference.
        assert_eq!(found(partition(&[3, 2], &[], &[]), &[2, 3]), Some((vec![3, 2], false)));
    }
}
