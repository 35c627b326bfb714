//! The command line against our own server, both as processes: what people do in their first minutes.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod fake;

use fake::{Home, Ran};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Command, Stdio};

/// A development server on a free port; killed when it is dropped.
struct Live {
    process: Child,
    address: String,
    unseal_key: String,
    home: Home,
    /// Kept open: a server whose output nobody takes is another story.
    _output: BufReader<ChildStdout>,
}

impl Live {
    fn start() -> Self {
        let home = Home::new().with_env("VAULT_TOKEN", "root");
        let mut process = Command::new(env!("CARGO_BIN_EXE_strongroom"))
            .args([
                "server",
                "-dev",
                "-dev-root-token-id=root",
                "-dev-listen-address=127.0.0.1:0",
                "-dev-no-store-token",
            ])
            .env_clear()
            .env("HOME", home.path(""))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut said = output.by_ref().lines().map(Result::unwrap);
        let mut after = |mark: &str| said.find_map(|line| Some(line.split_once(mark)?.1.to_owned())).unwrap();
        let (unseal_key, address) = (after("Unseal Key: "), after("Listening on "));
        Self { process, address, unseal_key, home, _output: output }
    }

    fn run(&self, line: &[&str]) -> Ran {
        self.run_with(line, "")
    }

    fn run_with(&self, line: &[&str], stdin: &str) -> Ran {
        self.home.run_at(&self.address, line, stdin)
    }

