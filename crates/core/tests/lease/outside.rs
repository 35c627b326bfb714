//! The outside system: a list of logins, and an engine that adds to it and takes from it.

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use strongroom_core::lease::{Diary, Issuance, LeaseEnd, LeaseOrder, LeaseOwner, LeaseTerms};
use strongroom_core::{
    Access, AuthMethod, Call, CoreError, Endpoint, Fields, Login, MountContext, Operation, Outcome, Plugins, Reply,
    SecretsEngine, Served, Terms,
};
use strongroom_model::{PolicyName, Timestamp, Ttl};
use tokio::sync::Notify;

/// How a lane of the outside system does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    /// Nothing gets there.
    Down,
    /// It does what it is asked, and nobody hears of it.
    Mute,
    /// It answers that it will not.
    Stubborn,
    /// It never answers.
    Asleep,
    /// It has no place for another call.
    Crowded,
    /// It takes a call and is not heard of in time.
    Unheard,
}

#[derive(Default)]
pub(crate) struct Outside {
    pub(crate) logins: Mutex<BTreeMap<String, Timestamp>>,
    moods: Mutex<BTreeMap<String, Mood>>,
    /// Logins that will not go.
    stuck: Mutex<BTreeSet<String>>,
    /// Logins whose ending never comes to an end.
    endless: Mutex<BTreeSet<String>>,
    numbers: AtomicU64,
    pub(crate) dropped: AtomicUsize,
    pub(crate) asked: AtomicUsize,
    pub(crate) worked: AtomicUsize,
    pub(crate) at_once: AtomicUsize,
    pub(crate) most_at_once: AtomicUsize,
    /// It ends many logins by one act.
    pub(crate) in_company: AtomicBool,
    pub(crate) wiped: AtomicUsize,
    never: Notify,
    /// What a role says: seconds, seconds.
    pub(crate) terms: Mutex<(u64, u64)>,
}

impl Outside {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { terms: Mutex::new((3_600, 86_400)), ..Self::default() })
    }

    pub(crate) fn mood(&self, lane: &str, mood: Mood) {
        self.moods.lock().unwrap().insert(lane.to_owned(), mood);
    }

    pub(crate) fn never_end(&self, login: &str) {
        self.endless.lock().unwrap().insert(login.to_owned());
    }

    pub(crate) fn stick(&self, login: &str, stuck: bool) {
        let mut all = self.stuck.lock().unwrap();
        let _ = if stuck { all.insert(login.to_owned()) } else { all.remove(login) };
    }

    pub(crate) fn count(&self) -> usize {
        self.logins.lock().unwrap().len()
    }

    pub(crate) fn has(&self, login: &str) -> bool {
        self.logins.lock().unwrap().contains_key(login)
    }

    fn mood_of(&self, lane: &str) -> Mood {
        self.moods.lock().unwrap().get(lane).copied().unwrap_or(Mood::Well)
    }

    /// Does something, or fails in the way of the day.
    async fn ask(&self, lane: &str, act: impl FnOnce()) -> Result<(), CoreError> {
        let lost = |why: &str| CoreError::Unreachable { system: lane.to_owned(), why: why.to_owned() };
        match self.mood_of(lane) {
            Mood::Well => {
                act();
                Ok(())
            }
            Mood::Down => Err(lost("connection refused")),
            Mood::Mute => {
                act();
                Err(lost("the reply was lost"))
            }
            Mood::Crowded => Err(CoreError::Crowded { system: lane.to_owned(), why: "all in use".to_owned() }),
            Mood::Unheard => Err(CoreError::Unanswered { system: lane.to_owned(), why: "15s are over".to_owned() }),
            Mood::Stubborn => Err(CoreError::Outside { system: lane.to_owned(), why: "not today".to_owned() }),
            Mood::Asleep => {
                self.never.notified().await;
                Ok(())
            }
        }
    }
}

/// `creds/LANE-ROLE` gives a login in `LANE`.
struct Engine {
    outside: Arc<Outside>,
    context: MountContext,
}

pub(crate) fn plugins(outside: &Arc<Outside>) -> Plugins {
    let outside = Arc::clone(outside);
    Plugins::new()
        .with_auth("door", |_| Arc::new(Door))
        .with_engine("logins", move |context| Arc::new(Engine { outside: Arc::clone(&outside), context }))
}

/// Lets everybody in as ann.
struct Door;

const LOGIN: &[Endpoint] =
    &[Endpoint { pattern: "login", operations: &[Operation::Write], access: Access::Open, help: "Logs in." }];

