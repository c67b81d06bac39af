//! Fetch answers, read here and not by the library: with one allocation for all partitions, and one more for
//! each that lists aborted transactions. Records are slices of the frame.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    Aborted, EpochEnd, Fetched,
    request::{COMPACT, IDS},
};
use crate::{
    Answer, Broker, Code, Leader,
    fields::{Bad, Fields},
};

/// The least that a partition and a topic take, in any version.
const PARTITION: usize = 4 + 2 + 8 + 8 + 1 + 1;
const TOPIC: usize = 2;
const ABORTED: usize = 16;
const ENDPOINT: usize = 4 + 1 + 4 + 1;

/// What a broker says to a Fetch.
pub(crate) struct FetchAnswer {
    throttle: Duration,
    pub error: Option<Code>,
    pub session: i32,
    pub topics: Vec<TopicAnswer>,
    /// Those of the first topic, then those of the second, and so on. Their topics' names, and what was
    /// asked, are left for the one who asked to fill in.
    pub partitions: Vec<Fetched>,
    /// Where the leaders are that the partitions name (KIP-951).
    pub endpoints: Vec<Broker>,
}

/// A topic's entry.
pub(crate) struct TopicAnswer {
    /// Up to v12; empty later.
    pub name: Bytes,
    /// From v13 on; all zero before.
    pub id: [u8; 16],
    /// How many partitions it has.
    pub partitions: usize,
}

#[cfg(test)]
impl FetchAnswer {
    pub fn of(error: Option<Code>, session: i32, topics: Vec<TopicAnswer>, partitions: Vec<Fetched>) -> Self {
        let (throttle, endpoints) = (Duration::ZERO, Vec::new());
        Self { throttle, error, session, topics, partitions, endpoints }
    }
}

impl TopicAnswer {
    /// The topic's id, where it goes by that.
    pub fn by_id(&self) -> Option<[u8; 16]> {
        Some(self.id).filter(|id| *id != [0; 16])
    }
}

impl Answer for FetchAnswer {
    fn read(frame: Bytes, version: i16) -> Result<Self, String> {
        read(frame, version).map_err(|Bad(reason)| reason.to_owned())
    }

    fn throttle(&self) -> Duration {
        self.throttle
    }
}

fn read(frame: Bytes, version: i16) -> Result<FetchAnswer, Bad> {
    let mut fields = Fields::new(frame, version >= COMPACT);
    let _correlation = fields.i32()?;
    fields.no_tags()?;
    let throttle = Duration::from_millis(u64::try_from(fields.i32()?).unwrap_or(0));
    let (mut error, mut session) = (None, 0);
    if version >= 7 {
        error = Code::try_from_code(fields.i16()?);
        session = fields.i32()?;
    }
    let count = fields.count(TOPIC)?;
    let (mut topics, mut partitions) = (Vec::with_capacity(count), Vec::new());
    let nameless: Arc<str> = Arc::from("");
    for _ in 0..count {
        let (mut name, mut id) = (Bytes::new(), [0; 16]);
        if version >= IDS {
            id = fields.uuid()?;
        } else {
            name = fields.text()?.unwrap_or_default();
        }
        let of_topic = fields.count(PARTITION)?;
        partitions.reserve(of_topic);
        for _ in 0..of_topic {
            partitions.push(partition(&mut fields, version, &nameless)?);
        }
        fields.no_tags()?;
        topics.push(TopicAnswer { name, id, partitions: of_topic });
    }
    let mut endpoints = Vec::new();
    fields.tags(|tag, mut fields| {
        if tag == 0 && version >= 16 {
            for _ in 0..fields.count(ENDPOINT)? {
                endpoints.extend(endpoint(&mut fields)?);
            }
        }
        Ok(())
    })?;
    Ok(FetchAnswer { throttle, error, session, topics, partitions, endpoints })
}

fn partition(fields: &mut Fields, version: i16, topic: &Arc<str>) -> Result<Fetched, Bad> {
    let mut fetched = Fetched {
        topic: topic.clone(),
        partition: fields.i32()?,
        asked: -1,
        error: Code::try_from_code(fields.i16()?),
        high_watermark: fields.i64()?,
        last_stable_offset: fields.i64()?,
        log_start_offset: if version >= 5 { fields.i64()? } else { -1 },
        aborted: Vec::new(),
        preferred_replica: None,
        diverging: None,
        leader: None,
        records: Bytes::new(),
    };
    let aborted = fields.count(ABORTED)?;
    fetched.aborted.reserve_exact(aborted);
    for _ in 0..aborted {
        fetched.aborted.push(Aborted { producer_id: fields.i64()?, first_offset: fields.i64()? });
        fields.no_tags()?;
    }
    if version >= 11 {
        fetched.preferred_replica = Some(fields.i32()?).filter(|id| *id >= 0);
    }
    fetched.records = fields.bytes()?.unwrap_or_default();
    fields.tags(|tag, mut fields| {
        match tag {
            0 => {
                let end = EpochEnd { epoch: fields.i32()?, end_offset: fields.i64()? };
                fetched.diverging = Some(end).filter(|end| end.epoch >= 0 || end.end_offset >= 0);
            }
            1 => {
                let leader = Leader { broker: fields.i32()?, epoch: fields.i32()? };
                fetched.leader = Some(leader).filter(|leader| leader.broker >= 0);
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(fetched)
}

fn endpoint(fields: &mut Fields) -> Result<Option<Broker>, Bad> {
    let text =
        |text: &Bytes| std::str::from_utf8(text).map(Arc::from).map_err(|_| Bad("a name is not UTF-8"));
    let (id, host, port, rack) = (fields.i32()?, fields.text()?, fields.i32()?, fields.text()?);
    fields.no_tags()?;
    let (Some(host), Ok(port)) = (host, u16::try_from(port)) else { return Ok(None) };
    Ok(Some(Broker { id, host: text(&host)?, port, rack: rack.as_ref().map(text).transpose()? }))
}

#[cfg(test)]
mod tests;
