//! What a drill makes, and how it is taken away. Everything is found again by the drill's tag alone, so that it can be
//! taken away whatever the crash left of it.

use super::record::Drill;
use super::target::{Target, path_of};
use super::{CANARY, Door, Drills, Met};
use crate::access_key::MadeKey;
use crate::lease::LeaseScope;
use crate::token::NewToken;
use crate::{CoreError, Terms};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use strongroom_model::{EntityId, EntityName, PolicyName, SecretString, TokenType, Ttl};

/// How long what a canary holds lives at most, if everything else should fail.
const LIFE: u64 = 900;
/// Tokens looked at in one go.
const PAGE: usize = 64;
/// How long to wait for logins of canaries to be gone before trying again later.
const PATIENCE: Duration = Duration::from_secs(10);

/// A principal made for one trial.
pub(super) struct Canary {
    pub(super) entity: EntityId,
    pub(super) name: EntityName,
    pub(super) token: SecretString,
    pub(super) accessor: String,
}

/// Who writes the canary secret of a drill, and removes it.
pub(super) struct Keeper {
    canary: Canary,
    door: Arc<dyn Door>,
    target: Arc<Target>,
    name: String,
    /// Versions written.
    written: AtomicU64,
}

impl Drill {
    fn reader(&self) -> Result<PolicyName, CoreError> {
        Ok(PolicyName::parse(&format!("{CANARY}-{}", self.tag))?)
    }

    fn keeper(&self) -> Result<PolicyName, CoreError> {
        Ok(PolicyName::parse(&format!("drill-keeper-{}", self.tag))?)
    }

    fn principal(&self, number: u32) -> Result<EntityName, CoreError> {
        Ok(EntityName::parse(&format!("{CANARY}-{}-{number}", self.tag))?)
    }

    /// The canary secret, beside the target.
    pub(super) fn canary_secret(&self, target: &Target) -> String {
        format!("{}{CANARY}-{}", target.folder(), self.tag)
    }

    /// What a canary reads.
    pub(super) fn canary_path(&self, target: &Target) -> String {
        match target.key.is_secret {
            true => path_of(&target.mount, &self.canary_secret(target)),
            false => target.path.clone(),
        }
    }
}

impl Drills {
    /// Writes what canaries of this drill may do.
    pub(super) async fn write_rights(&self, drill: &Drill, target: &Target) -> Result<(), CoreError> {
        let path = drill.canary_path(target);
        let rule = |path: &str, what: &str| format!("path \"{path}\" {{ capabilities = [{what}] }}\n");
        let mut reader = rule(&path, "\"read\"");
        let mut keeper = String::new();
        if target.key.is_secret {
            keeper = rule(&path, "\"create\", \"update\", \"delete\"");
            if target.mount.is_versioned_kv() {
                let metadata = format!("{}/metadata/{}", target.mount.path, drill.canary_secret(target));
                reader.push_str(&rule(&metadata, "\"read\""));
                keeper.push_str(&rule(&metadata, "\"delete\""));
            }
        }
        self.rooms.policies.write_internal(drill.reader()?, &reader).await?;
        self.rooms.policies.write_internal(drill.keeper()?, &keeper).await
    }

    /// Makes a principal with a token that may read the canary and nothing else.
    pub(super) async fn canary(&self, drill: &Drill, number: u32) -> Result<Canary, CoreError> {
        self.principal(drill.principal(number)?, drill.reader()?).await
    }

    /// Who writes the canary secret.
    pub(super) async fn keeper_of(
        &self,
        drill: &Drill,
        target: &Arc<Target>,
        door: &Arc<dyn Door>,
    ) -> Result<Keeper, CoreError> {
        // Left by a crash: what it holds is not known any more.
        let name = drill.principal(0)?;
        if let Some(left) = self.rooms.identity.by_name(&name).await? {
            self.remove_principal(left.value.id).await?;
        }
        let canary = self.principal(name, drill.keeper()?).await?;
        let name = drill.canary_secret(target);
        Ok(Keeper { canary, door: Arc::clone(door), target: Arc::clone(target), name, written: AtomicU64::new(0) })
    }

    async fn principal(&self, name: EntityName, policy: PolicyName) -> Result<Canary, CoreError> {
        let entity = self.rooms.identity.create_internal(name.clone(), Vec::new()).await?;
        let ttl = Ttl::from_secs(LIFE);
        let new = NewToken {
            policies: vec![policy],
            terms: Terms { ttl, no_default_policy: true, token_type: Some(TokenType::Service), ..Terms::default() },
            entity: Some(entity.id),
            display_name: CANARY.to_owned(),
            path: "sys/drills/run".to_owned(),
            ..NewToken::default()
        };
        let (auth, _) = self.rooms.tokens.create(new).await?;
        Ok(Canary { entity: entity.id, name, token: auth.client_token, accessor: auth.accessor })
    }

