//! What the core puts between itself and the trail: keyed hashes for values, the seal that signs checkpoints, and the
//! list of devices that operators enabled; and what the store remembers of the trail.

mod head;

pub(crate) use head::{TrailMemory, compare};

use crate::records::{PutRecord, Records};
use crate::secret::Words;
use crate::token::TokenKey;
use crate::{Auth, CoreError, Grant};
use ahash::AHashMap;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use strongroom_audit::{AuthNote, DeviceSpec, Hidden, Redacted, Redactor, Seal, Trail, spell_hash};
use strongroom_barrier::{Barrier, Shelf, Txn};
use strongroom_model::{NamespaceId, Principal, SecretString};

/// Replaces values by keyed hashes, under a key of this strongroom.
pub(crate) struct Hmac {
    barrier: Arc<Barrier>,
    /// The hashes of [`COMMON`].
    common: [OnceLock<[u8; 32]>; COMMON.len()],
    /// Those of tokens that came lately, by the names under which they are kept.
    tokens: Mutex<AHashMap<TokenKey, [u8; 32]>>,
}

/// Longer words about a version are made anew each time: hashes of a value of many small leaves are forty times as long as
/// the value, and would make a cache of records large that is bounded by their number.
pub(crate) const LONGEST_WORDS: usize = 2_048;
/// Tokens whose hashes are remembered.
const MOST_TOKENS: usize = 4_096;

/// What people noted of a secret, which may be anything.
const NOTES: &str = "custom_metadata";

/// Leaves that nearly every answer has; each is hashed once.
const COMMON: [&[u8]; 8] = [b"", b"true", b"false", b"0", b"1", b"2", b"3", b"4"];

impl Hmac {
    pub(crate) fn new(barrier: Arc<Barrier>) -> Self {
        Self { barrier, common: Default::default(), tokens: Mutex::default() }
    }

    /// `hmac-sha256:` and the hash in hexadecimal, as Vault's devices write it.
    pub(crate) fn text(&self, data: &[u8]) -> String {
        spell_hash(&self.hmac(data))
    }

    /// As [`Hmac::text`], of a token that is kept, if at all, under that name: most come again and again.
    pub(crate) fn of_token(&self, key: TokenKey, token: &SecretString) -> String {
        let known = self.tokens.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
        let hash = known.unwrap_or_else(|| {
            let hash = self.hmac(token.expose().as_bytes());
            let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            if tokens.len() >= MOST_TOKENS {
                tokens.clear();
            }
            tokens.insert(key, hash);
            hash
        });
        spell_hash(&hash)
    }

    pub(crate) fn redact_map(&self, map: &Map<String, Value>) -> Redacted {
        self.redact_reply(map, &[], None)
    }

    /// An answer's data. Under the names of `facts` leaves stay as they are, but for what people noted. What is under the
    /// name of `again` is hashed once and remembered there.
    pub(crate) fn redact_reply(
        &self,
        data: &Map<String, Value>,
        facts: &[&str],
        again: Option<&(&'static str, Words)>,
    ) -> Redacted {
        // Data can always be put into words.
        Redacted::of(&Shown { data, facts, again, hmac: self }).unwrap_or_default()
    }

    /// A login as the trail names it.
    pub(crate) fn auth_note(&self, auth: &Auth) -> AuthNote {
        let token = &auth.client_token;
        AuthNote {
            token_hash: (!token.is_empty()).then(|| self.text(token.expose().as_bytes())),
            principal: Principal {
                entity: auth.entity,
                accessor: auth.accessor.clone(),
                display_name: auth.display_name.clone(),
                token_policies: auth.token_policies.clone(),
                identity_policies: auth.identity_policies.clone(),
                metadata: auth.metadata.clone(),
                token_type: auth.token_type,
            },
            ttl: auth.ttl.secs(),
            num_uses: auth.num_uses,
        }
    }
}

/// Data to be put into words with its values hidden.
struct Shown<'a> {
    data: &'a Map<String, Value>,
    facts: &'a [&'a str],
    again: Option<&'a (&'static str, Words)>,
    hmac: &'a Hmac,
}

/// What the trail says of a value that never changes, once it was said: keyed hashes, no value. Lies beside the sealed
/// value and goes with it.
pub(crate) type Hidings = Arc<OnceLock<Redacted>>;

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut shown = serializer.serialize_map(Some(self.data.len()))?;
        for (name, value) in self.data {
            if let Some((_, Words(Some(known)))) = self.again.filter(|(again, _)| again == name) {
                match known.get() {
                    Some(known) => shown.serialize_entry(name, known)?,
                    None => {
                        let words = Redacted::hiding(value, self.hmac);
                        shown.serialize_entry(name, &words)?;
                        if words.length() <= LONGEST_WORDS {
                            let _ = known.set(words);
                        }
                    }
                }
                continue;
            }
            match self.facts.contains(&name.as_str()) {
                true => shown.serialize_entry(name, &Fact { name, value, hmac: self.hmac })?,
                false => shown.serialize_entry(name, &Hidden::new(value, self.hmac))?,
            }
        }
        shown.end()
    }
}

