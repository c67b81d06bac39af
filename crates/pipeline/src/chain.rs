//! Links one behind the other: whether a topic that this link mirrors comes back to it. Pure.
//!
//! A link has its rules on record on its target, beside those of the links that it has seen itself (`beside`); so whoever
//! starts last in a ring mostly sees all of it, and otherwise does soon. Where every link of a ring writes on records where they
//! come from, under one name, none goes round: that is no loop.

use std::fmt;

use offset_marks::control;
use topic_rename::{Pattern, Rules, RulesConfig};

/// A chain of more hops than this, that never comes back to a topic it has been at, makes new topics for ever.
const MOST_HOPS: usize = 40;
/// Hops that are looked at for one topic, at the most.
const MOST_LOOKED_AT: usize = 10_000;

/// What to do about a chain that comes back.
pub const CHAIN_FIX: &str = "leave the topic out of one of these links, or rename it to one that the next does not mirror; or \
                             set writers = \"shared\" in all of them, so that records say where they come from; a link that \
                             does not run any more counts for a minute";

/// A link, as far as it matters where it leads.
#[derive(Debug, Clone)]
pub struct OtherLink {
    name: String,
    source_cluster: String,
    target_cluster: String,
    rules: Rules,
    origin_headers: Vec<(Pattern, String)>,
}

/// How a topic comes back to where it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The source topic that it begins with.
    pub topic: String,
    /// The links, each with the topic that it leads to.
    pub hops: Vec<(String, String)>,
    /// Whether it makes a new topic each time round, instead of coming back to one.
    pub grows: bool,
}

impl OtherLink {
    /// By what it has on record; none where this version can't make anything of that.
    pub fn new(rules: &control::Rules) -> Option<Self> {
        let control::Rules { include, exclude, rename, .. } = rules;
        let config =
            RulesConfig { include: include.clone(), exclude: exclude.clone(), rename: rename.clone() };
        let header =
            |(pattern, header): &(String, String)| Some((Pattern::new(pattern).ok()?, header.clone()));
        Some(Self {
            name: rules.link.clone(),
            source_cluster: rules.source_cluster.clone(),
            target_cluster: rules.target_cluster.clone(),
            rules: Rules::new(&config).ok()?,
            origin_headers: rules.origin_headers.iter().map(header).collect::<Option<_>>()?,
        })
    }

    /// The id of its target cluster, and its name: no two have the same.
    pub fn name(&self) -> (&String, &String) {
        (&self.target_cluster, &self.name)
    }

    fn leads(&self, cluster: &str, topic: &str) -> Option<String> {
        (self.source_cluster == cluster).then(|| self.rules.target(topic)).flatten()
    }

    /// The header that it writes on the records of a topic.
    fn header(&self, topic: &str) -> Option<&str> {
        let found = self.origin_headers.iter().find(|(pattern, _)| pattern.matches(topic));
        found.map(|(_, header)| header.as_str()).filter(|header| !header.is_empty())
    }
}

/// The chain by which what `own` mirrors of this topic comes to be mirrored by it again, if there is one.
pub fn comes_back(own: &OtherLink, others: &[OtherLink], topic: &str) -> Option<Chain> {
    let to = own.leads(&own.source_cluster, topic)?;
    let first = Hop { link: own, topic: topic.to_owned(), to };
    Search { own, others, path: vec![first], left: MOST_LOOKED_AT }.go_on()
}

struct Search<'a> {
    own: &'a OtherLink,
    others: &'a [OtherLink],
    path: Vec<Hop<'a>>,
    left: usize,
}

struct Hop<'a> {
    link: &'a OtherLink,
    topic: String,
    to: String,
}

impl Search<'_> {
    fn go_on(&mut self) -> Option<Chain> {
        let last = self.path.last().expect("it begins with our own");
        let (cluster, topic) = (last.link.target_cluster.clone(), last.to.clone());
        let comes_by = |hop: &Hop<'_>| hop.link.source_cluster == cluster;
        if let Some(begin) = self.path.iter().position(|hop| comes_by(hop) && hop.topic == topic) {
            let round = &self.path[begin..];
            let is_ours = |hop: &Hop<'_>| std::ptr::eq(hop.link, self.own);
            // A link within one cluster that feeds itself is told of as that (`loops`).
            let in_it = round.iter().any(is_ours) && !round.iter().all(is_ours);
            return (in_it && !are_stamped(round)).then(|| self.chain(false));
        }
        // Where all say where records come from, none gets to a cluster twice.
        if are_stamped(&self.path) && self.path.iter().any(comes_by) {
            return None;
        }
        // There are too many ways to go them all: what was not found by now is not looked for.
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            return None;
        }
        if self.path.len() == MOST_HOPS {
            let others = self.path.iter().any(|hop| !std::ptr::eq(hop.link, self.own));
            return others.then(|| self.chain(true));
        }
        let all = self.others.iter().chain([self.own]);
        let next: Vec<_> = all.filter_map(|link| Some((link, link.leads(&cluster, &topic)?))).collect();
        next.into_iter().find_map(|(link, to)| {
            self.path.push(Hop { link, topic: topic.clone(), to });
            let found = self.go_on();
            self.path.pop();
            found
        })
    }

    fn chain(&self, grows: bool) -> Chain {
        let hops = self.path.iter().map(|hop| (hop.link.name.clone(), hop.to.clone()));
        Chain { topic: self.path[0].topic.clone(), hops: hops.collect(), grows }
    }
}

