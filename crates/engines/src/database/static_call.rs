use super::rotation::Ended;
use super::static_role::{Held, Keeping, Phase, StaticRole};
use super::{BATCH, Database, TRIES, endpoint};
use crate::sent;
use serde_json::{Map, json};
use std::sync::Arc;
use strongroom_barrier::{Address, Shelf, Txn};
use strongroom_connectors::ConnectorError;
use strongroom_core::{Call, CoreError, Fields, Operation, Reply, Served, Stored};
use strongroom_model::RoleName;

impl Database {
    pub(super) fn static_shelf(&self) -> Shelf {
        self.context.records.shelf("database-static-role").counted()
    }

    fn static_at(&self, name: &RoleName) -> Address {
        self.static_shelf().named(name.as_str())
    }

    /// The static role with that name.
    pub(super) async fn static_role(&self, name: &RoleName) -> Result<Option<Arc<Stored<StaticRole>>>, CoreError> {
        self.context.records.get(&self.static_at(name)).await
    }

    /// The paths of static roles.
    pub(super) async fn call_static(&self, call: &Call<'_>) -> Result<Served, CoreError> {
        let reply = match (call.endpoint.pattern, call.operation) {
            (endpoint::STATIC_ROLES, Operation::List) => Reply::keys(self.static_names().await?)?,
            (endpoint::STATIC_ROLE, Operation::Read) => self.read_static(call).await?,
            (endpoint::STATIC_ROLE, Operation::Write) => self.write_static(call).await?,
            (endpoint::STATIC_ROLE, Operation::Delete) => self.delete_static(call).await?,
            (endpoint::STATIC_CREDS, Operation::Read) => self.static_password(call).await?,
            (endpoint::ROTATE_ROLE, Operation::Write) => {
                let name = sent::name(&call.captures)?;
                self.note_login(call, &name).await?;
                self.rotate(&name).await?.into_result()?;
                Reply::empty()
            }
            _ => return Err(CoreError::Unsupported),
        };
        Ok(Served::Reply(reply))
    }

    async fn static_names(&self) -> Result<Vec<String>, CoreError> {
        let listed = self.context.records.scan_all::<StaticRole>(&self.static_shelf()).await?;
        let mut names: Vec<String> = listed.iter().map(|listed| listed.value.name.to_string()).collect();
        names.sort_unstable();
        Ok(names)
    }

    async fn read_static(&self, call: &Call<'_>) -> Result<Reply, CoreError> {
        let name = sent::name(&call.captures)?;
        let role = self.static_role(&name).await?.ok_or(CoreError::Nothing)?;
        let keeping = self.keeping(&name).await?;
        Ok(Reply::data(role.value.shown(keeping.as_ref().map(|keeping| &keeping.value))))
    }

    async fn write_static(&self, call: &Call<'_>) -> Result<Reply, CoreError> {
        let name = sent::name(&call.captures)?;
        for _ in 0..TRIES {
            let done = match self.static_role(&name).await? {
                None if !call.grant.creates() => return Err(CoreError::Conflict),
                None => self.create_static(&name, call).await,
                Some(kept) => {
                    call.grant.note_subject(&kept.value.username);
                    self.change_static(&kept, call.fields).await
                }
            };
            match done {
                Err(CoreError::Conflict) => continue,
                other => return other.map(|()| sent::done(call.fields, StaticRole::FIELDS)),
            }
        }
        Err(CoreError::Conflict)
    }

    async fn create_static(&self, name: &RoleName, call: &Call<'_>) -> Result<(), CoreError> {
        let sent = call.fields;
        let role = StaticRole::create(name.clone(), sent)?;
        call.grant.note_subject(&role.username);
        self.require_allowed(&role.db_name, name).await?;
        // Two that come at once must not both find it free.
        let turn = self.context.neighbours.turn().await;
        self.require_free(&role).await?;
        let (now, waits) = (self.context.now(), sent.flag("skip_import_rotation")?.unwrap_or(false));
        let held = match sent.secret("password")? {
            None => Held::Nothing,
            Some(password) => {
                self.prove(&role, &password).await?;
                Held::Password { password, since: now }
            }
        };
        let keeping = Keeping::new(held, if waits { role.schedule.after(now)? } else { now });
        let txn = Txn::new().expect_absent(self.static_at(name)).expect_absent(self.keeping_at(name));
        let txn = self.context.records.put(txn, self.static_at(name), &role)?;
        let txn = self.plan(txn, name, None, &keeping)?;
        self.context.records.commit(txn).await?;
        drop(turn);
        if waits {
            return Ok(());
        }
        let ended = self.rotate(name).await.and_then(Ended::into_result);
        let keeping = self.keeping(name).await?;
        if ended.is_err() && keeping.is_some_and(|keeping| matches!(keeping.value.phase, Phase::Resting)) {
            // The database was certainly not changed, so there is nothing to keep.
            self.forget_static(name).await?;
        }
        ended
    }

