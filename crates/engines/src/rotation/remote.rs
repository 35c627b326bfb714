//! Programs behind a URL: one signed POST for each step, over TLS whose certificate is checked.
//!
//! Signed as webhooks are (Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature`), so a receiver can tell
//! ours from others', and a message that comes late or again. The id is the same whenever a step is repeated. What
//! the receiver says is passed on in errors only after the secret's values were taken out of it. No redirect is followed.

use serde_json::Value;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use strongroom_core::CoreError;
use strongroom_core::webhook::{Answer, Parcel, Target};
use strongroom_model::{Clock, SecretString};

/// The shortest key.
const SHORTEST_KEY: usize = 24;
/// The most of its reason that is passed on.
const MOST_TOLD: usize = 400;

/// An address with the key that messages to it are signed with.
#[derive(Clone)]
pub struct Remote(Arc<Inner>);

struct Inner {
    target: Target,
    key: SecretString,
    timeout: Duration,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Remote").field(&self.0.target.place()).finish()
    }
}

impl Remote {
    /// Takes an operator's declaration. `ca` is who vouches for the receiver, in PEM. Plain HTTP is taken to this machine
    /// itself only.
    pub fn new(
        url: &str,
        key: SecretString,
        ca: Option<&str>,
        timeout: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, CoreError> {
        if key.expose().len() < SHORTEST_KEY {
            return Err(CoreError::Invalid(format!("the key is too short: {SHORTEST_KEY} characters at least")));
        }
        let target = Target::parse(&SecretString::new(url.to_owned()), ca, true)?;
        Ok(Self(Arc::new(Inner { target, key, timeout, clock })))
    }

    /// Sends one message, and gives the answer when it is a yes. `name` is how errors call the receiver.
    pub(super) async fn send(&self, name: &str, id: &str, body: Vec<u8>) -> Result<Answer, CoreError> {
        let Inner { target, key, timeout, clock } = &*self.0;
        let parcel =
            Parcel { id, time: clock.now(), media_type: "application/json", body, key: Some(key), authorization: None };
        let answer = target.post(parcel, *timeout).await.map_err(|error| match error {
            CoreError::Unreachable { why, .. } => CoreError::Unreachable { system: name.to_owned(), why },
            other => other,
        })?;
        judged(name, answer)
    }
}

fn judged(name: &str, answer: Answer) -> Result<Answer, CoreError> {
    let system = name.to_owned();
    let said: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let reason = said.as_ref().and_then(|said| said.get("errorMessage").or_else(|| said.get("error"))?.as_str());
    match answer.status {
        // As Lambda answers for a function that failed.
        200..300 if reason.is_none() => Ok(answer),
        408 | 425 | 429 | 500 | 502..600 => {
            Err(CoreError::Unreachable { system, why: format!("it answered {}", answer.status) })
        }
        status => {
            let reason: String = reason.unwrap_or("no reason").chars().filter(|c| !c.is_control()).collect();
            let reason: String = reason.chars().take(MOST_TOLD).collect();
            Err(CoreError::Outside { system, why: format!("it answered {status}: {reason}") })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(status: u16, body: &str) -> Result<(), String> {
        let answer = Answer { status, body: body.as_bytes().to_vec() };
        match judged("mine", answer) {
            Ok(_) => Ok(()),
            Err(CoreError::Unreachable { why, .. }) => Err(format!("later: {why}")),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn answers_mean_done_or_later_or_never() {
        assert_eq!(judge(200, ""), Ok(()));
        assert_eq!(judge(204, "{}"), Ok(()));
        assert_eq!(judge(503, "{\"error\": \"s3cret\"}"), Err("later: it answered 503".to_owned()));
        assert!(judge(422, "{\"error\": \"no\\nsuch user\"}").unwrap_err().contains("422: nosuch user"));
        assert!(judge(200, "{\"errorMessage\": \"it threw\"}").unwrap_err().contains("it threw"));
        assert!(judge(301, "").unwrap_err().contains("301"));
    }
}
