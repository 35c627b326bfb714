//! Taking an order: the record, and with it or right behind it the one act that makes all later use fail; nothing is
//! counted, asked of the trail or noted there before that. Then the rest in the background.

use super::block::{Block, Blocked};
use super::{Aim, Emergency, Preview, Target, Touch, Turned};
use crate::incident::{Cut, Incident, Incidents, Operator, Step, StepKind, opening};
use crate::secret::Disabled;
use crate::webhook::Severity;
use crate::{CoreError, Grant};
use std::sync::Arc;
use std::time::Duration;
use strongroom_model::{Timestamp, VersionNumber};

/// What the first act was.
struct Done {
    how: String,
    version: Option<u64>,
    rotated: bool,
    /// Whether a rotation is still to come, or to end.
    waits: bool,
    /// How many leases it marked, where that is the act.
    leases: u64,
}

impl Done {
    fn of(how: impl Into<String>) -> Self {
        Self { how: how.into(), version: None, rotated: false, waits: false, leases: 0 }
    }
}

/// How long an answer waits to be able to say what was touched.
const COUNTING: Duration = Duration::from_secs(3);
/// The longest reason.
const LONGEST_REASON: usize = 1_024;

impl Emergency {
    /// Cuts something off. When this returns, use is refused; the tidying goes on, and is carried on after a crash.
    pub async fn revoke(
        self: &Arc<Self>,
        incidents: &Arc<Incidents>,
        grant: &Grant,
        aim: &Aim,
        reason: &str,
    ) -> Result<Incident, CoreError> {
        let reason = checked(reason)?;
        let target = self.resolve(grant, aim).await?;
        let before = self.first_glance(grant, &target).await?;
        let was_disabled = match &target {
            Target::Principal { entity, .. } => {
                self.rooms.identity.by_id(*entity).await?.is_some_and(|entity| entity.value.disabled)
            }
            Target::AccessKey { key, .. } => self.rooms.access_keys.is_disabled(key).await? == Some(true),
            _ => false,
        };
        let opened = self.rooms.clock.now();
        let incident = Incident {
            id: format!("{:016x}-{}", opened.nanos(), hex::encode(self.rooms.entropy.array::<4>())),
            steps: Incident::steps_of(&target),
            target,
            reason,
            by: Operator::of(grant, &self.rooms.mounts.table())?,
            opened,
            acknowledged: None,
            before,
            was_disabled,
            cut: None,
            refused: None,
            finished: None,
            lifted: None,
        };
        // Housekeeping carries on what it finds unfinished, and this is from now on.
        let at_work = self.claim(&incident.id);
        self.open(incidents, &incident).await?;
        let acknowledged = self.rooms.clock.now();
        let incident = self.cut(incidents, Incident { acknowledged: Some(acknowledged), ..incident }).await?;
        // Use is refused: that must be said, whether or not it can be counted what that meant.
        let counting = tokio::time::timeout(COUNTING, self.count_touched(incidents, grant, &incident)).await;
        let incident = match counting {
            Ok(Ok(counted)) => counted,
            Ok(Err(error)) => self.uncounted(incidents, &incident, &error.to_string()).await,
            Err(_) => self.uncounted(incidents, &incident, "that takes too long now").await,
        };
        drop(at_work);
        self.start(incidents, incident.id.clone());
        Ok(incident)
    }

    /// Says in the record that nobody counted what was in place before.
    async fn uncounted(&self, incidents: &Incidents, incident: &Incident, why: &str) -> Incident {
        let lacks = Some(format!("not counted: {why}"));
        let touch = Touch { what: "the rest".to_owned(), lacks, ..Touch::default() };
        let noted = incidents.amend(&incident.id, |kept| kept.before.touches.push(touch.clone())).await;
        noted.unwrap_or_else(|error| {
            tracing::warn!(incident = incident.id, %error, "an incident is without the count of what it touched");
            incident.clone()
        })
    }

    /// Records the order, and in the same commit cuts off what one record decides about.
    async fn open(&self, incidents: &Incidents, incident: &Incident) -> Result<(), CoreError> {
        let along = |txn| opening(txn, incident);
        let what = match &incident.target {
            Target::Principal { entity, .. } => {
                return match self.rooms.identity.set_disabled(*entity, true, &along).await? {
                    true => Ok(()),
                    // Disabled before, or gone.
                    false => incidents.open(incident).await,
                };
            }
            Target::Mount { mount, .. } => Blocked::Mount(*mount),
            Target::Address { network } => Blocked::Network(*network),
            _ => return incidents.open(incident).await,
        };
        let block = Block { incident: incident.id.clone(), since: incident.opened, what };
        self.rooms.blocks.add(block, &along).await
    }

    /// What can be told of a target at once: what has to be counted, or asked of the trail, is told when use is refused.
    async fn first_glance(&self, grant: &Grant, target: &Target) -> Result<Preview, CoreError> {
        let touches = match target {
            Target::Secret { .. } => vec![self.preview_version(target).await?],
            Target::AccessKey { .. } | Target::LeasePrefix { .. } => return self.preview_of(grant, target).await,
            _ => Vec::new(),
        };
        Ok(Preview { target: target.text(), kind: target.kind().to_owned(), touches })
    }

