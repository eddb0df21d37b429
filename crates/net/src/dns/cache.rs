//! Answers of upstream servers, kept as long as they say. Pure: the clock comes in.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{RData, RecordType},
};
use model::ContainerId;

/// Most answers kept; beyond it the cache starts afresh.
const ENTRIES_MAX: usize = 8192;
/// No answer is kept longer, whatever it says: names move.
const POSITIVE_MAX: Duration = Duration::from_secs(60);
/// A missing name is asked again soon: it may be about to appear.
const NEGATIVE_MAX: Duration = Duration::from_secs(5);

/// Whose answers: different servers may answer differently.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The host's servers.
    Host,
    /// A container's own servers.
    Container(ContainerId),
}

/// What makes two queries the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    scope: Scope,
    name: String,
    kind: RecordType,
    dnssec: (bool, bool),
}

impl Key {
    /// The key of a query with one question.
    pub fn of(scope: Scope, query: &Message) -> Option<Self> {
        let question = query.queries.first()?;
        let wants_signatures = query.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok);
        Some(Self {
            scope,
            name: question.name().to_ascii().to_ascii_lowercase(),
            kind: question.query_type(),
            dnssec: (wants_signatures, query.metadata.checking_disabled),
        })
    }
}

#[derive(Debug)]
struct Entry {
    answer: Message,
    stored: Instant,
    until: Instant,
}

/// Kept answers.
#[derive(Debug, Default)]
pub struct Cache {
    entries: HashMap<Key, Entry>,
}

impl Cache {
    /// A kept answer with what remains of its time to live.
    pub fn get(&mut self, key: &Key, now: Instant) -> Option<Message> {
        let entry = self.entries.get(key)?;
        if now >= entry.until {
            self.entries.remove(key);
            return None;
        }
        let age = u32::try_from(now.duration_since(entry.stored).as_secs()).unwrap_or(u32::MAX);
        let mut answer = entry.answer.clone();
        let sections = [&mut answer.answers, &mut answer.authorities, &mut answer.additionals];
        for record in sections.into_iter().flatten() {
            record.ttl = record.ttl.saturating_sub(age);
        }
        Some(answer)
    }

    /// Keeps an answer, if it is one to keep.
    pub fn put(&mut self, key: Key, answer: &Message, now: Instant) {
        let Some(lifetime) = lifetime(answer).filter(|time| !time.is_zero()) else { return };
        if self.entries.len() >= ENTRIES_MAX {
            self.entries.retain(|_, entry| entry.until > now);
            if self.entries.len() >= ENTRIES_MAX {
                self.entries.clear();
            }
        }
        let entry = Entry { answer: answer.clone(), stored: now, until: now + lifetime };
        self.entries.insert(key, entry);
    }

    /// Forgets a container's own answers.
    pub fn forget(&mut self, container: &ContainerId) {
        self.entries.retain(|key, _| key.scope != Scope::Container(container.clone()));
    }
}

/// How long an answer holds (RFC 2308 for missing names); `None`: not to be kept.
fn lifetime(answer: &Message) -> Option<Duration> {
    if answer.metadata.truncation {
        return None;
    }
    let seconds = |ttl: u32| Duration::from_secs(u64::from(ttl));
    match answer.metadata.response_code {
        ResponseCode::NoError if !answer.answers.is_empty() => {
            let shortest = answer.answers.iter().map(|record| record.ttl).min()?;
            Some(seconds(shortest).min(POSITIVE_MAX))
        }
        ResponseCode::NoError | ResponseCode::NXDomain => {
            let soa = answer.authorities.iter().find_map(|record| match &record.data {
                RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
                _ => None,
            })?;
            Some(seconds(soa).min(NEGATIVE_MAX))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::{
        op::{OpCode, Query},
        rr::{Name, Record, rdata::A},
    };

    use super::*;

    fn query(name: &str) -> Message {
        let mut query = Message::query();
        query.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
        query
    }

    fn answer(ttl: u32) -> Message {
        let mut answer = Message::response(1, OpCode::Query);
        let name = Name::from_ascii("a.example.").unwrap();
        answer.add_answer(Record::from_rdata(name, ttl, RData::A(A::new(192, 0, 2, 1))));
        answer
    }

    #[test]
    fn answers_age_and_end() {
        let mut cache = Cache::default();
        let key = Key::of(Scope::Host, &query("A.example.")).unwrap();
        let same = Key::of(Scope::Host, &query("a.EXAMPLE.")).unwrap();
        let now = Instant::now();
        cache.put(key, &answer(30), now);
        let kept = cache.get(&same, now + Duration::from_secs(10)).unwrap();
        assert_eq!(kept.answers[0].ttl, 20);
        assert!(cache.get(&same, now + Duration::from_secs(30)).is_none());
        assert!(cache.entries.is_empty());
    }

    #[test]
    fn scopes_are_apart_and_failures_not_kept() {
        let mut cache = Cache::default();
        let now = Instant::now();
        let container = ContainerId::from_bytes([1; 32]);
        let own = Key::of(Scope::Container(container.clone()), &query("a.example.")).unwrap();
        let host = Key::of(Scope::Host, &query("a.example.")).unwrap();
        cache.put(own.clone(), &answer(30), now);
        assert!(cache.get(&host, now).is_none());
        let mut failure = answer(30);
        failure.metadata.response_code = ResponseCode::ServFail;
        cache.put(host.clone(), &failure, now);
        cache.put(host.clone(), &answer(0), now);
        assert!(cache.get(&host, now).is_none());
        cache.forget(&container);
        assert!(cache.get(&own, now).is_none());
    }
}
