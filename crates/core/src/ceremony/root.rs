use super::nonce;
use crate::token::Tokens;
use crate::{Auth, CoreError, Grant};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use std::sync::Arc;
use std::time::Duration;
use strongroom_barrier::{Barrier, Gathering, Quorum, Share};
use strongroom_model::{Clock, Entropy, SecretString, Timestamp, base62};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

/// A new root token for those who hold unseal keys and have lost all tokens.
///
/// The token is given out encoded: combined bit by bit with a one-time password that whoever began the attempt knows,
/// so that the one who hands in the last share does not learn it. Anybody may begin, for there may be no token left;
/// so an attempt without a share holds the place for a while only, and makes way at once for whoever brings a share.
pub struct RootGeneration {
    barrier: Arc<Barrier>,
    tokens: Arc<Tokens>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    attempt: Mutex<Option<Attempt>>,
}

struct Attempt {
    quorum: Quorum,
    otp: SecretString,
    /// When it began, or the last share was handed in.
    touched: Timestamp,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootStatus {
    /// Names the attempt; empty when there is none, and for who may not know it.
    pub nonce: String,
    /// Whether there is an attempt.
    pub started: bool,
    /// Shares handed in.
    pub progress: u8,
    /// Shares needed.
    pub required: u8,
    /// Characters that a one-time password should have.
    pub otp_length: usize,
}

/// What beginning an attempt led to.
pub struct RootStart {
    /// How far it is, with the nonce.
    pub status: RootStatus,
    /// The one-time password, when it was made here.
    pub otp: Option<SecretString>,
}

/// What handing in a share led to.
#[allow(clippy::large_enum_variant, reason = "one at a time, on its way out")]
pub enum RootStep {
    /// More are needed.
    Progress(RootStatus),
    /// The token was made.
    Made {
        /// The token, combined with the one-time password, in base64 without padding.
        encoded: SecretString,
        /// The token, for the trail.
        auth: Auth,
        /// Shares that were needed.
        required: u8,
    },
}

/// An attempt that nothing is heard of for so long is over.
const PATIENCE: Duration = Duration::from_secs(600);

impl RootGeneration {
    pub(crate) fn new(
        barrier: Arc<Barrier>,
        tokens: Arc<Tokens>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { barrier, tokens, clock, entropy, attempt: Mutex::new(None) }
    }

    /// How far it is. The nonce is for who has `sudo` on the path: whoever knows it can cancel.
    pub async fn status(&self, grant: &Grant) -> RootStatus {
        let mut attempt = self.attempt.lock().await;
        self.expire(&mut attempt);
        let mut status = self.status_of(attempt.as_ref());
        if !grant.has_sudo() {
            status.nonce.clear();
        }
        status
    }

    /// Begins an attempt. While there is one this is refused, unless that one has no share yet and a share comes along.
    pub async fn start(
        &self,
        _grant: &Grant,
        otp: Option<SecretString>,
        share: Option<&Share>,
    ) -> Result<RootStart, CoreError> {
        let made = otp.is_none();
        let otp = match otp {
            Some(otp) => otp,
            None => SecretString::new(base62::random(&*self.entropy, Tokens::ROOT_LENGTHS[0])),
        };
        if !Tokens::ROOT_LENGTHS.contains(&otp.expose().len()) {
            let [ours, vaults] = Tokens::ROOT_LENGTHS;
            return Err(CoreError::Invalid(format!(
                "OTP string has incorrect length; it must have {ours} characters, or {vaults} as with Vault. Leave it out and one is made"
            )));
        }
        let mut attempt = self.attempt.lock().await;
        self.expire(&mut attempt);
        let mut quorum = self.barrier.quorum()?;
        if let Some(share) = share {
            // A single share that is enough by itself is proof as well; it is handed in again to finish.
            self.barrier.hand_in(&mut quorum, share).await?;
        }
        if attempt.as_ref().is_some_and(|running| share.is_none() || running.quorum.count() > 0) {
            return Err(CoreError::Invalid(
                "root generation already in progress; it can be cancelled with its nonce or with a token that has sudo, and ends after ten minutes without an unseal key".to_owned(),
            ));
        }
        let shown = made.then(|| otp.duplicate());
        *attempt = Some(Attempt { quorum, otp, touched: self.clock.now() });
        Ok(RootStart { status: self.status_of(attempt.as_ref()), otp: shown })
    }

