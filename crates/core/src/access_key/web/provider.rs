use super::jwks::Jwks;
use super::{WebRefusal, WebTrust};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use strongroom_model::Timestamp;

/// The keys of providers that publish them, kept for a while. Strangers can have them fetched, so a provider is asked at
/// most once a minute however many tokens come, and by one request at a time.
#[derive(Default)]
pub(in crate::access_key) struct Providers(Mutex<HashMap<Place, Shelf>>);

/// Where keys come from: the address, who vouches for it, and whether it may be on this machine.
type Place = (String, Option<String>, bool);
type Shelf = Arc<tokio::sync::Mutex<Fetched>>;

#[derive(Default)]
struct Fetched {
    keys: Option<(Arc<Jwks>, Timestamp)>,
    tried: Option<(Timestamp, String)>,
}

/// Keys younger than this are used unasked.
const FRESH: Duration = Duration::from_secs(3_600);
/// Keys older than this are not used, even when the provider does not answer.
const STALE: Duration = Duration::from_secs(86_400);
/// How long nobody asks again.
const PAUSE: Duration = Duration::from_secs(60);
const DEADLINE: Duration = Duration::from_secs(5);
const MOST_PLACES: usize = 1_024;

impl Providers {
    /// The keys that a role's provider publishes, with the named one among them if that can be had.
    pub(super) async fn keys(
        &self,
        trust: &WebTrust,
        id: Option<&str>,
        now: Timestamp,
    ) -> Result<Arc<Jwks>, WebRefusal> {
        let shelf = self.shelf(trust);
        let mut fetched = shelf.lock().await;
        let known = fetched.keys.clone().filter(|(_, at)| now.since(*at) < STALE);
        let asked = fetched.tried.as_ref().is_some_and(|(at, _)| now.since(*at) < PAUSE);
        match known {
            Some((keys, at)) if asked || (now.since(at) < FRESH && keys.has(id)) => return Ok(keys),
            None if asked => {
                let why = fetched.tried.as_ref().map(|(_, why)| why.clone()).unwrap_or_default();
                return Err(WebRefusal::Unreachable(why));
            }
            _ => {}
        }
        let (tried, known) = (fetch(trust).await, known.map(|(keys, _)| keys));
        fetched.tried = Some((now, tried.as_ref().err().cloned().unwrap_or_default()));
        match (tried, known) {
            (Ok(keys), _) => {
                let keys = Arc::new(keys);
                fetched.keys = Some((Arc::clone(&keys), now));
                Ok(keys)
            }
            (Err(_), Some(keys)) => Ok(keys),
            (Err(why), None) => Err(WebRefusal::Unreachable(why)),
        }
    }

    fn shelf(&self, trust: &WebTrust) -> Shelf {
        let place = (trust.keys_url.clone().unwrap_or_default(), trust.ca.clone(), trust.internal);
        let mut shelves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if shelves.len() >= MOST_PLACES && !shelves.contains_key(&place) {
            shelves.clear();
        }
        Arc::clone(shelves.entry(place).or_default())
    }
}

async fn fetch(trust: &WebTrust) -> Result<Jwks, String> {
    let url = trust.keys_url.as_deref().unwrap_or_default();
    let target = trust.target(url).map_err(|error| error.to_string())?;
    let answer = target.get(DEADLINE).await.map_err(|error| error.to_string())?;
    if !answer.is_success() {
        return Err(format!("{} answered with status {}", target.place(), answer.status));
    }
    let keys = Jwks::parse(&answer.body).filter(|keys| !keys.is_empty());
    keys.ok_or_else(|| format!("{} gave no JWK set with a key for RS256 or ES256", target.place()))
}