    /// Runs what must go well, and gives what it printed.
    fn good(&self, line: &[&str]) -> String {
        let ran = self.run(line);
        assert_eq!(ran.code, 0, "{line:?}: {}", ran.err);
        ran.out
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_secret_is_written_read_changed_deleted_and_brought_back() {
    let live = Live::start();
    assert!(live.good(&["status"]).contains("Sealed          false"));
    live.good(&["kv", "put", "secret/web/db", "user=web", "password=-x"]);
    assert_eq!(live.good(&["kv", "get", "-field=password", "secret/web/db"]), "-x");
    live.good(&["kv", "patch", "secret/web/db", "user=other"]);
    let shown: Value =
        serde_json::from_str(&live.good(&["kv", "get", "-format=json", "-mount=secret", "web/db"])).unwrap();
    assert_eq!(shown["data"]["data"], serde_json::json!({"password": "-x", "user": "other"}));
    assert_eq!(shown["data"]["metadata"]["version"], 2);
    assert_eq!(live.good(&["kv", "list", "secret/"]), "Keys\n----\nweb/\n");
    assert_eq!(live.run(&["kv", "put", "-cas=1", "secret/web/db", "a=b"]).code, 2);
    live.good(&["kv", "delete", "secret/web/db"]);
    assert_eq!(live.run(&["kv", "get", "-field=user", "secret/web/db"]).code, 2);
    live.good(&["kv", "undelete", "-versions=2", "secret/web/db"]);
    live.good(&["kv", "rollback", "-version=1", "secret/web/db"]);
    assert_eq!(live.good(&["kv", "get", "-field=user", "secret/web/db"]), "web");
    live.good(&["kv", "metadata", "delete", "secret/web/db"]);
    let ran = live.run(&["kv", "get", "secret/web/db"]);
    assert_eq!((ran.code, ran.err.as_str()), (2, "No value found at secret/data/web/db\n"));
}

#[test]
fn numbers_come_back_as_they_were_written() {
    let live = Live::start();
    let text = r#"{"big": 123456789012345678901234567890, "rate": 1.50}"#;
    let ran = live.run_with(&["kv", "put", "secret/n", "-"], text);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(live.good(&["kv", "get", "-field=big", "secret/n"]), "123456789012345678901234567890");
    assert_eq!(live.good(&["kv", "get", "-field=rate", "secret/n"]), "1.50");
}

#[test]
fn a_token_may_do_what_its_policy_says_and_no_more() {
    let live = Live::start();
    let ran =
        live.run_with(&["policy", "write", "web", "-"], r#"path "secret/data/web/*" { capabilities = ["read"] }"#);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(live.good(&["policy", "list"]).lines().any(|name| name == "web"));
    live.good(&["kv", "put", "secret/web/x", "a=b"]);
    let token = live.good(&["token", "create", "-policy=web", "-ttl=1h", "-field=token"]);
    let user = Home::new().without_env("VAULT_TOKEN");
    let ran = user.run_at(&live.address, &["login", "-"], &token);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let run = |line: &[&str]| user.run_at(&live.address, line, "");
    assert_eq!(run(&["kv", "get", "-field=a", "secret/web/x"]).out, "b");
    assert_eq!(run(&["token", "capabilities", "secret/data/web/x"]).out, "read\n");
    let ran = run(&["kv", "put", "secret/web/x", "a=c"]);
    assert!(ran.code == 2 && ran.err.contains("Code: 403") && ran.err.contains("permission denied"), "{}", ran.err);
    live.good(&["token", "revoke", &token]);
    assert_eq!(run(&["kv", "get", "secret/web/x"]).code, 2);
}

#[test]
fn a_plain_engine_is_found_and_used_as_one() {
    let live = Live::start();
    live.good(&["secrets", "enable", "-path=plain", "-version=1", "kv"]);
    live.good(&["kv", "put", "plain/x", "a=b"]);
    assert_eq!(live.good(&["kv", "get", "plain/x"]), "== Data ==\nKey    Value\n---    -----\na      b\n");
    assert!(live.good(&["secrets", "list"]).contains("\nplain/ "));
    live.good(&["secrets", "move", "plain", "moved"]);
    assert_eq!(live.good(&["kv", "get", "-field=a", "moved/x"]), "b");
    live.good(&["secrets", "disable", "moved"]);
    assert_eq!(live.run(&["kv", "get", "moved/x"]).code, 2);
}

#[test]
fn a_place_that_does_not_exist_is_not_shown_as_an_empty_one() {
    let live = Live::start();
    live.good(&["kv", "put", "secret/x", "a=b"]);
    let ran = live.run(&["kv", "get", "-namespace=zz", "secret/x"]);
    assert!(ran.code == 2 && ran.err.contains("no namespace \"zz\""), "{}", ran.err);
    let ran = live.run(&["read", "sys/nope"]);
    assert!(ran.code == 2 && ran.err.contains("unsupported path \"sys/nope\""), "{}", ran.err);
    let ran = live.run(&["read", "secret/data/none"]);
    assert_eq!((ran.code, ran.err.as_str()), (2, "No value found at secret/data/none\n"));
}

#[test]
fn keys_are_rotated_and_replaced_and_a_root_token_is_made_from_them() {
    let live = Live::start();
    assert!(live.good(&["operator", "key-status"]).contains("Key Term            1\n"));
    let rotated = live.good(&["operator", "rotate"]);
    assert!(rotated.starts_with("Success! Rotated key\n\nKey Term            2\n"), "{rotated}");
    // Somebody without any token, and the holder of the one unseal key.
    let user = Home::new().without_env("VAULT_TOKEN");
    let run = |line: &[&str], stdin: &str| user.run_at(&live.address, line, stdin);
    let field = |text: &str, name: &str| {
        let shown: Value = serde_json::from_str(text).unwrap();
        shown[name].as_str().map(str::to_owned).unwrap()
    };
    let generate = ["operator", "generate-root"];
    let otp = run(&[&generate[..], &["-generate-otp"]].concat(), "").out.trim().to_owned();
    assert_eq!(otp.len(), 53);
    let begun = run(&[&generate[..], &["-init", "-otp", &otp, "-format=json"]].concat(), "").out;
    let nonce = field(&begun, "nonce");
    let ran = run(&[&generate[..], &["-"]].concat(), &live.unseal_key);
    assert!(ran.code == 1 && ran.err.contains("Missing nonce value"), "{}", ran.err);
    let made = run(&[&generate[..], &["-nonce", &nonce, "-format=json"]].concat(), &live.unseal_key);
    assert_eq!(made.code, 0, "{}", made.err);
    let encoded = field(&made.out, "encoded_token");
    let token = user.run_at("http://127.0.0.1:1", &[&generate[..], &["-decode", "-", "-otp", &otp]].concat(), &encoded);
    assert_eq!(token.code, 0, "{}", token.err);
    let root = Home::new().with_env("VAULT_TOKEN", token.out.trim());
    let looked = root.run_at(&live.address, &["token", "lookup", "-format=json"], "");
    assert!(looked.out.contains("\"root\""), "{}{}", looked.out, looked.err);
    assert!(run(&[&generate[..], &["-status"]].concat(), "").out.contains("Started       false"));
    // New keys, verified before they are in force.
    let rekey = ["operator", "rekey"];
    assert_eq!(run(&[&rekey[..], &["-init"]].concat(), "").code, 2);
    let begun = live.good(&[&rekey[..], &["-init", "-verify", "-n", "2", "-t", "2", "-format=json"]].concat());
    let made = run(&[&rekey[..], &["-nonce", &field(&begun, "nonce"), "-format=json"]].concat(), &live.unseal_key);
    let shown: Value = serde_json::from_str(&made.out).unwrap();
    let verification = field(&made.out, "verification_nonce");
    let mut last = String::new();
    for key in shown["keys_base64"].as_array().unwrap() {
        let key = key.as_str().unwrap();
        last = run(&[&rekey[..], &["-verify", "-nonce", &verification, key]].concat(), "").out;
    }
    assert!(last.contains("Rekey verification successful"), "{last}");
    live.good(&["operator", "seal"]);
    assert!(run(&["operator", "unseal", &live.unseal_key], "").err.contains("keys that were replaced"));
    for key in shown["keys_hex"].as_array().or(shown["keys"].as_array()).unwrap() {
        last = run(&["operator", "unseal", key.as_str().unwrap()], "").out;
    }
    assert!(last.contains("Sealed          false"), "{last}");
}