/// Whether all of them write on records where they come from, under one name.
fn are_stamped(hops: &[Hop<'_>]) -> bool {
    let headers = || hops.iter().map(|hop| hop.link.header(&hop.topic));
    let first = headers().next().flatten();
    first.is_some() && headers().all(|header| header == first)
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        f.write_str(&self.topic)?;
        for (link, topic) in self.hops.iter().take(SHOWN) {
            write!(f, " → {topic} (link {link})")?;
        }
        match (self.grows, self.hops.len() > SHOWN) {
            (true, _) => f.write_str(" → …, each time round another topic"),
            (false, true) => f.write_str(" → …"),
            (false, false) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(name: &str, rules: &[&str], rename: &[(&str, &str)], header: &str) -> OtherLink {
        let [source, target] = name.split('-').collect::<Vec<_>>().try_into().unwrap();
        OtherLink::new(&control::Rules {
            link: name.to_owned(),
            source_cluster: source.to_owned(),
            target_cluster: target.to_owned(),
            group: String::new(),
            include: rules.iter().map(|rule| rule.to_string()).collect(),
            exclude: Vec::new(),
            rename: rename.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect(),
            origin_headers: vec![(".*".to_owned(), header.to_owned())],
            started: 0,
            since: 0,
        })
        .unwrap()
    }

    fn found(own: &OtherLink, others: &[OtherLink], topic: &str) -> Option<String> {
        comes_back(own, others, topic).map(|chain| chain.to_string())
    }

    #[test]
    fn two_links_that_lead_to_each_other_are_a_loop_unless_both_say_where_records_come_from() {
        let (there, back) = (link("a-b", &["x"], &[], ""), link("b-a", &["x", "y"], &[], ""));
        assert_eq!(
            found(&there, std::slice::from_ref(&back), "x").unwrap(),
            "x → x (link a-b) → x (link b-a)"
        );
        assert_eq!(found(&back, std::slice::from_ref(&there), "y"), None);
        let (there_h, back_h) = (link("a-b", &["x"], &[], "h"), link("b-a", &["x"], &[], "h"));
        assert_eq!(found(&there_h, &[back_h], "x"), None);
        assert!(found(&there_h, &[back], "x").is_some(), "one of them says nothing");
        assert!(found(&there_h, &[link("b-a", &["x"], &[], "other")], "x").is_some());
    }

    #[test]
    fn topics_of_their_own_are_no_loop_as_long_as_they_are_not_mirrored_again() {
        let there = link("a-b", &["orders"], &[("orders", "orders.a")], "");
        let back = link("b-a", &["orders"], &[("orders", "orders.b")], "");
        assert_eq!(found(&there, &[back], "orders"), None);
        // The classic mistake: patterns that also match what the other has made.
        let there = link("a-b", &["orders.*"], &[("^(.*)$", "$1.a")], "");
        let back = link("b-a", &["orders.*"], &[("^(.*)$", "$1.b")], "");
        let chain = found(&there, &[back], "orders").unwrap();
        assert!(
            chain.starts_with("orders → orders.a (link a-b) → orders.a.b (link b-a) → orders.a.b.a"),
            "{chain}"
        );
        assert!(chain.ends_with("each time round another topic"), "{chain}");
        // What comes of a topic may be in a loop that the topic itself is not in.
        let there = link("a-b", &["orders.*"], &[("orders", "orders.a")], "");
        let back = link("b-a", &["orders.*"], &[], "");
        let chain = found(&there, &[back], "orders").unwrap();
        assert_eq!(chain, "orders → orders.a (link a-b) → orders.a (link b-a) → orders.a (link a-b)");
    }

    #[test]
    fn a_ring_of_three_is_seen_and_a_loop_of_others_is_theirs() {
        let ring = ["a-b", "b-c", "c-a"].map(|name| link(name, &["x"], &[], ""));
        let [ab, bc, ca] = &ring;
        let chain = found(ca, &[ab.clone(), bc.clone()], "x").unwrap();
        assert_eq!(chain, "x → x (link c-a) → x (link a-b) → x (link b-c)");
        assert_eq!(found(ab, &[bc.clone(), link("c-b", &["x"], &[], "")], "x"), None);
        let ring = ["a-b", "b-c", "c-a"].map(|name| link(name, &["x"], &[], "h"));
        assert_eq!(found(&ring[0], &ring[1..], "x"), None);
    }

    #[test]
    fn four_links_over_topics_in_between_are_no_loop() {
        // What people have from MirrorMaker with a rename handler: each site's own topic, and what comes from the other.
        let links = [
            link("a-a", &["orders"], &[("orders", "orders.all")], ""),
            link("a-b", &["orders"], &[("orders", "orders.all")], ""),
            link("b-b", &["orders"], &[("orders", "orders.all")], ""),
            link("b-a", &["orders"], &[("orders", "orders.all")], ""),
        ];
        for (index, own) in links.iter().enumerate() {
            let others = links.iter().enumerate().filter(|(other, _)| *other != index);
            let others: Vec<_> = others.map(|(_, link)| link.clone()).collect();
            assert_eq!(found(own, &others, "orders"), None);
        }
    }
}