    /// Ends the attempt, for who knows its nonce or has `sudo` on the path.
    pub async fn cancel(&self, grant: &Grant, nonce: &str) -> Result<(), CoreError> {
        let mut attempt = self.attempt.lock().await;
        let owns = |running: &Attempt| nonce::is_same(&self.barrier, nonce, running.quorum.nonce());
        if !grant.has_sudo() && !attempt.as_ref().is_some_and(owns) {
            return Err(CoreError::DeniedBecause(
                "an attempt is cancelled with its nonce, or with a token that has sudo on this path".to_owned(),
            ));
        }
        attempt.take();
        Ok(())
    }

    /// Takes a share from somebody who knows the nonce. With the last one needed the token is made.
    pub async fn update(&self, _grant: &Grant, nonce: &str, share: &Share) -> Result<RootStep, CoreError> {
        let mut attempt = self.attempt.lock().await;
        self.expire(&mut attempt);
        let Some(running) = attempt.as_mut() else {
            return Err(CoreError::Invalid(
                "no root generation in progress; start one with sys/generate-root/attempt".to_owned(),
            ));
        };
        nonce::check(&self.barrier, nonce, running.quorum.nonce(), "root generation")?;
        let gathering = self.barrier.hand_in(&mut running.quorum, share).await?;
        running.touched = self.clock.now();
        if matches!(gathering, Gathering::Progress(_)) {
            return Ok(RootStep::Progress(self.status_of(attempt.as_ref())));
        }
        let otp = running.otp.duplicate();
        let auth = self.tokens.create_root(Some(self.tokens.fresh_root(otp.expose().len()))).await?;
        attempt.take();
        let encoded = encode(&auth.client_token, &otp);
        Ok(RootStep::Made { encoded, auth, required: self.barrier.seal_status().threshold })
    }

    fn expire(&self, attempt: &mut Option<Attempt>) {
        let now = self.clock.now();
        attempt.take_if(|running| running.touched.plus(PATIENCE) <= now);
    }

    fn status_of(&self, attempt: Option<&Attempt>) -> RootStatus {
        RootStatus {
            nonce: attempt.map(|running| running.quorum.nonce().to_owned()).unwrap_or_default(),
            started: attempt.is_some(),
            progress: attempt.map_or(0, |running| running.quorum.count()),
            required: self.barrier.seal_status().threshold,
            otp_length: Tokens::ROOT_LENGTHS[0],
        }
    }
}

/// Token and one-time password, which are of one length, combined; as Vault since 1.0 writes it.
fn encode(token: &SecretString, otp: &SecretString) -> SecretString {
    let pairs = token.expose().bytes().zip(otp.expose().bytes());
    let combined: Zeroizing<Vec<u8>> = Zeroizing::new(pairs.map(|(a, b)| a ^ b).collect());
    SecretString::new(STANDARD_NO_PAD.encode(&*combined))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of Vault's documentation of `vault operator generate-root -decode`, in form: 28 characters each.
    #[test]
    fn combining_twice_gives_the_token_back() {
        let token = SecretString::new("hvs.ABCDEFGHIJKLMNOPQRSTUVWX".to_owned());
        let otp = SecretString::new("BMjzW3wAsEzINXCM05Wbas3u9zSl".to_owned());
        let encoded = encode(&token, &otp);
        assert_eq!(encoded.expose().len(), 38);
        let bytes = STANDARD_NO_PAD.decode(encoded.expose()).unwrap();
        let decoded: Vec<u8> = bytes.iter().zip(otp.expose().bytes()).map(|(a, b)| a ^ b).collect();
        assert_eq!(decoded, token.expose().as_bytes());
    }
}