#[async_trait]
impl AuthMethod for Door {
    fn endpoints(&self) -> &'static [Endpoint] {
        LOGIN
    }

    async fn call(&self, _call: Call<'_>) -> Result<Outcome, CoreError> {
        Ok(Outcome::Login(Box::new(Login {
            alias: Some("ann".to_owned()),
            called: None,
            display_name: "door-ann".to_owned(),
            policies: vec![PolicyName::parse("all")?],
            metadata: Default::default(),
            terms: Terms::default(),
            note: Map::new(),
        })))
    }

    async fn renew(&self, _note: &Map<String, Value>) -> Result<Terms, CoreError> {
        Ok(Terms::default())
    }

    async fn wipe(&self) -> Result<(), CoreError> {
        Ok(())
    }
}

const ENDPOINTS: &[Endpoint] = &[
    Endpoint { pattern: "creds/{role}", operations: &[Operation::Read], access: Access::Token, help: "A login." },
    Endpoint { pattern: "poke", operations: &[Operation::Write], access: Access::Token, help: "Nothing." },
];

fn text<'a>(note: &'a Map<String, Value>, field: &str) -> &'a str {
    note[field].as_str().unwrap()
}

#[async_trait]
impl SecretsEngine for Engine {
    fn endpoints(&self) -> &'static [Endpoint] {
        ENDPOINTS
    }

    async fn call(&self, call: Call<'_>) -> Result<Served, CoreError> {
        if call.endpoint.pattern == "poke" {
            return Ok(Reply::empty().into());
        }
        let role = call.captures.get("role").to_owned();
        let lane = role.split('-').next().unwrap().to_owned();
        let subject = format!("v-{role}-{}", self.outside.numbers.fetch_add(1, Ordering::SeqCst));
        let note = json!({"login": subject, "lane": lane});
        let owner = match call.fields.text("owner")?.as_deref() {
            Some("identity") => LeaseOwner::Identity,
            _ => LeaseOwner::Token,
        };
        let (ttl, max_ttl) = *self.outside.terms.lock().unwrap();
        Ok(Served::Issue(Box::new(Issuance {
            note: note.as_object().unwrap().clone(),
            lane,
            subject,
            role,
            terms: LeaseTerms { ttl: Ttl::from_secs(ttl), max_ttl: Ttl::from_secs(max_ttl), renewable: true },
            asked: call.fields.ttl("ttl")?.unwrap_or_default(),
            owner,
        })))
    }

    async fn issue(&self, lease: &LeaseOrder) -> Result<Fields, CoreError> {
        let login = text(&lease.note, "login").to_owned();
        let add = || {
            self.outside.logins.lock().unwrap().insert(login.clone(), lease.expires);
        };
        self.outside.ask(text(&lease.note, "lane"), add).await?;
        Ok([("username".to_owned(), json!(login)), ("password".to_owned(), json!("hunter2"))].into_iter().collect())
    }

    async fn terms(&self, _note: &Map<String, Value>) -> Result<LeaseTerms, CoreError> {
        let (ttl, max_ttl) = *self.outside.terms.lock().unwrap();
        Ok(LeaseTerms { ttl: Ttl::from_secs(ttl), max_ttl: Ttl::from_secs(max_ttl), renewable: true })
    }

    async fn prolong(&self, note: &Map<String, Value>, expires: Timestamp) -> Result<(), CoreError> {
        let login = text(note, "login").to_owned();
        let set = || {
            self.outside.logins.lock().unwrap().insert(login, expires);
        };
        self.outside.ask(text(note, "lane"), set).await
    }

    async fn revoke(&self, lease: &LeaseEnd<'_>) -> Result<(), CoreError> {
        let note = lease.note;
        self.outside.asked.fetch_add(1, Ordering::SeqCst);
        let now = self.outside.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.outside.most_at_once.fetch_max(now, Ordering::SeqCst);
        tokio::task::yield_now().await;
        let login = text(note, "login").to_owned();
        let is_endless = self.outside.endless.lock().unwrap().contains(&login);
        if is_endless {
            self.outside.never.notified().await;
        }
        let done = if self.outside.stuck.lock().unwrap().contains(&login) {
            Err(CoreError::Outside { system: text(note, "lane").to_owned(), why: "the login owns objects".to_owned() })
        } else {
            let remove = || {
                if self.outside.logins.lock().unwrap().remove(&login).is_some() {
                    self.outside.dropped.fetch_add(1, Ordering::SeqCst);
                }
            };
            self.outside.ask(text(note, "lane"), remove).await
        };
        self.outside.at_once.fetch_sub(1, Ordering::SeqCst);
        done
    }

    async fn revokes_in_company(&self, _lease: &LeaseEnd<'_>) -> bool {
        self.outside.in_company.load(Ordering::SeqCst)
    }

    async fn work(&self, _diary: &Diary) -> Result<Option<Timestamp>, CoreError> {
        self.outside.worked.fetch_add(1, Ordering::SeqCst);
        Ok(Some(self.context.now().plus(std::time::Duration::from_secs(60))))
    }

    async fn wipe(&self) -> Result<(), CoreError> {
        self.outside.wiped.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}