/// Facts of our own, to be put into words as they are, but for what people noted.
struct Fact<'a> {
    name: &'a str,
    value: &'a Value,
    hmac: &'a Hmac,
}

impl Serialize for Fact<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            noted if self.name == NOTES => Hidden::new(noted, self.hmac).serialize(serializer),
            Value::Object(inner) => {
                serializer.collect_map(inner.iter().map(|(name, value)| (name, Fact { name, value, hmac: self.hmac })))
            }
            other => other.serialize(serializer),
        }
    }
}

impl Redactor for Hmac {
    fn hmac(&self, data: &[u8]) -> [u8; 32] {
        let hash = || self.barrier.keyed_hash("audit", data);
        let at = COMMON.iter().position(|common| *common == data);
        at.and_then(|at| self.common.get(at)).map_or_else(hash, |known| *known.get_or_init(hash))
    }

    fn hmac_in(&self, device: &str, hash: [u8; 32]) -> [u8; 32] {
        // The hash has one length, so that no two devices and hashes make the same text.
        self.barrier.keyed_hash("audit-device", &[hash.as_slice(), device.as_bytes()].concat())
    }
}

/// Signs checkpoints with the barrier's key, as long as the barrier is open.
pub(crate) struct TrailSeal(pub(crate) Arc<Barrier>);

impl Seal for TrailSeal {
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message)
    }

    fn public_key(&self) -> [u8; 32] {
        self.0.public_key()
    }

    fn generation(&self) -> u64 {
        self.0.health().generation
    }
}

/// Where a device would be, if the trail were one.
pub const AUDIT_TRAIL: &str = "trail";

/// A device as it is listed.
pub type AuditDevice = DeviceSpec;

/// The devices that operators enabled; started again after each unseal.
pub struct AuditDevices {
    records: Arc<Records>,
    trail: Arc<Trail>,
    hmac: Arc<Hmac>,
}

fn shelf() -> Shelf {
    Shelf::new("audit-device", NamespaceId::ROOT).counted()
}

impl AuditDevices {
    pub(crate) fn new(records: Arc<Records>, trail: Arc<Trail>, hmac: Arc<Hmac>) -> Self {
        Self { records, trail, hmac }
    }

    /// Starts every device that was enabled. One that does not work is reported, tried again, and does not hold up the rest.
    pub(crate) async fn start(&self) -> Result<(), CoreError> {
        for device in self.list().await? {
            let path = device.path.clone();
            if let Err(error) = self.trail.resume(device).await {
                tracing::error!(device = path, %error, "an audit device could not be started; disable it or mend the cause");
            }
        }
        Ok(())
    }

    /// The enabled devices in the order of their paths.
    pub async fn list(&self) -> Result<Vec<AuditDevice>, CoreError> {
        let mut devices: Vec<DeviceSpec> =
            self.records.scan_all(&shelf()).await?.into_iter().map(|listed| listed.value).collect();
        devices.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(devices)
    }

    /// Starts a device and keeps it.
    pub async fn enable(&self, _grant: &Grant, device: AuditDevice) -> Result<(), CoreError> {
        if self.list().await?.iter().any(|known| known.path == device.path) {
            return Err(CoreError::Invalid("path already in use".to_owned()));
        }
        if device.path == AUDIT_TRAIL {
            return Err(CoreError::Invalid(format!(
                "`{AUDIT_TRAIL}` names the server's own trail in sys/audit-hash; enable the device at another path"
            )));
        }
        self.trail.enable(device.clone()).await?;
        let kept = self.records.commit(Txn::new().put_record(shelf().named(&device.path), &device)?).await;
        if kept.is_err() {
            self.trail.disable(&device.path).await;
        }
        kept.map(|_| ())
    }

    /// Stops a device and forgets it.
    pub async fn disable(&self, _grant: &Grant, path: &str) -> Result<bool, CoreError> {
        self.records.commit(Txn::new().delete(shelf().named(path))).await?;
        Ok(self.trail.disable(path).await)
    }

    /// The keyed hash under which a value stands in a device, or in the trail itself.
    pub fn hash(&self, _grant: &Grant, device: Option<&str>, input: &str) -> String {
        let hash = self.hmac.hmac(input.as_bytes());
        let hash = device.map_or(hash, |device| self.hmac.hmac_in(device, hash));
        spell_hash(&hash)
    }
}
