//! Configuration files that chance has made out of good ones: refused with a line, or taken, and no secret is repeated.

use super::Config;
use std::path::PathBuf;
use std::sync::OnceLock;
use strongroom_fuzz::Target;
use strongroom_fuzz::drive::{Bound, drive};
use tempfile::TempDir;

/// Stands where a key or a password may stand.
const CANARY: &str = "hunter2canary";

const CONFIG: Target = Target {
    name: "config",
    words: &[
        "storage \"file\" { path = \"/x\" }\n",
        "listener \"tcp\" {",
        "seal \"static\" {",
        "tls_disable = 1",
        "address",
        "path",
        "= [",
        "trail {",
        "sync = \"each\"",
        "default_lease_ttl = \"",
        "disable_mlock",
        "true",
        "telemetry {",
        "<<EOT\n",
        "\nEOT\n",
        "#",
        "\"inmem\"",
        "\"postgresql\"",
        "connection_url",
        "max_request_size",
        "-1",
        "env://X",
        "file:///x",
    ],
    seeds: || {
        [
            "storage \"file\" {\n  path = \"/var/x\"\n}\nlistener \"tcp\" {\n  address = \"127.0.0.1:8200\"\n  tls_disable = 1\n}\n",
            "storage \"inmem\" {}\nlistener \"tcp\" {\n tls_cert_file = \"/a\"\n tls_key_file = \"/b\"\n max_request_size = 1024\n}\nseal \"static\" {\n current_key = \"hunter2canary\"\n current_key_id = \"1\"\n}\n",
            r#"{"storage": {"inmem": {}}, "listener": [{"tcp": {"address": "[::1]:1", "tls_disable": "true"}}], "default_lease_ttl": "10h"}"#,
            "storage \"postgresql\" { connection_url = \"postgres://root:hunter2canary@db/x\" }\nlistener \"tcp\" { tls_disable = 1 }",
            "ui = true\ntelemetry {\n prometheus_retention_time = \"12h\"\n}\ntrail { path = \"/t\" sync = \"each\" }\napi_addr = \"https://a\"",
        ]
        .map(|text| text.as_bytes().to_vec())
        .into()
    },
    run,
};

fn run(data: &[u8]) -> String {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let file = FOLDER.get_or_init(|| TempDir::new().unwrap()).path().join("c.hcl");
    std::fs::write(&file, data).unwrap();
    let load = |paths: &[PathBuf]| match Config::load(paths, &|_| None) {
        Err(error) => error.to_string(),
        Ok(loaded) => {
            assert!(!loaded.config.listeners.is_empty(), "taken without a listener");
            format!("taken with {} warnings", loaded.warnings.len().min(5))
        }
    };
    let told = load(std::slice::from_ref(&file));
    assert!(!told.contains(CANARY) || may_be_a_name(data), "a secret is repeated: {told}");
    assert_eq!(load(std::slice::from_ref(&file)), told, "read twice, it is read in two ways");
    told.replace(&file.display().to_string(), "c.hcl")
}

/// Whether what stands for a secret has come to stand where a key or a label of a block does. Names are told.
fn may_be_a_name(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    text.split(CANARY).skip(1).any(|after| after.contains(['=', '{', ':']))
}

#[test]
fn no_configuration_however_odd_panics_or_gets_a_secret_repeated() {
    let report = drive(&CONFIG, Bound::Executions(1_500), 1).unwrap_or_else(|found| panic!("{found}"));
    assert!(report.outcomes > 10, "{report}");
}