    async fn count_touched(
        &self,
        incidents: &Incidents,
        grant: &Grant,
        incident: &Incident,
    ) -> Result<Incident, CoreError> {
        let before = match &incident.target {
            Target::AccessKey { .. } | Target::LeasePrefix { .. } => return Ok(incident.clone()),
            Target::Secret { .. } => {
                let mut before = incident.before.clone();
                let acl = grant.acl().ok_or(CoreError::Denied)?;
                before.touches.push(self.preview_consumers(acl, &incident.target).await?);
                before
            }
            target => self.preview_of(grant, target).await?,
        };
        incidents.amend(&incident.id, |kept| kept.before = before.clone()).await
    }

    /// Carries out the one act that makes all later use fail, if that was not done before; then asks as a user would.
    pub(super) async fn cut(&self, incidents: &Incidents, incident: Incident) -> Result<Incident, CoreError> {
        if incident.cut.is_some() {
            return Ok(incident);
        }
        let Done { how, version, rotated, waits, leases } = self.cut_target(&incident).await?;
        self.hold(&incident, version.filter(|_| !rotated)).await?;
        let cut = Cut { at: self.rooms.clock.now(), how, version, rotated };
        let refused = self.is_refused(&incident, &cut).await?.then(|| self.rooms.clock.now());
        let acknowledged = incident.acknowledged.unwrap_or(incident.opened);
        let incident = incidents
            .amend(&incident.id, |kept| {
                kept.acknowledged = kept.acknowledged.or(Some(acknowledged));
                kept.cut = Some(cut.clone());
                kept.refused = refused;
                // Some may have ended before anybody counts what is left.
                if let Some(step) = kept.step(StepKind::Leases) {
                    step.total = step.total.max(leases);
                }
                if waits && !kept.steps.iter().any(|step| step.what == StepKind::Rotation) {
                    kept.steps.push(Step::new(StepKind::Rotation));
                }
            })
            .await?;
        // Noted when it is done, since a trail that is slow or cannot be written must not keep a leak open. The request
        // that ordered it stands there from before.
        let ordered = format!("ordered by {}: {}", incident.by.name, incident.reason);
        let done = format!("cut off: {}", cut.how);
        incidents.tell(&incident, "incident-ordered", Severity::Critical, &format!("{ordered}; {done}")).await;
        for said in [ordered, done] {
            if let Err(error) = incidents.note(&incident, &said, true).await {
                tracing::error!(%error, incident = incident.id, "an incident could not be noted in the trail; it goes on");
            }
        }
        Ok(incident)
    }

    /// The same act on what a drill made for it. Nothing is recorded here: the drill's own record says what to undo.
    pub(crate) async fn rehearse(&self, target: Target, at: Timestamp) -> Result<(), CoreError> {
        let nobody = || String::new();
        let incident = Incident {
            id: "drill".to_owned(),
            steps: Vec::new(),
            target,
            reason: nobody(),
            by: Operator { name: nobody(), accessor: nobody(), address: nobody(), request: nobody() },
            opened: at,
            acknowledged: Some(at),
            before: Preview::default(),
            was_disabled: false,
            cut: None,
            refused: None,
            finished: None,
            lifted: None,
        };
        self.cut_target(&incident).await.map(|_| ())
    }

    async fn cut_target(&self, incident: &Incident) -> Result<Done, CoreError> {
        let block = |what| Block { incident: incident.id.clone(), since: incident.opened, what };
        match &incident.target {
            Target::Secret { .. } => return self.cut_secret(incident).await,
            Target::Principal { entity, .. } => {
                self.rooms.identity.set_disabled(*entity, true, &Ok).await?;
                Ok(Done::of("the entity is disabled, and with it all of its tokens and keys"))
            }
            Target::AccessKey { key, .. } => {
                self.rooms.access_keys.set_disabled(key, true).await?;
                Ok(Done::of("the access key is out of use, and with it the sessions that were made with it"))
            }
            Target::Token { accessor } => {
                if let Some(key) = self.rooms.tokens.key_of_accessor(accessor).await? {
                    self.rooms.tokens.revoke_tree(key).await?;
                }
                Ok(Done::of("the token is revoked"))
            }
            Target::LeasePrefix { .. } => {
                let count = match incident.target.leases() {
                    Some(scope) => self.rooms.leases.cut_off(&scope).await?,
                    None => 0,
                };
                let how = format!("{count} leases are marked; each is gone when its system says so");
                Ok(Done { leases: count, ..Done::of(how) })
            }
            Target::Mount { mount, .. } => {
                self.rooms.blocks.add(block(Blocked::Mount(*mount)), &Ok).await?;
                Ok(Done::of("requests to the mount, and tokens that came through it, are refused"))
            }
            Target::Address { network } => {
                self.rooms.blocks.add(block(Blocked::Network(*network)), &Ok).await?;
                Ok(Done::of("requests from the network are refused"))
            }
        }
    }

