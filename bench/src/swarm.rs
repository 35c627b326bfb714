//! Puts a great number of leases into the store of a server that does not run: through the same gate, the same records
//! and the same trail as a server's, only that the database behind them is not asked. Their logins were never made, so
//! ending them later finds nothing to drop, and that counts as done.

use crate::engine::WallClock;
use anyhow::Context;
use async_trait::async_trait;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use strongroom_audit::{Options, Place, Trail};
use strongroom_barrier::SystemEntropy;
use strongroom_core::lease::{Issuance, LeaseEnd, LeaseOrder, LeaseOwner, LeaseTerms};
use strongroom_core::{
    Access, Ask, Call, CoreError, Endpoint, Fields, Object, Open, Operation, Plugins, SecretsEngine, Served, Setup,
    Source, Strongroom, Visit, route,
};
use strongroom_model::{
    Clock, Entropy, NamespacePath, RequestId, RequestPath, SecretBytes, SecretString, Timestamp, Ttl, base62,
};
use strongroom_storage::{Epoch, Sqlite, Store};
use tokio::task::JoinSet;

/// Callers at once: so many that commits are full.
const CALLERS: usize = 256;

/// Makes that many leases of `database/creds/bench`, by this token, that end in `life`.
pub(crate) async fn make(folder: &Path, token: &str, leases: usize, life: Ttl) -> anyhow::Result<()> {
    let data = folder.join("data");
    let key = hex::decode(std::fs::read_to_string(data.join("unseal.key"))?.trim())?;
    let clock: Arc<dyn Clock> = Arc::new(WallClock);
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(&data.join("strongroom.db"), Arc::clone(&clock))?);
    let trail = Trail::open_with(Place::Folder(data.join("trail")), Arc::clone(&clock), Options::default()).await?;
    let setup = Setup {
        store,
        epoch: Epoch::default(),
        trail: Arc::clone(&trail),
        plugins: Arc::new(Plugins::new().with_engine("database", move |_| Arc::new(Nothing { life }))),
        settings: Default::default(),
        clock,
        entropy: Arc::new(SystemEntropy),
        static_keys: vec![SecretBytes::new(key)],
        accept_rollback: false,
    };
    let strongroom = Strongroom::start(setup).await?;
    let (open, made) = (strongroom.open()?, Arc::new(AtomicUsize::new(0)));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (open, made) = (Arc::clone(&open), Arc::clone(&made));
        let token = SecretString::new(token.to_owned());
        callers.spawn(async move {
            while made.fetch_add(1, Ordering::Relaxed) < leases {
                ask(&open, &token).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended??;
    }
    drop(open);
    strongroom.close().await;
    trail.close().await;
    Ok(())
}

/// One request for a login, from the door to the closed entry.
async fn ask(open: &Arc<Open>, token: &SecretString) -> anyhow::Result<()> {
    let entropy: &dyn Entropy = &SystemEntropy;
    let visit = Visit {
        request: RequestId::from_bytes(entropy.array()),
        arrived: WallClock.now(),
        dialect: "vault",
        operation: Operation::Read,
        namespace: NamespacePath::root(),
        path: RequestPath::parse("database/creds/bench")?,
        typed: None,
        source: Source { address: None, port: 0 },
        headers: Default::default(),
        wrap_ttl: None,
    };
    let mount = open.mounts.table().resolve(&visit.path).map(|(mount, _)| mount);
    let (credential, object) = (Some(token.duplicate()), Object::Path { exists: None });
    let ask = Ask { visit, credential, mount, access: Access::Token, object };
    let fields = Fields::default();
    let grant = open.gate.admit(ask, &fields).await?;
    let (endpoint, captures) = route(ENDPOINTS, "creds/bench").context("the one endpoint")?;
    let result = open.leases.serve(&grant, endpoint, captures, Operation::Read, &fields).await;
    open.gate.conclude(grant, &fields, &result).await?;
    result?;
    Ok(())
}

/// Notes what the engine for databases notes, and makes nothing.
struct Nothing {
    life: Ttl,
}

const ENDPOINTS: &[Endpoint] = &[Endpoint {
    pattern: "creds/{name}",
    operations: &[Operation::Read],
    access: Access::Token,
    help: "Makes a lease.",
}];

#[async_trait]
impl SecretsEngine for Nothing {
    fn endpoints(&self) -> &'static [Endpoint] {
        ENDPOINTS
    }

    async fn call(&self, _call: Call<'_>) -> Result<Served, CoreError> {
        let login = format!("V_TOKEN_BENCH_{}", base62::random(&SystemEntropy, 20));
        let note = json!({"db": "bench", "role": "bench", "login": login, "began": WallClock.now()});
        let note = note.as_object().cloned().unwrap_or_default();
        let terms = LeaseTerms { ttl: self.life, max_ttl: Ttl::default(), renewable: true };
        let (lane, role) = ("bench".to_owned(), "bench".to_owned());
        let (asked, owner) = (Ttl::default(), LeaseOwner::Token);
        Ok(Served::Issue(Box::new(Issuance { note, lane, subject: login, role, terms, asked, owner })))
    }

    async fn issue(&self, _lease: &LeaseOrder) -> Result<Fields, CoreError> {
        Ok(Fields::default())
    }

    async fn terms(&self, _note: &Map<String, Value>) -> Result<LeaseTerms, CoreError> {
        Err(CoreError::Nothing)
    }

    async fn prolong(&self, _note: &Map<String, Value>, _expires: Timestamp) -> Result<(), CoreError> {
        Err(CoreError::Nothing)
    }

    async fn revoke(&self, _lease: &LeaseEnd<'_>) -> Result<(), CoreError> {
        Ok(())
    }

    async fn wipe(&self) -> Result<(), CoreError> {
        Ok(())
    }
}
