use super::nonce;
use crate::{CoreError, Grant};
use std::sync::Arc;
use strongroom_barrier::{Barrier, Gathering, NewShares, Quorum, Share};
use tokio::sync::Mutex;

/// New unseal keys in the place of the old ones: those who hold the old ones agree, new ones are made, and, if asked
/// for, those who hold the new ones show that they have them before anything changes.
pub struct Rekeying {
    barrier: Arc<Barrier>,
    attempt: Mutex<Option<Attempt>>,
}

enum Attempt {
    /// Shares of the old set are being handed in.
    Collecting { quorum: Quorum, plan: RekeyPlan },
    /// Shares of the new set are being handed in; the old ones are still in force.
    Verifying { nonce: String, quorum: Quorum, new: NewShares },
}

/// What the new unseal keys shall be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RekeyPlan {
    /// How many.
    pub shares: u8,
    /// How many of them are needed.
    pub threshold: u8,
    /// Whether they must be handed in before they are in force.
    pub verify: bool,
}

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RekeyStatus {
    /// Names the attempt; empty when there is none.
    pub nonce: String,
    /// The plan, when there is an attempt.
    pub plan: Option<RekeyPlan>,
    /// Old shares handed in.
    pub progress: u8,
    /// Old shares needed.
    pub required: u8,
    /// Names the verification, when it has come to that.
    pub verification_nonce: Option<String>,
}

/// How far the verification is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// Names this round of it.
    pub nonce: String,
    /// New shares that there are.
    pub shares: u8,
    /// New shares needed.
    pub threshold: u8,
    /// New shares handed in.
    pub progress: u8,
}

/// What handing in an old share led to.
#[allow(clippy::large_enum_variant, reason = "one at a time, on its way out")]
pub enum RekeyStep {
    /// More are needed.
    Progress(RekeyStatus),
    /// New ones were made; they are shown this once.
    Made {
        /// The new unseal keys.
        shares: Vec<Share>,
        /// Names the verification that must follow before they are in force.
        verification_nonce: Option<String>,
        /// To be carried out when the answer is recorded; none when a verification must come first.
        order: Option<ShareOrder>,
    },
}

/// New unseal keys to be put in force once the answer that shows them is in the trail: if that cannot be written nobody
/// sees them, and then the old ones must go on to open the server.
pub struct ShareOrder(NewShares);

const NOTHING: &str = "no barrier rekey in progress; start one with sys/rekey/init";

impl Rekeying {
    pub(crate) fn new(barrier: Arc<Barrier>) -> Self {
        Self { barrier, attempt: Mutex::new(None) }
    }

    /// How far it is. Holds the nonces, so it is for who may start and cancel.
    pub async fn status(&self, _grant: &Grant) -> RekeyStatus {
        self.status_of(self.attempt.lock().await.as_ref())
    }

    /// Starts an attempt; refused while there is one.
    pub async fn start(&self, _grant: &Grant, plan: RekeyPlan) -> Result<RekeyStatus, CoreError> {
        let mut attempt = self.attempt.lock().await;
        if attempt.is_some() {
            return Err(CoreError::Invalid("rekey already in progress; cancel it, or go on with its nonce".to_owned()));
        }
        *attempt = Some(Attempt::Collecting { quorum: self.barrier.quorum()?, plan });
        Ok(self.status_of(attempt.as_ref()))
    }

    /// Ends the attempt, if there is one. The old unseal keys stay in force, also in the middle of a verification.
    pub async fn cancel(&self, _grant: &Grant) {
        self.attempt.lock().await.take();
    }

    /// Takes an old share from somebody who knows the nonce. With the last one needed the new ones are made.
    pub async fn update(&self, _grant: &Grant, nonce: &str, share: &Share) -> Result<RekeyStep, CoreError> {
        let mut attempt = self.attempt.lock().await;
        let (quorum, plan) = match attempt.as_mut() {
            Some(Attempt::Collecting { quorum, plan }) => (quorum, *plan),
            Some(Attempt::Verifying { .. }) => {
                return Err(CoreError::Invalid(
                    "rekey operation already finished; verification must be performed with the new unseal keys"
                        .to_owned(),
                ));
            }
            None => return Err(CoreError::Invalid(NOTHING.to_owned())),
        };
        nonce::check(&self.barrier, nonce, quorum.nonce(), "rekey")?;
        let Gathering::Complete(quorate) = self.barrier.hand_in(quorum, share).await? else {
            return Ok(RekeyStep::Progress(self.status_of(attempt.as_ref())));
        };
        let (new, shares) = self.barrier.new_shares(&quorate, plan.shares, plan.threshold).await?;
        if !plan.verify {
            attempt.take();
            return Ok(RekeyStep::Made { shares, verification_nonce: None, order: Some(ShareOrder(new)) });
        }
        let nonce = quorum.nonce().to_owned();
        let quorum = self.barrier.quorum()?;
        let verification_nonce = Some(quorum.nonce().to_owned());
        *attempt = Some(Attempt::Verifying { nonce, quorum, new });
        Ok(RekeyStep::Made { shares, verification_nonce, order: None })
    }

