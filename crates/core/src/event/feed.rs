//! Events for one reader: those below a prefix that the reader's policies show, from a place on.

use super::hub::{Hub, Later};
use super::note::{Event, EventKind, Note};
use crate::identity::Identity;
use crate::policy::PolicyStore;
use crate::snapshot::Streamed;
use crate::task::Tasks;
use crate::token::{TokenKey, Tokens};
use crate::{CoreError, Grant, Source};
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use strongroom_model::policy::Acl;
use strongroom_model::{Capability, RequestPath, SecretString};
use tokio::sync::mpsc;

/// The longest that one request may wait.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How often a reader's rights are asked for though nothing happened: a token can end without a word.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Events looked at in one go.
pub(super) const PORTION: usize = 256;
/// Readers at once.
const MOST_READERS: usize = 8_192;
/// Portions that are ready before the reader has taken the first.
const AHEAD: usize = 4;

/// Gives events to who may know of them.
pub struct Events {
    pub(super) hub: Arc<Hub>,
    tokens: Arc<Tokens>,
    identity: Arc<Identity>,
    policies: Arc<PolicyStore>,
    readers: Arc<AtomicUsize>,
    tasks: Tasks,
}

/// What a reader wants.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The beginning of paths, as policies or as people write them; empty: all.
    pub prefix: String,
    /// The place after which to begin: the id of an event, or `oldest`; `None`: from now on.
    pub after: Option<String>,
    /// Words of kinds; empty: all.
    pub kinds: Vec<String>,
}

/// What one request for events brings.
#[derive(Debug)]
pub struct Batch {
    /// The events.
    pub events: Vec<Arc<Event>>,
    /// Where to go on.
    pub after: String,
    /// Whether something was missed: read anew what was to be watched.
    pub resync: bool,
}