    async fn change_static(&self, kept: &Stored<StaticRole>, sent: &Fields) -> Result<(), CoreError> {
        let (role, name) = (kept.value.changed(sent)?, &kept.value.name);
        let mut txn = Txn::new().expect(self.static_at(name), kept.rev);
        txn = self.context.records.put(txn, self.static_at(name), &role)?;
        if role.schedule != kept.value.schedule
            && let Some(keeping) = self.keeping(name).await?
        {
            let now = self.context.now();
            let from = match &keeping.value.held {
                Held::Password { since, .. } => *since,
                Held::Nothing => now,
            };
            let mut new = keeping.value.duplicate();
            new.planned = role.schedule.after(from)?.max(now);
            new.due = if new.failures == 0 { new.planned } else { new.due };
            txn = self.plan(txn, name, Some(&keeping), &new)?;
        }
        self.context.records.commit(txn).await
    }

    /// Logs in with a password that the operator says is the login's.
    async fn prove(&self, role: &StaticRole, password: &strongroom_model::SecretString) -> Result<(), CoreError> {
        match self.link(&role.db_name).await?.verify(&role.username, password).await {
            Ok(()) => Ok(()),
            Err(error @ ConnectorError::LoginRefused { .. }) => {
                Err(CoreError::Invalid(format!("the password that was sent is not that of the login: {error}")))
            }
            Err(error) => Err(crate::failure::outside(role.db_name.as_str(), &error)),
        }
    }

    async fn delete_static(&self, call: &Call<'_>) -> Result<Reply, CoreError> {
        let name = sent::name(&call.captures)?;
        self.note_login(call, &name).await?;
        self.forget_static(&name).await?;
        Ok(Reply::empty())
    }

    /// Has the trail say which login a request is about that names a role.
    async fn note_login(&self, call: &Call<'_>, name: &RoleName) -> Result<(), CoreError> {
        if let Some(role) = self.static_role(name).await? {
            call.grant.note_subject(&role.value.username);
        }
        Ok(())
    }

    async fn forget_static(&self, name: &RoleName) -> Result<(), CoreError> {
        for _ in 0..TRIES {
            let mut txn = Txn::new().delete(self.static_at(name));
            if let Some(keeping) = self.keeping(name).await? {
                txn = txn.expect(self.keeping_at(name), keeping.rev).delete(self.keeping_at(name));
                txn = txn.delete(self.turn_at(name, keeping.value.due));
            }
            match self.context.records.commit(txn).await {
                Err(CoreError::Conflict) => {}
                other => return other,
            }
        }
        Err(CoreError::Conflict)
    }

    /// `static-creds/ROLE`: the password that is known to work.
    async fn static_password(&self, call: &Call<'_>) -> Result<Reply, CoreError> {
        let name = sent::name(&call.captures)?;
        let unknown = || CoreError::Invalid(format!("unknown role: {name}"));
        let role = self.static_role(&name).await?.ok_or_else(unknown)?;
        let role = &role.value;
        call.grant.note_subject(&role.username);
        self.require_allowed(&role.db_name, &name).await?;
        let keeping = self.keeping(&name).await?.ok_or_else(unknown)?;
        let Held::Password { password, since } = &keeping.value.held else {
            return Err(CoreError::Unfit(format!(
                "the password of \"{}\" is not known yet: it is changed for the first time at {}; write to \
                 rotate-role/{name} to have it changed now",
                role.username, keeping.value.planned
            )));
        };
        let mut data = Map::new();
        data.insert("username".to_owned(), json!(role.username));
        data.insert("password".to_owned(), json!(password.expose()));
        data.insert("last_vault_rotation".to_owned(), json!(since));
        data.insert("ttl".to_owned(), json!(keeping.value.planned.since(self.context.now()).as_secs()));
        role.schedule.show(&mut data);
        let mut reply = Reply { data: Some(Fields::new(data)), ..Reply::empty() };
        if matches!(keeping.value.phase, Phase::Setting { .. }) {
            reply.warnings.push("the password is being changed: read it again if this one is refused".to_owned());
        }
        Ok(reply)
    }

    /// Fails unless the connection is for this role.
    pub(super) async fn require_allowed(&self, db: &RoleName, role: &RoleName) -> Result<(), CoreError> {
        if self.require_config(db).await?.value.allows(role) {
            return Ok(());
        }
        Err(CoreError::DeniedBecause(format!("\"{role}\" is not an allowed role of the connection \"{db}\"")))
    }

    /// Removes all static roles, and what is known of their passwords.
    pub(super) async fn wipe_static(&self) -> Result<(), CoreError> {
        loop {
            let listed = self.context.records.scan::<StaticRole>(&self.static_shelf(), None, BATCH).await?;
            if listed.is_empty() {
                return Ok(());
            }
            for listed in listed {
                self.forget_static(&listed.value.name).await?;
            }
        }
    }
}
