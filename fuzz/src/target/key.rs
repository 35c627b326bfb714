//! What opens something: shares, tokens, wrapping tokens. Only the genuine one does, and no error repeats what was tried.

use super::Target;
use serde_json::json;
use std::net::IpAddr;
use std::sync::{Mutex, OnceLock, PoisonError};
use strongroom_barrier::Share;
use strongroom_core::Source;
use strongroom_model::SecretString;
use strongroom_testkit::{TestServer, World};
use tokio::runtime::Runtime;

/// A server in this process, and what is genuine on it. Made once: keys are costly to make.
pub(super) struct Harness {
    pub(super) runtime: Runtime,
    pub(super) server: TestServer,
    shares: Vec<String>,
    tokens: Vec<String>,
    wrapping: String,
}

impl Harness {
    /// Calls with the one server.
    pub(super) fn with<T>(call: impl FnOnce(&Self) -> T) -> T {
        static HARNESS: OnceLock<Mutex<Harness>> = OnceLock::new();
        let harness = HARNESS.get_or_init(|| Mutex::new(Self::new()));
        call(&harness.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        let (server, shares, tokens, wrapping) = runtime.block_on(async {
            let (_, shares, _) = World::sealed().await;
            let server = TestServer::open().await;
            let secret = json!({"data": {"password": STORED}});
            server.operator().post("secret/data/x", secret).await.expect(200);
            let batch = server.token(json!({"type": "batch", "policies": ["default"]})).await;
            let service = server.token(json!({"policies": ["default"]})).await;
            let headers = [("X-Vault-Token", server.root.as_str()), ("X-Vault-Wrap-TTL", "24h")];
            let wrapped = server.send_raw("GET", "/v1/secret/data/x", &headers, Vec::new()).await.expect(200);
            let shares = shares.iter().flat_map(|share| [share.to_hex(), share.to_base64()]).collect();
            let tokens = vec![server.root.clone(), service, batch];
            (server, shares, tokens, wrapped.text_at("/wrap_info/token"))
        });
        Self { runtime, server, shares, tokens, wrapping }
    }
}

/// The value of the one secret there is. Nobody here may read it.
pub(super) const STORED: &str = "stored-canary";

/// Whether a longer part of what was tried stands in a text.
fn repeats(text: &str, tried: &str) -> bool {
    let tried: Vec<char> = tried.trim().chars().collect();
    tried.windows(12).any(|part| text.contains(&part.iter().collect::<String>()))
}

pub(super) const SHARE: Target = Target {
    name: "share",
    words: &["=", "==", "-", "_", "+", "/", "U1I", "5352", "0x", " ", "\n"],
    seeds: || Harness::with(|harness| harness.shares.iter().map(|share| share.clone().into_bytes()).collect()),
    run: |data| {
        let Ok(text) = std::str::from_utf8(data) else { return "no text".to_owned() };
        match Share::parse(text) {
            Err(error) => {
                assert!(!repeats(&error.to_string(), text), "the error repeats what may be most of a share");
                error.to_string()
            }
            Ok(share) => {
                for spelled in [share.to_hex(), share.to_base64()] {
                    let again =
                        Share::parse(&spelled).unwrap_or_else(|error| panic!("a share does not read back: {error}"));
                    assert!(
                        again.to_hex() == share.to_hex() && again.index() == share.index(),
                        "another share reads back"
                    );
                }
                "a share".to_owned()
            }
        }
    },
};

pub(super) const TOKEN: Target = Target {
    name: "token",
    words: &["hvs.", "hvb.", "s.", "b.", "hvr.", "root", "Bearer ", "AAAA", "=", "-", "_"],
    seeds: || Harness::with(|harness| harness.tokens.iter().map(|token| token.clone().into_bytes()).collect()),
    run: |data| {
        let Ok(text) = std::str::from_utf8(data) else { return "no text".to_owned() };
        Harness::with(|harness| {
            let rooms = harness.server.world.rooms();
            let source = Source { address: Some(IpAddr::from([127, 0, 0, 1])), port: 1 };
            let token = SecretString::new(text.to_owned());
            match harness.runtime.block_on(rooms.tokens.authenticate(&token, &source)) {
                Ok(Some(_)) => {
                    let genuine = harness.tokens.iter().chain([&harness.wrapping]).any(|known| known == text);
                    assert!(genuine, "a token that nobody was given opens");
                    "a token".to_owned()
                }
                Ok(None) => "no token".to_owned(),
                Err(error) => {
                    assert!(!repeats(&error.to_string(), text), "the error repeats a token: {error}");
                    error.to_string()
                }
            }
        })
    },
};

pub(super) const WRAPPING: Target = Target {
    name: "wrapping",
    words: &["hvs.", "hvb.", "s.", "\\u0068vs.", "null", "{\"token\":\"", "\"}"],
    seeds: || Harness::with(|harness| vec![harness.wrapping.clone().into_bytes(), b"hvs.none".to_vec()]),
    run: |data| {
        let Ok(text) = std::str::from_utf8(data) else { return "no text".to_owned() };
        Harness::with(|harness| {
            if text == harness.wrapping {
                return "the genuine one".to_owned();
            }
            let body = json!({"token": text});
            let asked = async {
                let looked = harness.server.by("").post("sys/wrapping/lookup", body.clone()).await;
                (looked, harness.server.operator().post("sys/wrapping/unwrap", body).await)
            };
            let (looked, opened) = harness.runtime.block_on(asked);
            for answer in [&looked, &opened] {
                assert!([400, 403].contains(&answer.status.as_u16()), "{} {}", answer.status, answer.text);
                assert!(!answer.text.contains(STORED) && !repeats(&answer.text, text), "{}", answer.text);
            }
            format!("{} {}", looked.text.split("errors").last().unwrap_or_default(), opened.status)
        })
    },
};