    /// Puts new unseal keys in force.
    pub async fn carry_out(&self, order: ShareOrder) -> Result<(), CoreError> {
        Ok(self.barrier.replace_shares(order.0).await?)
    }

    /// How far the verification is; the nonce only for who may cancel.
    pub async fn verification(&self, grant: &Grant) -> Result<Verification, CoreError> {
        let attempt = self.attempt.lock().await;
        let mut shown = verification_of(attempt.as_ref())?;
        if !grant.has_sudo() {
            shown.nonce.clear();
        }
        Ok(shown)
    }

    /// Takes a new share from somebody who knows the verification's nonce. `None` when they are in force now.
    pub async fn verify(&self, _grant: &Grant, nonce: &str, share: &Share) -> Result<Option<Verification>, CoreError> {
        let mut attempt = self.attempt.lock().await;
        let shown = verification_of(attempt.as_ref())?;
        nonce::check(&self.barrier, nonce, &shown.nonce, "verification")?;
        let Some(Attempt::Verifying { quorum, new, .. }) = attempt.as_mut() else { return Ok(None) };
        if let Gathering::Progress(progress) = new.hand_in(quorum, share).await? {
            return Ok(Some(Verification { progress, nonce: String::new(), ..shown }));
        }
        let Some(Attempt::Verifying { new, .. }) = attempt.take() else { return Ok(None) };
        self.barrier.replace_shares(new).await?;
        Ok(None)
    }

    /// Forgets the new shares handed in so far and gives the verification another nonce. For who knows the present one,
    /// or may cancel.
    pub async fn restart_verification(&self, grant: &Grant, nonce: &str) -> Result<Verification, CoreError> {
        let mut attempt = self.attempt.lock().await;
        let known = verification_of(attempt.as_ref()).map(|shown| shown.nonce);
        if !grant.has_sudo() && !known.as_ref().is_ok_and(|known| nonce::is_same(&self.barrier, nonce, known)) {
            return Err(CoreError::Denied);
        }
        known?;
        if let Some(Attempt::Verifying { quorum, .. }) = attempt.as_mut() {
            *quorum = self.barrier.quorum()?;
        }
        verification_of(attempt.as_ref())
    }

    fn status_of(&self, attempt: Option<&Attempt>) -> RekeyStatus {
        let required = self.barrier.seal_status().threshold;
        match attempt {
            None => RekeyStatus { required, ..RekeyStatus::default() },
            Some(Attempt::Collecting { quorum, plan }) => RekeyStatus {
                nonce: quorum.nonce().to_owned(),
                plan: Some(*plan),
                progress: quorum.count(),
                required,
                verification_nonce: None,
            },
            Some(Attempt::Verifying { nonce, quorum, new }) => {
                let (shares, threshold) = new.counts();
                RekeyStatus {
                    nonce: nonce.clone(),
                    plan: Some(RekeyPlan { shares, threshold, verify: true }),
                    progress: 0,
                    required,
                    verification_nonce: Some(quorum.nonce().to_owned()),
                }
            }
        }
    }
}

fn verification_of(attempt: Option<&Attempt>) -> Result<Verification, CoreError> {
    match attempt {
        Some(Attempt::Verifying { quorum, new, .. }) => {
            let (shares, threshold) = new.counts();
            Ok(Verification { nonce: quorum.nonce().to_owned(), shares, threshold, progress: quorum.count() })
        }
        Some(Attempt::Collecting { .. }) => Err(CoreError::Invalid(
            "no rekey verification in progress: the present unseal keys must be handed in first".to_owned(),
        )),
        None => Err(CoreError::Invalid("no rekey configuration found".to_owned())),
    }
}