    /// An access key of a canary.
    pub(super) async fn key_of_canary(&self, drill: &Drill, canary: &Canary) -> Result<MadeKey, CoreError> {
        let policies = vec![drill.reader()?];
        self.rooms.access_keys.create_for(canary.entity, CANARY, policies, Ttl::from_secs(LIFE)).await
    }

    /// Takes away whatever there is of a drill's canaries. Repeatable; an error says what is still there.
    pub(super) async fn clear(&self, drill: &Drill) -> Result<(), CoreError> {
        for number in 1..=drill.planned() {
            if let Some(entity) = self.rooms.identity.by_name(&drill.principal(number)?).await? {
                self.remove_principal(entity.value.id).await?;
            }
        }
        // Whether the secret that was drilled is still there or not.
        let place = self.place_of(&drill.key).filter(|target| target.key.is_secret && target.has_plain_path());
        if let Some(target) = place {
            let target = Arc::new(target);
            self.write_rights(drill, &target).await?;
            let keeper = self.keeper_of(drill, &target, &self.doorway.get()?).await?;
            let removed = keeper.remove().await;
            self.remove_principal(keeper.canary.entity).await?;
            removed?;
        }
        if let Some(keeper) = self.rooms.identity.by_name(&drill.principal(0)?).await? {
            self.remove_principal(keeper.value.id).await?;
        }
        self.rooms.policies.delete_internal(&drill.reader()?).await?;
        self.rooms.policies.delete_internal(&drill.keeper()?).await
    }

    async fn remove_principal(&self, entity: EntityId) -> Result<(), CoreError> {
        let rooms = &self.rooms;
        rooms.identity.set_disabled(entity, true, &Ok).await?;
        let scope = LeaseScope::Entity(entity);
        let mut progress = rooms.leases.progress();
        rooms.leases.cut_off(&scope).await?;
        let gone = async {
            loop {
                progress.borrow_and_update();
                if rooms.leases.remaining(&scope, 0).await?.is_none() {
                    return Ok(());
                }
                let _ = tokio::time::timeout(Duration::from_millis(200), progress.changed()).await;
            }
        };
        let still = "a login of a canary is not ended yet: its outside system has to answer first".to_owned();
        tokio::time::timeout(PATIENCE, gone).await.unwrap_or(Err(CoreError::Unfit(still)))?;
        loop {
            let page = rooms.tokens.of_entity(entity, None, PAGE).await?;
            for key in &page.keys {
                rooms.tokens.revoke_tree(*key).await?;
            }
            if page.keys.len() < PAGE {
                break;
            }
        }
        rooms.access_keys.remove_all_of(entity).await?;
        rooms.identity.delete_internal(entity).await
    }
}

impl Keeper {
    /// Writes a version of the canary secret. It is no secret: nothing opens with it.
    pub(super) async fn write(&self) -> Result<(), CoreError> {
        let mut data = Map::new();
        data.insert("canary".to_owned(), json!("written by a drill, and worth nothing"));
        let path = path_of(&self.target.mount, &self.name);
        let fields = if self.target.mount.is_versioned_kv() {
            // Each version is the keeper's own; some mounts insist that a writer knows the one before.
            let options = json!({ "cas": self.written.load(Ordering::SeqCst) });
            Map::from_iter([("data".to_owned(), Value::Object(data)), ("options".to_owned(), options)])
        } else {
            data
        };
        match self.door.write(&self.canary.token, &path, fields).await {
            Met::LetIn(_) => {
                self.written.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
            met => Err(hindered("the canary secret could not be written", &met)),
        }
    }

    async fn remove(&self) -> Result<(), CoreError> {
        let path = match self.target.mount.is_versioned_kv() {
            true => format!("{}/metadata/{}", self.target.mount.path, self.name),
            false => path_of(&self.target.mount, &self.name),
        };
        match self.door.delete(&self.canary.token, &path).await {
            Met::LetIn(_) | Met::Absent => Ok(()),
            met => Err(hindered("the canary secret could not be removed", &met)),
        }
    }
}

/// What went wrong, for the drill's record.
pub(super) fn hindered(what: &str, met: &Met) -> CoreError {
    let why = match met {
        Met::LetIn(_) => "it was let in".to_owned(),
        Met::Denied => {
            "it was refused; a rate limit, a policy of the secret or a rule of the mount may stand in the way"
                .to_owned()
        }
        Met::Absent => "there was nothing".to_owned(),
        Met::Hindered(why) => why.clone(),
    };
    CoreError::Unfit(format!("{what}: {why}"))
}
