//! The journal on a real broker: of several who decide at the same time each knows what was decided before; who follows it
//! is told at once.

use std::time::{Duration, Instant};

use control_topic::Error;
use kafka_harness::{TestRecord, client::produce, shared};
use kafka_wire::{Client, Settings};
use link_journal::{Author, Decision, Journal, TopicState};

fn connect() -> Client {
    let props = shared::pair().1.props();
    let settings = Settings::new(props.iter().map(|(name, value)| (&**name, &**value)));
    Client::new(settings.expect("the properties are good")).with_patience(Duration::from_secs(20))
}

fn decision(topic: String, state: TopicState, by: u64, when: i64) -> Decision {
    let author = Author { host: format!("host-{by}"), user: None };
    Decision { topic, state, when, by: author, why: None, token: by << 32 | when.unsigned_abs() }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_decides_without_knowing_what_was_decided_before() {
    const EACH: i64 = 12;
    let link = shared::unique("many");
    assert!(Journal::open(&connect(), &link).await.unwrap().is_none(), "nobody has needed it yet");
    // All at once from the very beginning: the topic is made, and claimed, meanwhile.
    let several = (0..5).map(|by| {
        let link = link.clone();
        tokio::spawn(async move {
            let journal = Journal::ensure(&connect(), &link).await.unwrap();
            let mut asked = 0;
            for when in 0..EACH {
                let append = journal.append::<Error>(|known| {
                    asked += 1;
                    let number = known.decisions().len();
                    Ok(vec![decision(format!("n-{number}"), TopicState::Paused, by, when)])
                });
                let appended = append.await.unwrap();
                assert!(appended.state.decisions().contains(&appended.decisions[0]));
            }
            asked
        })
    });
    let mut asked = 0;
    for one in several {
        asked += one.await.unwrap();
    }
    let journal = Journal::open(&connect(), &link).await.unwrap().expect("it is there");
    let state = journal.read().await.unwrap();
    let named: Vec<&str> = state.decisions().iter().map(|decision| &*decision.topic).collect();
    let expected: Vec<String> = (0..5 * EACH).map(|number| format!("n-{number}")).collect();
    assert_eq!(named, expected, "each was decided by all that stands before it");
    assert!(asked > 5 * EACH, "nobody was ever faster than another: that proves nothing");
}

#[tokio::test]
async fn what_is_as_it_should_be_is_not_written_again() {
    let journal = Journal::ensure(&connect(), &shared::unique("same")).await.unwrap();
    let pause = |journal: Journal| async move {
        let appended = journal.append::<Error>(|known| {
            let is_paused = known.topic("a").is_some_and(|last| last.state == TopicState::Paused);
            Ok(if is_paused { vec![] } else { vec![decision("a".to_owned(), TopicState::Paused, 1, 1)] })
        });
        appended.await.unwrap()
    };
    let first = pause(journal.clone()).await;
    assert_eq!((first.decisions.len(), first.state.decisions().len()), (1, 1));
    let second = pause(journal.clone()).await;
    assert_eq!((second.decisions.len(), second.state.next()), (0, first.state.next()));
    let refused = journal
        .append::<Error>(|_| Err(Error::NotCompacted { topic: "x".to_owned(), policy: "delete".to_owned() }));
    assert!(refused.await.is_err());
    assert_eq!(journal.read().await.unwrap().next(), first.state.next());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_is_told_at_once_and_waits_as_long_as_there_is_nothing() {
    let journal = Journal::ensure(&connect(), &shared::unique("follow")).await.unwrap();
    let one = |topic: &str| vec![decision(topic.to_owned(), TopicState::Stopped, 2, 5)];
    let state = journal.append::<Error>(|_| Ok(one("a"))).await.unwrap().state;
    let began = Instant::now();
    assert!(!journal.follow(&state, Duration::from_secs(2)).await.unwrap());
    assert!(
        began.elapsed() >= Duration::from_millis(1900),
        "the broker holds the question: {:?}",
        began.elapsed()
    );

    let (follower, before) = (journal.clone(), state.clone());
    let told = tokio::spawn(async move {
        let more = follower.follow(&before, Duration::from_secs(30)).await.unwrap();
        (more, Instant::now())
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let written = Instant::now();
    journal.append::<Error>(|_| Ok(one("b"))).await.unwrap();
    let (more, at) = told.await.unwrap();
    assert!(more && at.duration_since(written) < Duration::from_secs(2));
    let mut state = state;
    journal.read_on(&mut state).await.unwrap();
    assert_eq!(state.topics().collect::<Vec<_>>(), [("a", TopicState::Stopped), ("b", TopicState::Stopped)]);
}

#[tokio::test]
async fn a_strangers_record_is_named_and_nothing_is_made_of_it() {
    let journal = Journal::ensure(&connect(), &shared::unique("stranger")).await.unwrap();
    journal.append::<Error>(|_| Ok(vec![decision("a".to_owned(), TopicState::Paused, 3, 1)])).await.unwrap();
    let record =
        TestRecord { key: Some(b"hello".to_vec()), value: Some(b"world".to_vec()), ..TestRecord::default() };
    produce(&shared::pair().1.props(), journal.name(), &[record]).unwrap();
    let error = journal.read().await.unwrap_err();
    assert!(
        error.to_string().contains(".journal/0, offset 2") && error.to_string().contains("hello"),
        "{error}"
    );
    assert!(error.fix().is_some(), "{error}");
}
