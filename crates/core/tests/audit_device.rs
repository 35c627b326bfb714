//! Audit devices across a sealing: what happened meanwhile reaches them afterwards.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use strongroom_audit::{DeviceSpec, Place, Trail};
use strongroom_barrier::SystemEntropy;
use strongroom_core::{
    Access, Ask, CoreError, Fields, Grant, Init, Object, Operation, Plugins, SealOrder, Setup, Share, SlotSpec, Source,
    Strongroom, Visit,
};
use strongroom_model::{Clock, MountPath, NamespacePath, RequestId, RequestPath, SecretString, Timestamp};
use strongroom_storage::{Epoch, Memory};

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_795_219_200)
    }
}

fn visit(path: &str) -> Visit {
    Visit {
        request: RequestId::from_bytes([7; 16]),
        arrived: Noon.now(),
        dialect: "test",
        operation: Operation::Read,
        namespace: NamespacePath::root(),
        path: RequestPath::parse(path).unwrap(),
        typed: None,
        source: Source { address: None, port: 0 },
        headers: Default::default(),
        wrap_ttl: None,
    }
}

/// A grant on an endpoint of the system, as the gate gives it to root.
async fn grant(strongroom: &Strongroom, root: &SecretString) -> Box<Grant> {
    let open = strongroom.open().unwrap();
    let ask = Ask {
        visit: visit("sys/audit"),
        credential: Some(root.duplicate()),
        mount: open.mounts.table().at(&MountPath::parse("sys").unwrap()).cloned(),
        access: Access::Sudo,
        object: Object::Path { exists: None },
    };
    match open.gate.admit(ask, &Fields::default()).await {
        Ok(grant) => grant,
        Err(error) => panic!("root was refused: {error}"),
    }
}

fn shipped(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let responses = lines.filter(|line| line["type"] == "response");
    responses.map(|line| line["request"]["path"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_was_recorded_while_sealed_reaches_a_device_after_the_unsealing() {
    for place in ["folder", "memory"] {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("audit.log");
        let kept = if place == "folder" { Place::Folder(dir.path().join("trail")) } else { Place::Memory };
        let trail = Trail::open(kept, Arc::new(Noon)).await.unwrap();
        let setup = Setup {
            store: Arc::new(Memory::new()),
            epoch: Epoch::default(),
            trail: Arc::clone(&trail),
            plugins: Arc::new(Plugins::new()),
            settings: Default::default(),
            clock: Arc::new(Noon),
            entropy: Arc::new(SystemEntropy),
            static_keys: Vec::new(),
            accept_rollback: false,
        };
        let strongroom = Strongroom::start(setup).await.unwrap();
        let init = Init { slots: vec![SlotSpec::Shamir { shares: 1, threshold: 1 }] };
        let made = strongroom.init(init).await.unwrap();
        let (key, root) = (made.shares[0].to_hex(), &made.root.client_token);
        strongroom.unseal(Share::parse(&key).unwrap()).await.unwrap();
        let options = [("file_path".to_owned(), out.to_str().unwrap().to_owned())].into();
        let device = DeviceSpec { path: "file".into(), kind: "file".into(), description: String::new(), options };
        let open = strongroom.open().unwrap();
        open.devices.enable(&*grant(&strongroom, root).await, device).await.unwrap();
        let note = async |path: &str| strongroom.note(&visit(path), "read", &Err::<(), _>(CoreError::Sealed)).await;
        note("open/before").await.unwrap();
        let order = SealOrder::new(&*grant(&strongroom, root).await);
        strongroom.seal(order).await.unwrap();
        assert!(trail.devices().is_empty());
        note("sealed").await.unwrap();
        strongroom.unseal(Share::parse(&key).unwrap()).await.unwrap();
        note("open/after").await.unwrap();
        strongroom.close().await;
        assert_eq!(shipped(&out), ["open/before", "sealed", "open/after"], "{place}");
    }
}