/// A reader that counts as one as long as it lives.
struct Seat(Arc<AtomicUsize>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One reader.
pub(super) struct Reader {
    pub(super) events: EventsOf,
    who: Who,
    path: RequestPath,
    prefix: String,
    kinds: Vec<String>,
    /// The place reached; `None` until a reader with a place of another time was told so.
    pub(super) at: Option<u64>,
    _seat: Seat,
}

/// What a reader needs of the rooms.
pub(super) struct EventsOf {
    pub(super) hub: Arc<Hub>,
    tokens: Arc<Tokens>,
    identity: Arc<Identity>,
    policies: Arc<PolicyStore>,
}

/// How a reader is known again.
enum Who {
    Key(TokenKey),
    Text(SecretString, Source),
}

/// What a reader may know at this moment.
pub(super) struct Rights {
    acl: Arc<Acl>,
    whole: bool,
}

/// What there is for a reader.
pub(super) enum Portion {
    /// These, possibly none.
    Events(Vec<Arc<Event>>),
    /// Something was missed.
    Resync,
}

impl Events {
    pub(crate) fn new(hub: Arc<Hub>, tokens: Arc<Tokens>, identity: Arc<Identity>, policies: Arc<PolicyStore>) -> Self {
        Self { hub, tokens, identity, policies, readers: Arc::default(), tasks: Tasks::new() }
    }

    /// Waits for events, at most so long; also comes back when something was missed.
    pub async fn poll(&self, grant: &Grant, wanted: Wanted, wait: Duration) -> Result<Batch, CoreError> {
        let mut reader = self.reader(grant, wanted)?;
        let (mut end, mut closing) = (self.hub.subscribe(), self.hub.closing());
        let deadline = tokio::time::Instant::now() + wait.min(LONGEST_WAIT);
        loop {
            end.borrow_and_update();
            let Some(rights) = reader.rights().await? else { return Err(CoreError::Denied) };
            match reader.portion(&rights) {
                Portion::Resync => return Ok(reader.batch(Vec::new(), true)),
                Portion::Events(events) if !events.is_empty() => return Ok(reader.batch(events, false)),
                Portion::Events(_) if reader.is_behind() => continue,
                Portion::Events(_) => {}
            }
            let again = deadline.min(tokio::time::Instant::now() + LOOK_AGAIN);
            tokio::select! {
                _ = end.changed() => {}
                _ = closing.wait_for(|closed| *closed) => return Ok(reader.batch(Vec::new(), false)),
                () = tokio::time::sleep_until(again) => {
                    if again >= deadline {
                        return Ok(reader.batch(Vec::new(), false));
                    }
                }
            }
        }
    }

    /// Events as they come, for as long as the reader takes them and may know of them, as server-sent events.
    pub fn stream(&self, grant: &Grant, wanted: Wanted) -> Result<Streamed, CoreError> {
        let reader = self.reader(grant, wanted)?;
        let (send, parts) = mpsc::channel(AHEAD);
        self.tasks.start(|stop| reader.run(send, stop));
        Ok(Streamed { media_type: "text/event-stream", parts })
    }

    /// Ends all waiting: the server is about to close its doors.
    pub(crate) fn hush(&self) {
        self.hub.close();
    }

    /// Ends all readers and waits for that.
    pub(crate) async fn end(&self) {
        self.hub.close();
        self.tasks.finish().await;
    }

    fn reader(&self, grant: &Grant, wanted: Wanted) -> Result<Reader, CoreError> {
        let bearer = grant.require_bearer()?;
        if let Some(kind) = wanted.kinds.iter().find(|kind| !EventKind::ALL.iter().any(|known| known.word() == *kind)) {
            let words: Vec<_> = EventKind::ALL.iter().map(|known| known.word()).collect();
            let problem = format!("must be of {}; not `{kind}`", words.join(", "));
            return Err(CoreError::Field { field: "type".to_owned(), problem });
        }
        let who = match (bearer.key(), grant.credential()) {
            (Some(key), _) => Who::Key(key),
            (None, Some(text)) => Who::Text(text.duplicate(), grant.visit().source.clone()),
            (None, None) => return Err(CoreError::Denied),
        };
        if self.readers.fetch_add(1, Ordering::SeqCst) >= MOST_READERS {
            self.readers.fetch_sub(1, Ordering::SeqCst);
            return Err(CoreError::Busy("too many readers wait for events; retry in a moment"));
        }
        let at = match wanted.after.as_deref() {
            None | Some("") => Some(self.hub.now()),
            Some("oldest") => Some(self.hub.oldest()),
            Some(place) => self.hub.number(place),
        };
        let events = EventsOf {
            hub: Arc::clone(&self.hub),
            tokens: Arc::clone(&self.tokens),
            identity: Arc::clone(&self.identity),
            policies: Arc::clone(&self.policies),
        };
        let prefix = wanted.prefix.trim_matches('/').to_owned();
        let path = grant.visit().path.clone();
        Ok(Reader { events, who, path, prefix, kinds: wanted.kinds, at, _seat: Seat(Arc::clone(&self.readers)) })
    }
}

impl Rights {
    /// Whether the policies show what happened.
    fn shows(&self, note: &Note) -> bool {
        match &note.about {
            None => note.paths().any(|path| shows(&self.acl, &path)),
            Some(about) => self.has_sudo(&note.path) || about.iter().any(|path| shows(&self.acl, path)),
        }
    }

    fn has_sudo(&self, path: &str) -> bool {
        RequestPath::parse(path).is_ok_and(|path| self.acl.capabilities(&path).contains(Capability::Sudo))
    }
}

impl Reader {
    /// What the reader may know now; `None` when nothing any more.
    pub(super) async fn rights(&self) -> Result<Option<Rights>, CoreError> {
        let bearer = match &self.who {
            Who::Key(key) => self.events.tokens.bearer(*key).await?,
            Who::Text(text, source) => self.events.tokens.authenticate(text, source).await?,
        };
        let Some(bearer) = bearer else { return Ok(None) };
        let acl = self.events.policies.acl(bearer.policies(), bearer.entity(), &self.events.identity).await?;
        let capabilities = acl.capabilities(&self.path);
        let whole = acl.is_root() || capabilities.contains(Capability::Sudo);
        Ok((acl.is_root() || capabilities.contains(Capability::Read)).then_some(Rights { acl, whole }))
    }

    /// What there is after the place reached; goes on behind it.
    pub(super) fn portion(&mut self, rights: &Rights) -> Portion {
        let Some(at) = self.at else {
            self.at = Some(self.events.hub.now());
            return Portion::Resync;
        };
        match self.events.hub.after(at, PORTION) {
            Later::Missed(end) => {
                self.at = Some(end);
                Portion::Resync
            }
            Later::Events(events, next) => {
                self.at = Some(next);
                Portion::Events(events.into_iter().filter(|event| self.wants(rights, &event.note)).collect())
            }
        }
    }

    /// Whether there is more to look at already.
    pub(super) fn is_behind(&self) -> bool {
        self.at.is_none_or(|at| at < self.events.hub.now())
    }

    /// The place reached, as readers name it.
    pub(super) fn place(&self) -> String {
        self.events.hub.place(self.at.unwrap_or_default())
    }

    fn batch(&self, events: Vec<Arc<Event>>, resync: bool) -> Batch {
        Batch { events, after: self.place(), resync }
    }

    fn wants(&self, rights: &Rights, note: &Note) -> bool {
        let below = |path: Cow<'_, str>| {
            let rest = path.strip_prefix(self.prefix.as_str());
            self.prefix.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let of_kind = self.kinds.is_empty() || self.kinds.iter().any(|kind| kind == note.kind.word());
        of_kind && note.paths().any(below) && (rights.whole || rights.shows(note))
    }
}

/// Whether policies let somebody know of a path: they may read or list it.
pub(crate) fn shows(acl: &Acl, path: &str) -> bool {
    let Ok(path) = RequestPath::parse(path) else { return false };
    let capabilities = acl.capabilities(&path);
    acl.is_root() || capabilities.contains(Capability::Read) || capabilities.contains(Capability::List)
}
