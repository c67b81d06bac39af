//! What people bring from MirrorMaker with a rename handler (docs/dual-active.md, "Four links"): each site's producers write
//! a topic of the site, its consumers read one in which all of them are; four links fill those, two of them within a site.

use kafka_harness::{daemon::Config, shared::unique};

use crate::sites::{Site, assert_exact_values, sites, wait_for};

#[test]
fn four_links_over_topics_in_between_bring_all_to_both_sites_once() {
    let [a, b, _] = sites();
    let name = unique("orders");
    let (own, all) = (format!("{name}.out"), name.clone());
    for site in [a, b] {
        site.create(&own, 2);
        site.create(&all, 2);
    }
    let to = |from: &Site, to: &Site| {
        Config::new(&from.cluster, &to.cluster, &own.replace('.', "\\."))
            .topics("offsets = \"translated\"")
            .topics("writers = \"shared\"")
            .section(&format!("[topics.rename]\n\"{own}\" = \"{all}\""))
    };
    let links = [to(a, a), to(a, b), to(b, b), to(b, a)];
    let daemons = links.each_ref().map(|link| link.run());
    for round in 0..10 {
        for site in [a, b] {
            for partition in 0..2 {
                site.produce(&own, partition, round * 30..(round + 1) * 30);
            }
        }
    }
    wait_for(&[a, b], &all, 2 * 2 * 300);
    for site in [a, b] {
        assert_exact_values(site, &all, &["a", "b"], 300);
    }
    for daemon in daemons {
        daemon.stop().expect(0);
    }
}
