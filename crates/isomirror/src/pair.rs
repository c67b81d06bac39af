//! What the daemon of a pair says of both sites: which is active, and what a switchover now would cost. For /status, the page,
//! `status`, and as metrics.

use std::{collections::HashMap, sync::Arc};

use pipeline::status::{LinkStatus, PairStatus};
use prometheus::{
    Gauge, IntGauge, IntGaugeVec, Opts, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use crate::human;

/// Seconds that a switchover takes beside draining: what stands still is looked at for two, the turn takes one more.
const TURN: f64 = 3.0;

/// Both links' statuses, and what their groups' metrics say.
pub struct Sites<F> {
    links: [F; 2],
    registries: [Registry; 2],
}

/// Of a pair's links the one that runs; where neither does, any of them.
pub fn that_runs(mut reports: Vec<LinkStatus>) -> LinkStatus {
    let runs = reports.iter().position(|report| !report.resting).unwrap_or(0);
    reports.swap_remove(runs)
}

impl<F: Fn() -> LinkStatus + Send + Sync + 'static> Sites<F> {
    /// Of the links from one site to the other and back, and their metrics.
    pub fn new(links: [F; 2], registries: [Registry; 2]) -> Self {
        Self { links, registries }
    }

    /// The status of the link that runs, with both sites.
    pub fn status(&self) -> LinkStatus {
        let reports = self.links.each_ref().map(|link| link());
        let runs = reports.iter().position(|report| !report.resting);
        let pair = self.pair(&reports, runs);
        let mut report = that_runs(reports.into());
        if runs.is_none() {
            report.ready = false;
            report.not_ready.push(
                "neither link of the pair runs: a switchover is under way, or a site is active alone"
                    .to_owned(),
            );
        }
        LinkStatus { pair: Some(pair), ..report }
    }

    fn pair(&self, reports: &[LinkStatus; 2], runs: Option<usize>) -> PairStatus {
        let Some(runs) = runs else {
            return PairStatus {
                active: None,
                standby: None,
                drain_records: 0,
                seconds_without_writes: None,
                read_again_records: 0,
                group_staleness_seconds: None,
            };
        };
        let LinkStatus { source, target, totals, .. } = &reports[runs];
        let (mut read_again, mut staleness) = (0.0, None::<f64>);
        for family in self.registries[runs].gather() {
            for metric in family.get_metric() {
                let value = metric.get_gauge().get_value();
                match family.name() {
                    "isomirror_group_reread_if_failed_over_records" => read_again += value,
                    "isomirror_group_offset_staleness_seconds" => {
                        staleness = Some(staleness.unwrap_or(0.0).max(value));
                    }
                    _ => {}
                }
            }
        }
        let drain = if totals.lag_records == 0 { Some(0.0) } else { totals.eta_seconds };
        PairStatus {
            active: Some(source.name.clone()),
            standby: Some(target.name.clone()),
            drain_records: totals.lag_records,
            seconds_without_writes: drain.map(|drain| drain + TURN),
            read_again_records: read_again as u64,
            group_staleness_seconds: staleness,
        }
    }

    /// A registry of the pair's own metrics.
    pub fn metrics(self: &Arc<Self>) -> prometheus::Result<Registry> {
        let registry = Registry::new();
        let gauges = Gauges::new()?;
        let sites = self.clone();
        let ask = Box::new(move || {
            let reports = sites.links.each_ref().map(|link| link());
            let runs = reports.iter().position(|report| !report.resting);
            let names = [reports[0].source.name.clone(), reports[0].target.name.clone()];
            (names, sites.pair(&reports, runs))
        });
        registry.register(Box::new(Shown { gauges, ask }))?;
        Ok(registry)
    }
}

/// A picture of both sites, a line each.
pub fn picture(pair: &PairStatus) -> Vec<String> {
    let (Some(active), Some(standby)) = (&pair.active, &pair.standby) else {
        return vec!["neither link runs".to_owned()];
    };
    let groups = pair.group_staleness_seconds.map_or_else(String::new, |age| {
        format!("; groups' offsets there are up to {} old", human::duration(age))
    });
    let cost = match pair.seconds_without_writes {
        Some(seconds) => format!("about {} without writes", human::duration(seconds)),
        None => "for how long nobody could write can't be told".to_owned(),
    };
    vec![
        format!("[{active}: active] ──► [{standby}: standby]{groups}"),
        format!(
            "a switchover now: {} records to drain, {cost}, {} records that groups would read again",
            human::count(pair.drain_records),
            human::count(pair.read_again_records)
        ),
    ]
}

struct Gauges {
    active: IntGaugeVec,
    drain: IntGauge,
    seconds: Gauge,
    read_again: IntGauge,
}

type Ask = Box<dyn Fn() -> ([String; 2], PairStatus) + Send + Sync>;

/// Asks when it is asked.
struct Shown {
    gauges: Gauges,
    ask: Ask,
}

impl Gauges {
    fn new() -> prometheus::Result<Self> {
        let active =
            Opts::new("isomirror_pair_active", "1 for the site of the pair that is active, 0 for the other.");
        Ok(Self {
            active: IntGaugeVec::new(active, &["site"])?,
            drain: IntGauge::new(
                "isomirror_switchover_drain_records",
                "Records that the standby lacks: a switchover now would have to drain them.",
            )?,
            seconds: Gauge::new(
                "isomirror_switchover_without_writes_seconds",
                "For how long nobody could write in a switchover now, as a guess; NaN where that can't be told.",
            )?,
            read_again: IntGauge::new(
                "isomirror_switchover_reread_records",
                "Records that groups would read again that went over now, without waiting for them.",
            )?,
        })
    }

    fn all(&self) -> [&dyn Collector; 4] {
        [&self.active, &self.drain, &self.seconds, &self.read_again]
    }
}

impl Collector for Shown {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (sites, pair) = (self.ask)();
        let is_active: HashMap<&str, bool> =
            sites.iter().map(|site| (site.as_str(), pair.active.as_deref() == Some(site))).collect();
        for (site, active) in is_active {
            self.gauges.active.with_label_values(&[site]).set(i64::from(active));
        }
        self.gauges.drain.set(i64::try_from(pair.drain_records).unwrap_or(i64::MAX));
        self.gauges.seconds.set(pair.seconds_without_writes.unwrap_or(f64::NAN));
        self.gauges.read_again.set(i64::try_from(pair.read_again_records).unwrap_or(i64::MAX));
        self.gauges.all().into_iter().flat_map(Collector::collect).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_says_which_site_is_active_and_what_a_switchover_would_cost() {
        let mut pair = PairStatus {
            active: Some("dc1".to_owned()),
            standby: Some("dc2".to_owned()),
            drain_records: 1200,
            seconds_without_writes: Some(4.5),
            read_again_records: 7,
            group_staleness_seconds: Some(2.0),
        };
        let lines = picture(&pair);
        assert!(lines[0].starts_with("[dc1: active] ──► [dc2: standby]; groups' offsets"), "{lines:?}");
        assert!(
            lines[1].contains("1,200 records to drain, about ") && lines[1].contains(" 7 records that"),
            "{lines:?}"
        );
        pair.active = None;
        assert_eq!(picture(&pair), ["neither link runs"]);
    }
}
