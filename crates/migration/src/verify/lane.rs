//! One lane, compared: both sides are read ahead, each in a task of its own.

use std::{ops::Range, sync::Arc};

use kafka_wire::OffsetSpec;
use mirror_types::{Offset, Side};
use tokio::sync::mpsc;

use super::{
    Error, LaneReport, Run,
    compare::{Comparison, Difference},
    plan::LanePlan,
    side::{Chunk, Failure, Reading},
};

/// Compares a lane. What it can't read is in the report.
pub(super) async fn compare(run: Arc<Run>, mut lane: LanePlan) -> Result<LaneReport, Error> {
    let resumable = lane.whole;
    for piece in std::mem::take(&mut lane.pieces) {
        if let Err(trouble) = run.piece(&mut lane, piece).await? {
            lane.report.trouble = Some(trouble);
            break;
        }
    }
    let report = lane.report.judged();
    // What could not be read is tried again from what was noted before.
    if resumable && report.trouble.is_none() {
        run.notes.note(report.clone(), true)?;
    }
    Ok(report)
}

impl Run {
    /// Compares source offsets of a lane. The outer error is ours, the inner one the clusters'.
    async fn piece(&self, lane: &mut LanePlan, piece: Range<Offset>) -> Result<Result<(), Failure>, Error> {
        let found = std::mem::take(&mut lane.report.found);
        let (mapping, before) = (lane.mapping(&piece), found.counts.differing());
        let comparison = Comparison::new(mapping, lane.cleaned, piece.clone(), self.memory.most_keys, found);
        let headers = lane.origins.as_ref().map(|origins| origins.headers().clone());
        let mut comparison = comparison.showing(self.show).with_origins(headers);
        let mut source = self.read(lane, Side::Source, lane.range(Side::Source, &piece));
        let mut target = self.read(lane, Side::Target, lane.range(Side::Target, &piece));
        let mut told = (piece.start, comparison.found().counts.bytes);
        let (mut trouble, mut whole) = (Ok(()), lane.whole);
        while let Some(side) = comparison.wants() {
            if lane.to_first_difference && comparison.found().counts.differing() > before {
                whole = false;
                break;
            }
            let chunks = if side == Side::Source { &mut source } else { &mut target };
            match chunks.recv().await {
                Some(Ok(chunk)) => {
                    let chunk = match &lane.origins {
                        Some(origins) if side == Side::Source => chunk.with_origins(origins),
                        _ => chunk,
                    };
                    let (done, bytes) = (comparison.take(side, chunk), comparison.found().counts.bytes);
                    self.progress.done(done.abs_diff(told.0), bytes - told.1);
                    told = (done, bytes);
                    if lane.whole && !comparison.has_open_keys() {
                        let report =
                            LaneReport { to: done, found: comparison.found().clone(), ..lane.report.clone() };
                        self.notes.note(report.judged(), false)?;
                    }
                }
                Some(Err(failure)) => {
                    trouble = Err(failure);
                    break;
                }
                None => comparison.ended(side),
            }
        }
        whole &= trouble.is_ok();
        if whole && comparison.has_open_keys() {
            trouble = self.look_behind(lane, &piece, &mut comparison).await;
            whole = trouble.is_ok();
        }
        lane.report.to = comparison.done();
        self.progress.done(lane.report.to.abs_diff(told.0), 0);
        let mut found = comparison.finish(whole);
        if let Some(first) = &mut found.first_difference {
            self.show_first(lane, first).await;
        }
        lane.report.found = found;
        Ok(trouble)
    }

    /// Reads the record of the first difference again where it was not kept; as well as can be.
    async fn show_first(&self, lane: &LanePlan, first: &mut Difference) {
        let Some((side, at)) = first.unseen() else { return };
        if let Some(Ok(chunk)) = self.read(lane, side, at..at + 1).recv().await
            && let Some(record) = chunk.records.iter().find(|record| record.offset == at)
        {
            first.seen(record, self.show);
        }
    }

    /// What came behind the end has keys, too, for which a cleaner may have taken what was before.
    async fn look_behind(
        &self,
        lane: &LanePlan,
        piece: &Range<Offset>,
        comparison: &mut Comparison,
    ) -> Result<(), Failure> {
        for side in [Side::Source, Side::Target] {
            let (at, isolation) = (lane.at(side), *lane.isolation.of(side));
            let asked = [(&*at.topic, at.partition)];
            let listed = self.clusters.client(side).list_offsets(&asked, OffsetSpec::Latest, isolation).await;
            let listed = listed.into_iter().next().expect("one was asked for");
            let end = listed.map_err(|error| error.to_string())?.offset;
            let mut chunks = self.read(lane, side, lane.range(side, piece).end..end);
            while comparison.has_open_keys()
                && let Some(chunk) = chunks.recv().await
            {
                chunk?.records.iter().for_each(|record| comparison.later(record));
            }
        }
        Ok(())
    }

    fn read(
        &self,
        lane: &LanePlan,
        side: Side,
        range: Range<Offset>,
    ) -> mpsc::Receiver<Result<Chunk, Failure>> {
        let isolation = *lane.isolation.of(side);
        let client = self.clusters.client(side).clone();
        let (at, fetch, pace) = (lane.at(side), self.memory.fetch, self.pace.clone());
        Reading { client, at, from: range.start, to: range.end, isolation, fetch, pace }.start()
    }
}