    async fn cut_secret(&self, incident: &Incident) -> Result<Done, CoreError> {
        let Target::Secret { mount, name, .. } = &incident.target else {
            return Err(CoreError::Internal("the secret of an incident is none"));
        };
        let Some(mount) = self.mount_by_id(*mount) else { return Ok(Done::of("the mount is gone")) };
        let turned = match self.rotate.get() {
            Some(rotate) => rotate.rotate(mount.id, name, incident.opened).await?,
            None => Turned::NoPlan,
        };
        let rotated = |version, waits| {
            let how = match waits {
                false => format!("rotated to version {version}"),
                true => format!("rotated to version {version}; the former value is still to be made worthless"),
            };
            Done { version: Some(version), rotated: true, waits, ..Done::of(how) }
        };
        let (waits, known) = match turned {
            Turned::Done(version) => return Ok(rotated(version, false)),
            Turned::Pending { version: Some(version), .. } => return Ok(rotated(version, true)),
            Turned::Pending { version: None, known, .. } => (true, known),
            Turned::NoPlan => (false, None),
        };
        let hidden = match self.rooms.secrets.disable_current(&mount, name, incident.opened, known).await? {
            // It came to its end after all, a moment after it was asked.
            Disabled::Another(now) => return Ok(rotated(now.get(), true)),
            Disabled::It(number) => Some(number),
            Disabled::Nothing => None,
        };
        let hidden = match hidden {
            Some(number) => Some(number),
            // Done before a crash, or by another incident.
            None => self.hidden_version(incident).await?,
        };
        let number = hidden.map(VersionNumber::get);
        let how = match (number, waits) {
            (None, _) => "no version was in force".to_owned(),
            (Some(number), false) => format!("version {number} is out of use in every dialect"),
            (Some(number), true) => {
                format!(
                    "version {number} is out of use in every dialect; it could not be rotated yet, and still lets in"
                )
            }
        };
        Ok(Done { version: number, waits, ..Done::of(how) })
    }

    /// Whether use is refused, found out by trying what a user would.
    async fn is_refused(&self, incident: &Incident, cut: &Cut) -> Result<bool, CoreError> {
        let rooms = &self.rooms;
        match &incident.target {
            Target::Secret { mount, name, .. } => {
                let Some(mount) = self.mount_by_id(*mount) else { return Ok(true) };
                let Some(meta) = rooms.secrets.known(&mount, name).await? else { return Ok(true) };
                let now = rooms.clock.now();
                let current = meta.current().and_then(|number| meta.info(number));
                let is_new = cut.rotated && current.as_ref().map(|info| info.number.get()) == cut.version;
                Ok(is_new || current.is_none_or(|info| info.version.is_gone(now)))
            }
            Target::Principal { entity, .. } => {
                for key in rooms.tokens.of_entity(*entity, None, 8).await?.keys {
                    if rooms.tokens.bearer(key).await?.is_some() {
                        return Ok(false);
                    }
                }
                Ok(rooms.identity.by_id(*entity).await?.is_none_or(|entity| entity.value.disabled))
            }
            Target::AccessKey { key, .. } => {
                Ok(rooms.access_keys.is_disabled(key).await?.is_none_or(|disabled| disabled))
            }
            Target::Token { accessor } => Ok(rooms.tokens.by_accessor(accessor).await?.is_none()),
            Target::Mount { mount, .. } => Ok(rooms.blocks.holds(*mount)),
            Target::Address { network } => {
                Ok(rooms.blocks.list().iter().any(|block| block.network() == Some(*network)))
            }
            // Outside systems say when; the step of the leases tells.
            Target::LeasePrefix { .. } => Ok(false),
        }
    }

    /// What is refused whoever asks, for who sees everything.
    pub fn blocks(&self, grant: &Grant) -> Result<Vec<(Block, String)>, CoreError> {
        if !grant.has_sudo() {
            return Err(CoreError::DeniedBecause("the list of blocks needs `sudo` on the path".to_owned()));
        }
        let table = self.rooms.mounts.table();
        let name = |block: &Block| match block.what {
            Blocked::Network(network) => network.to_string(),
            Blocked::Mount(mount) => table.by_id(mount).map(|mount| mount.path.to_string()).unwrap_or_default(),
        };
        Ok(self.rooms.blocks.list().into_iter().map(|block| (block.clone(), name(&block))).collect())
    }

    /// The present moment.
    pub(super) fn now(&self) -> Timestamp {
        self.rooms.clock.now()
    }
}

pub(super) fn checked(reason: &str) -> Result<String, CoreError> {
    let reason = reason.trim();
    if reason.is_empty() {
        return Err(CoreError::Missing("reason: say why, for those who read the record later"));
    }
    if reason.len() > LONGEST_REASON || reason.chars().any(char::is_control) {
        return Err(CoreError::Invalid(format!(
            "a reason has at most {LONGEST_REASON} bytes and no line ends or other control characters"
        )));
    }
    Ok(reason.to_owned())
}
