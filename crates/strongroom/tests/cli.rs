//! The command line as a process, against a server that records what it is sent and answers from a script: which
//! requests a command makes, what it prints, how it ends.

mod fake;

use fake::{Answer, Fake, Home, Recorded};
use serde_json::{Value, json};
use std::os::unix::fs::{MetadataExt, symlink};
use std::sync::Arc;
use strongroom_audit::{Entry, EntryKind, Place, Trail};
use strongroom_model::{Clock, RequestId, Timestamp};

/// Answers as an engine of version 2 at `secret/`; everything else by `then`.
fn versioned(then: impl Fn(&Recorded, usize) -> Answer + Send + Sync + 'static) -> Fake {
    Fake::start(move |request, n| match request.path() {
        path if path.starts_with("/v1/sys/internal/ui/mounts/") => {
            Answer::json(200, json!({"data": {"path": "secret/", "type": "kv", "options": {"version": "2"}}}))
        }
        _ => then(request, n),
    })
}

fn web_secret() -> Value {
    json!({"request_id": "r", "lease_id": "", "lease_duration": 0, "renewable": false, "warnings": null, "data": {
        "data": {"password": "hunter2", "port": 5432},
        "metadata": {"created_time": "2026-11-21T00:00:00Z", "custom_metadata": null, "deletion_time": "", "destroyed": false, "version": 3}}})
}

#[test]
fn a_versioned_secret_is_found_through_its_engine_and_shown_in_sections() {
    let server = versioned(|_, _| Answer::json(200, web_secret()));
    let ran = Home::new().with_env("VAULT_NAMESPACE", "team").run(&server, &["kv", "get", "secret/web"]);
    let expected = "\
= Secret Path =
secret/data/web

======= Metadata =======
Key                Value
---                -----
created_time       2026-11-21T00:00:00Z
custom_metadata    <nil>
deletion_time      n/a
destroyed          false
version            3

====== Data ======
Key         Value
---         -----
password    hunter2
port        5432
";
    assert_eq!((ran.out.as_str(), ran.err.as_str(), ran.code), (expected, "", 0));
    let sent = server.requests();
    assert_eq!(
        sent.iter().map(Recorded::line).collect::<Vec<_>>(),
        ["GET /v1/sys/internal/ui/mounts/secret/web", "GET /v1/secret/data/web"]
    );
    for request in &sent {
        assert_eq!(request.header("x-vault-request"), Some("true"));
        assert_eq!(request.header("x-vault-token"), Some("hvs.env"));
        assert_eq!(request.header("x-vault-namespace"), Some("team/"));
    }
}

#[test]
fn a_field_is_printed_alone_and_an_absent_one_is_a_mistake_of_this_side() {
    let server = versioned(|_, _| Answer::json(200, web_secret()));
    let home = Home::new();
    let ran = home.run(&server, &["kv", "get", "-field=password", "-mount=secret", "web"]);
    assert_eq!((ran.out.as_str(), ran.code), ("hunter2", 0));
    let ran = home.run(&server, &["kv", "get", "-format=json", "-field=data", "secret/web"]);
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap(), json!({"password": "hunter2", "port": 5432}));
    let ran = home.run(&server, &["kv", "get", "-field=nothing", "secret/web"]);
    assert_eq!((ran.out.as_str(), ran.err.as_str(), ran.code), ("", "Field \"nothing\" not present in secret\n", 1));
}

#[test]
fn nothing_there_ends_with_two_and_says_where_it_looked() {
    let server = versioned(|_, _| Answer::json(404, json!({"errors": []})));
    let home = Home::new();
    let ran = home.run(&server, &["kv", "get", "secret/gone"]);
    assert_eq!((ran.err.as_str(), ran.code), ("No value found at secret/data/gone\n", 2));
    let ran = home.run(&server, &["kv", "get", "secret/data/gone"]);
    assert!(ran.err.contains("did you mean `strongroom kv get -mount=secret gone`"), "{}", ran.err);
    let ran = home.run(&server, &["kv", "list", "-format=json", "secret/"]);
    assert_eq!((ran.out.as_str(), ran.code), ("{}\n", 2));
    let ran = home.run(&server, &["read", "secret/data/gone"]);
    assert_eq!((ran.err.as_str(), ran.code), ("No value found at secret/data/gone\n", 2));
}

#[test]
fn a_404_with_a_text_is_what_the_server_says_and_not_an_empty_place() {
    let server = Fake::start(|_, _| Answer::json(404, json!({"errors": ["no namespace \"zz\" here"]})));
    let home = Home::new();
    for line in [
        &["kv", "get", "secret/x"][..],
        &["kv", "get", "-field=a", "secret/x"],
        &["kv", "list", "-format=json", "secret/"],
        &["kv", "put", "secret/x", "a=b"],
        &["kv", "patch", "secret/x", "a=b"],
        &["kv", "delete", "secret/x"],
        &["kv", "metadata", "get", "secret/x"],
        &["read", "sys/nope"],
        &["read", "-format=json", "sys/nope"],
        &["list", "sys/nope"],
        &["list", "-format=json", "sys/nope"],
        &["delete", "sys/nope"],
        &["path-help", "sys/nope"],
        &["token", "lookup"],
        &["policy", "read", "default"],
        &["policy", "list"],
        &["secrets", "list"],
        &["auth", "list"],
        &["audit", "list"],
        &["operator", "key-status"],
        &["lease", "lookup", "a/b"],
        &["lease", "renew", "a/b"],
        &["lease", "revoke", "a/b"],
        &["login", "-no-store", "x"],
    ] {
        let ran = home.run(&server, line);
        assert!(ran.err.contains("Code: 404") && ran.err.contains("no namespace \"zz\" here"), "{line:?}: {}", ran.err);
        assert_eq!((ran.out.as_str(), ran.code), ("", 2), "{line:?}");
    }
    assert!(server.requests().iter().all(|request| request.method == "GET" || !request.path().ends_with("secret/x")));
}

#[test]
fn a_patch_of_what_is_there_no_more_is_told_from_a_patch_in_no_place() {
    let text = json!({"errors": ["no handler"]});
    let server = versioned(move |_, n| Answer::json(404, if n < 2 { json!({"errors": []}) } else { text.clone() }));
    let home = Home::new();
    let ran = home.run(&server, &["kv", "patch", "secret/x", "a=b"]);
    assert!(ran.err.contains("patch only works on existing data") && ran.code == 2, "{}", ran.err);
    let ran = home.run(&server, &["kv", "patch", "secret/x", "a=b"]);
    assert!(ran.err.contains("no handler") && ran.code == 2, "{}", ran.err);
}

#[test]
fn a_deleted_version_still_shows_its_metadata() {
    let deleted = json!({"data": {"data": null, "metadata": {"deletion_time": "2026-11-21T00:00:00Z", "version": 2}}});
    let server = versioned(move |_, _| Answer::json(404, deleted.clone()));
    let home = Home::new();
    let ran = home.run(&server, &["kv", "get", "secret/web"]);
    assert!(ran.out.contains("deletion_time    2026-11-21T00:00:00Z") && !ran.out.contains("= Data ="), "{}", ran.out);
    assert_eq!(ran.code, 0);
    assert_eq!(home.run(&server, &["kv", "get", "-field=password", "secret/web"]).code, 2);
}

#[test]
fn plain_engines_and_old_servers_are_read_as_version_one() {
    let server = Fake::start(|request, _| match request.path() {
        "/v1/sys/internal/ui/mounts/kv/web" => {
            Answer::json(404, json!({"errors": ["1 error occurred:\n\t* unsupported path\n\n"]}))
        }
        _ => Answer::json(200, json!({"data": {"a": "b"}, "lease_duration": 60})),
    });
    let ran = Home::new().run(&server, &["kv", "get", "kv/web"]);
    assert_eq!(ran.out, "== Data ==\nKey    Value\n---    -----\na      b\n");
    assert_eq!(server.requests().last().unwrap().line(), "GET /v1/kv/web");
}

#[test]
fn what_is_written_arrives_as_it_was_typed() {
    let server = versioned(|_, _| Answer::json(200, json!({"data": {"version": 4, "created_time": "now"}})));
    let home = Home::new();
    let line = ["kv", "put", "-cas", "3", "secret/web", "password=-x", "stdin=-", "list=a", "list=b", r"at=\@x"];
    let ran = home.run_with(&server, &line, "from stdin\n");
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(ran.out.starts_with("= Secret Path =\nsecret/data/web\n\n===="), "{}", ran.out);
    let sent = server.requests().pop().unwrap();
    assert_eq!(sent.line(), "PUT /v1/secret/data/web");
    let expected = json!({"data": {"password": "-x", "stdin": "from stdin\n", "list": ["a", "b"], "at": "@x"}, "options": {"cas": 3}});
    assert_eq!(sent.json(), expected);
    let file = home.file("data.json", r#"{"rate": 1.50, "big": 123456789012345678901}"#);
    home.run(&server, &["write", "any/path", &format!("@{file}")]);
    assert_eq!(server.requests().pop().unwrap().body, r#"{"big":123456789012345678901,"rate":1.50}"#);
}

#[test]
fn numbers_of_an_answer_keep_their_text() {
    let server = Fake::start(|_, _| Answer::text(200, r#"{"data": {"big": 123456789012345678901, "rate": 1.50}}"#));
    let home = Home::new();
    let ran = home.run(&server, &["read", "-format=json", "x"]);
    assert!(ran.out.contains("\"big\": 123456789012345678901,\n    \"rate\": 1.50\n"), "{}", ran.out);
    assert_eq!(home.run(&server, &["read", "-field=rate", "x"]).out, "1.50");
    assert_eq!(
        home.run(&server, &["read", "-format=raw", "x"]).out.trim(),
        r#"{"data": {"big": 123456789012345678901, "rate": 1.50}}"#
    );
}

#[test]
fn a_refusal_is_laid_out_as_vaults_and_says_what_to_do() {
    let server = Fake::start(|_, _| Answer::json(403, json!({"errors": ["permission denied"]})));
    let ran = Home::new().run(&server, &["read", "secret/data/x", "version=2"]);
    let base = server.address();
    let expected = format!(
        "Error reading secret/data/x: Error making API request.\n\nURL: GET {base}/v1/secret/data/x\nCode: 403. Errors:\n\n\
         * permission denied\n\nSee what your token may do there: `strongroom token capabilities secret/data/x`.\n"
    );
    assert_eq!((ran.err, ran.out.as_str(), ran.code), (expected, "", 2));
    let ran = Home::new().without_env("VAULT_TOKEN").run(&server, &["read", "x"]);
    assert!(ran.err.contains("No token was sent. Log in with `strongroom login`"), "{}", ran.err);
}

#[test]
fn a_sealed_server_is_named_and_not_asked_again() {
    let server = Fake::start(|_, _| Answer::json(503, json!({"errors": ["Vault is sealed"]})));
    let ran = Home::new().run(&server, &["read", "x"]);
    assert!(ran.err.contains("strongroom operator unseal") && ran.code == 2, "{}", ran.err);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_server_that_is_not_there_is_explained() {
    let home = Home::new();
    let nobody = Fake::address_of_nobody();
    let ran = home.run_at(&nobody, &["read", "x"], "");
    assert_eq!(ran.code, 2);
    assert!(
        ran.err.contains(&format!("nothing listens at {nobody}")) && ran.err.contains("strongroom server -dev"),
        "{}",
        ran.err
    );
    assert_eq!(home.run_at(&nobody, &["status"], "").code, 1);
    let ran = home.run_at("127.0.0.1:8200", &["status"], "");
    assert!(ran.err.contains("has no scheme") && ran.code == 1, "{}", ran.err);
}

#[test]
fn the_wrong_scheme_is_named_in_both_directions() {
    let home = Home::new();
    let plain = Fake::start(|_, _| Answer::json(200, json!({"data": {}})));
    let ran = home.run_at(&plain.address().replace("http:", "https:"), &["read", "x"], "");
    assert!(ran.err.contains(&format!("set VAULT_ADDR={}", plain.address())), "{}", ran.err);
    let tls = Fake::start_tls(|_, _| Answer::json(200, json!({"data": {}})));
    let ran = home.run_at(&tls.address().replace("https:", "http:"), &["read", "x"], "");
    assert!(ran.err.contains(&format!("VAULT_ADDR={}", tls.address())) && ran.code == 2, "{}", ran.err);
}

#[test]
fn a_certificate_is_trusted_when_it_is_named_and_for_its_name_only() {
    let server = Fake::start_tls(|_, _| Answer::json(200, json!({"data": {"a": "b"}})));
    let home = Home::new();
    let read = ["read", "-field=a", "x"];
    let ran = home.run(&server, &read);
    assert!(ran.err.contains("certificate is not trusted") && ran.err.contains("-ca-cert"), "{}", ran.err);
    assert_eq!((ran.out.as_str(), ran.code), ("", 2));
    let named = home.with_env("VAULT_CACERT", &fake::certificate());
    let ran = named.run(&server, &read);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("b", ""));
    let ran = named.run(&server, &["read", "-field=a", "-tls-server-name=other.test", "x"]);
    assert!(ran.err.contains("certificate is not trusted") && ran.code == 2, "{}", ran.err);
    assert_eq!(named.run(&server, &["read", "-field=a", "-tls-server-name=strongroom.test", "x"]).out, "b");
    let ran = Home::new().run(&server, &["read", "-tls-skip-verify", "-field=a", "x"]);
    assert_eq!(ran.out, "b");
    let ran = Home::new().run(&server, &["read", "-ca-cert=/no/such.pem", "x"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
}

#[test]
fn the_state_of_the_server_is_the_exit_code() {
    for (sealed, code) in [(false, 0), (true, 2)] {
        let server = Fake::start(move |request, _| match request.path() {
            "/v1/sys/seal-status" => Answer::json(
                200,
                json!({"type": "shamir", "initialized": true, "sealed": sealed, "t": 3, "n": 5,
                "progress": 0, "nonce": "", "version": "1.16.3", "storage_type": "sqlite"}),
            ),
            _ => Answer::json(200, json!({"ha_enabled": false})),
        });
        let home = Home::new().with_env("VAULT_NAMESPACE", "team");
        let ran = home.run(&server, &["status"]);
        assert_eq!(ran.code, code, "{}", ran.err);
        assert!(
            ran.out.contains(&format!("Sealed             {sealed}"))
                || ran.out.contains(&format!("Sealed          {sealed}")),
            "{}",
            ran.out
        );
        assert!(server.requests().iter().all(|request| request.header("x-vault-namespace").is_none()));
        let ran = home.run(&server, &["status", "-format=json"]);
        assert_eq!(
            (serde_json::from_str::<Value>(&ran.out).unwrap()["sealed"].clone(), ran.code),
            (json!(sealed), code)
        );
    }
}

fn userpass() -> Fake {
    Fake::start(|request, _| match request.path() {
        "/v1/auth/people/login/bob" => Answer::json(
            200,
            json!({"auth": {"client_token": "hvs.new", "accessor": "a", "policies": ["default"],
            "token_policies": ["default"], "lease_duration": 3600, "renewable": true}}),
        ),
        _ => Answer::json(200, json!({"data": {"id": "x"}})),
    })
}

#[test]
fn a_login_takes_the_password_from_standard_input_and_keeps_the_token() {
    let server = userpass();
    let home = Home::new().without_env("VAULT_TOKEN");
    home.file(".vault-token", "hvs.old");
    let ran = home.run_with(&server, &["login", "-method=userpass", "-path=people", "username=bob"], "hunter2\n");
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(ran.out.contains("token                hvs.new"), "{}", ran.out);
    let sent = server.requests().pop().unwrap();
    assert_eq!((sent.line().as_str(), sent.json()), ("PUT /v1/auth/people/login/bob", json!({"password": "hunter2"})));
    assert_eq!(sent.header("x-vault-token"), None, "an old token must not go along");
    let kept = home.path(".vault-token");
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "hvs.new");
    assert_eq!(std::fs::metadata(&kept).unwrap().mode() & 0o777, 0o600);
    home.run(&server, &["token", "lookup"]);
    assert_eq!(server.requests().pop().unwrap().header("x-vault-token"), Some("hvs.new"));
}

#[test]
fn a_login_for_scripts_prints_the_token_and_keeps_nothing() {
    let server = userpass();
    let home = Home::new();
    let ran = home.run_with(
        &server,
        &["login", "-token-only", "-method=userpass", "-path=people", "username=bob", "password=-"],
        "p\n",
    );
    assert_eq!((ran.out.as_str(), ran.code), ("hvs.new", 0));
    assert_eq!(server.requests().pop().unwrap().json(), json!({"password": "p"}));
    assert!(!home.path(".vault-token").exists());
    let ran = home.run(&server, &["login", "-no-store", "-no-print", "x"]);
    assert_eq!(ran.code, 1);
}

#[test]
fn a_wrong_token_is_not_kept() {
    let server = Fake::start(|_, _| Answer::json(403, json!({"errors": ["permission denied"]})));
    let home = Home::new();
    let ran = home.run_with(&server, &["login", "-"], "hvs.wrong\n");
    assert_eq!(ran.code, 2);
    assert!(!home.path(".vault-token").exists() && !ran.err.contains("hvs.wrong"), "{}", ran.err);
    assert_eq!(server.requests().pop().unwrap().header("x-vault-token"), Some("hvs.wrong"));
}

#[test]
fn a_wrapped_login_is_unwrapped_with_its_own_token() {
    let server = Fake::start(|request, _| match request.path() {
        "/v1/sys/wrapping/unwrap" => Answer::json(200, json!({"auth": {"client_token": "hvs.inner"}})),
        _ => Answer::json(200, json!({"wrap_info": {"token": "hvs.wrap", "ttl": 60}})),
    });
    let home = Home::new();
    let ran = home.run(&server, &["login", "-method=approle", "-wrap-ttl=60", "role_id=r", "secret_id=s"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let sent = server.requests();
    assert_eq!(sent[0].header("x-vault-wrap-ttl"), Some("60s"));
    assert_eq!((sent[1].header("x-vault-token"), sent[1].header("x-vault-wrap-ttl")), (Some("hvs.wrap"), None));
    assert_eq!(std::fs::read_to_string(home.path(".vault-token")).unwrap(), "hvs.inner");
}

#[test]
fn an_answer_that_should_have_been_wrapped_is_not_printed() {
    let server = Fake::start(|_, _| Answer::json(200, web_secret()));
    let home = Home::new();
    for line in [
        &["read", "-wrap-ttl=60", "x"][..],
        &["read", "-wrap-ttl=60", "-format=raw", "x"],
        &["write", "-wrap-ttl=60", "-f", "x"],
    ] {
        let ran = home.run(&server, line);
        assert_eq!((ran.out.as_str(), ran.code), ("", 2), "{line:?}");
        assert!(ran.err.contains("-wrap-ttl") && !ran.err.contains("hunter2"), "{}", ran.err);
    }
}

#[test]
fn reads_are_repeated_and_writes_are_not() {
    let busy = |_: &Recorded, n: usize| {
        if n < 2 {
            Answer::json(500, json!({"errors": ["busy"]})).with("retry-after", "0")
        } else {
            Answer::json(200, json!({"data": {"a": "b"}}))
        }
    };
    let server = Fake::start(busy);
    assert_eq!(Home::new().run(&server, &["read", "-field=a", "x"]).out, "b");
    assert_eq!(server.requests().len(), 3);
    let server = Fake::start(busy);
    let ran = Home::new().run(&server, &["write", "x", "a=b"]);
    assert!(ran.code == 2 && ran.err.contains("* busy"), "{}", ran.err);
    assert_eq!(server.requests().len(), 1);
    let server = Fake::start(busy);
    assert_eq!(Home::new().with_env("VAULT_MAX_RETRIES", "0").run(&server, &["read", "x"]).code, 2);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_standby_is_left_for_the_active_server() {
    let active = Fake::start(|_, _| Answer::empty(204));
    let there = active.address();
    let standby =
        Fake::start(move |request, _| Answer::empty(307).with("location", &format!("{there}{}", request.target)));
    let home = Home::new();
    let ran = home.run(&standby, &["write", "x/y", "a=b"]);
    assert_eq!((ran.out.as_str(), ran.code), ("Success! Data written to: x/y\n", 0), "{}", ran.err);
    let sent = active.requests().pop().unwrap();
    assert_eq!(
        (sent.line().as_str(), sent.json(), sent.header("x-vault-token")),
        ("PUT /v1/x/y", json!({"a": "b"}), Some("hvs.env"))
    );
    let ran = home.run(&standby, &["write", "-disable-redirects", "x/y", "a=b"]);
    assert_eq!(active.requests().len(), 1, "{}", ran.err);
}

#[test]
fn a_redirect_out_of_tls_does_not_get_the_token() {
    let plain = Fake::start(|_, _| Answer::empty(204));
    let there = plain.address();
    let server =
        Fake::start_tls(move |request, _| Answer::empty(307).with("location", &format!("{there}{}", request.target)));
    let ran = Home::new().with_env("VAULT_CACERT", &fake::certificate()).run(&server, &["read", "x"]);
    assert!(ran.err.contains("it has no TLS") && ran.code == 2, "{}", ran.err);
    assert!(plain.requests().is_empty());
}

#[test]
fn a_new_server_gives_its_keys_once_in_both_forms() {
    let server = Fake::start(|_, _| {
        Answer::json(200, json!({"keys": ["aa", "bb"], "keys_base64": ["qg==", "uw=="], "root_token": "hvs.root"}))
    });
    let home = Home::new();
    let ran = home.run(&server, &["operator", "init", "-key-shares=2", "-key-threshold=2"]);
    assert!(
        ran.out.starts_with("Unseal Key 1: qg==\nUnseal Key 2: uw==\n\nInitial Root Token: hvs.root\n"),
        "{}",
        ran.out
    );
    assert_eq!(server.requests().pop().unwrap().json(), json!({"secret_shares": 2, "secret_threshold": 2}));
    let ran = home.run(&server, &["operator", "init", "-n", "2", "-t", "2", "-format=json"]);
    let shown: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (&shown["unseal_keys_b64"], &shown["unseal_keys_hex"]),
        (&json!(["qg==", "uw=="]), &json!(["aa", "bb"]))
    );
    assert_eq!((&shown["root_token"], &shown["unseal_threshold"]), (&json!("hvs.root"), &json!(2)));
}

#[test]
fn an_unseal_key_is_read_from_standard_input() {
    let server = Fake::start(|_, _| {
        Answer::json(
            200,
            json!({"type": "shamir", "initialized": true, "sealed": true, "t": 3, "n": 5, "progress": 1, "nonce": "n"}),
        )
    });
    let home = Home::new();
    let ran = home.run_with(&server, &["operator", "unseal"], "qg==\n");
    assert_eq!((ran.code, server.requests().pop().unwrap().json()), (0, json!({"key": "qg=="})));
    assert!(ran.out.contains("Unseal Progress    1/3"), "{}", ran.out);
    home.run(&server, &["operator", "unseal", "-reset"]);
    assert_eq!(server.requests().pop().unwrap().json(), json!({"reset": true}));
    assert_eq!(home.run(&server, &["operator", "unseal", "-non-interactive"]).code, 1);
}

#[test]
fn a_printed_request_is_not_sent() {
    let server = versioned(|_, _| Answer::json(200, json!({})));
    let home = Home::new();
    let ran = home.run(&server, &["kv", "put", "-output-curl-string", "secret/web", "a=it's"]);
    let expected = format!(
        "curl -X PUT -H 'X-Vault-Request: true' -H \"X-Vault-Token: $(strongroom print token)\" \
         -d '{{\"data\":{{\"a\":\"it'\\''s\"}},\"options\":{{}}}}' {}/v1/secret/data/web\n",
        server.address()
    );
    assert_eq!((ran.out, ran.code), (expected, 0));
    let ran = home.run(&server, &["kv", "list", "-output-policy", "secret/"]);
    assert_eq!(ran.out, "path \"secret/metadata\" {\n  capabilities = [\"list\"]\n}\n");
    assert!(server.requests().iter().all(|request| request.path().starts_with("/v1/sys/internal/")));
}

#[test]
fn a_patch_that_is_refused_is_done_by_reading_and_writing() {
    let server = versioned(|request, _| match request.method.as_str() {
        "PATCH" => Answer::json(403, json!({"errors": ["permission denied"]})),
        "GET" => Answer::json(200, web_secret()),
        _ => Answer::json(200, json!({"data": {"version": 4}})),
    });
    let ran = Home::new().run(&server, &["kv", "patch", "-remove-data=port", "secret/web", "user=web"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let sent = server.requests();
    let patch = sent.iter().find(|request| request.method == "PATCH").unwrap();
    assert_eq!(patch.header("content-type"), Some("application/merge-patch+json"));
    assert_eq!(patch.json(), json!({"data": {"user": "web", "port": null}, "options": {}}));
    let written = sent.last().unwrap();
    assert_eq!(written.json(), json!({"data": {"password": "hunter2", "user": "web"}, "options": {"cas": 3}}));
}

#[test]
fn a_rollback_writes_the_old_value_over_the_newest_version() {
    let server = versioned(|request, _| match request.target.as_str() {
        "/v1/secret/data/web?version=1" => {
            Answer::json(200, json!({"data": {"data": {"old": "1"}, "metadata": {"version": 1}}}))
        }
        _ => Answer::json(200, web_secret()),
    });
    let ran = Home::new().run(&server, &["kv", "rollback", "-version=1", "secret/web"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(server.requests().pop().unwrap().json(), json!({"data": {"old": "1"}, "options": {"cas": 3}}));
}

#[test]
fn tokens_are_made_with_every_flag_and_stand_in_no_path() {
    let server = Fake::start(|_, _| Answer::json(200, json!({"auth": {"client_token": "hvs.t"}})));
    let home = Home::new();
    let line = [
        "token",
        "create",
        "-policy=a,b",
        "-policy",
        "c",
        "-ttl=90",
        "-explicit-max-ttl=1h",
        "-period=1d",
        "-renewable=false",
        "-orphan",
        "-no-default-policy",
        "-use-limit=3",
        "-display-name=d",
        "-metadata=k=v",
        "-type=service",
        "-field=token",
    ];
    assert_eq!(home.run(&server, &line).out, "hvs.t");
    let sent = server.requests().pop().unwrap();
    assert_eq!(sent.line(), "POST /v1/auth/token/create");
    assert_eq!(
        sent.json(),
        json!({"policies": ["a", "b", "c"], "ttl": "90s", "explicit_max_ttl": "1h", "period": "1d", "renewable": false,
        "no_parent": true, "no_default_policy": true, "num_uses": 3, "display_name": "d", "meta": {"k": "v"}, "type": "service"})
    );
    home.run(&server, &["token", "revoke", "hvs.x"]);
    home.run(&server, &["token", "revoke", "-self"]);
    home.run(&server, &["token", "revoke", "-accessor", "acc"]);
    home.run(&server, &["token", "lookup", "-accessor", "acc"]);
    home.run(&server, &["token", "renew", "-increment=1h"]);
    let sent: Vec<String> =
        server.requests().iter().skip(1).map(|request| format!("{} {}", request.line(), request.body)).collect();
    assert_eq!(
        sent,
        [
            r#"PUT /v1/auth/token/revoke {"token":"hvs.x"}"#,
            "PUT /v1/auth/token/revoke-self {}",
            r#"PUT /v1/auth/token/revoke-accessor {"accessor":"acc"}"#,
            r#"POST /v1/auth/token/lookup-accessor {"accessor":"acc"}"#,
            r#"PUT /v1/auth/token/renew-self {"increment":"1h"}"#,
        ]
    );
}

#[test]
fn every_other_noun_goes_to_its_address() {
    let server = Fake::start(|request, _| match request.path() {
        "/v1/sys/remount" => Answer::json(200, json!({"data": {"migration_id": "m"}})),
        "/v1/sys/remount/status/m" => Answer::json(200, json!({"data": {"migration_info": {"status": "success"}}})),
        _ => Answer::empty(204),
    });
    let home = Home::new();
    let table: &[(&[&str], &str)] = &[
        (&["policy", "write", "Web", "-"], r#"PUT /v1/sys/policies/acl/web {"policy":"path \"x\" {}"}"#),
        (&["policy", "delete", "web"], "DELETE /v1/sys/policies/acl/web "),
        (
            &["secrets", "enable", "-path=team/", "-version=2", "kv"],
            r#"POST /v1/sys/mounts/team {"options":{"version":"2"},"type":"kv"}"#,
        ),
        (&["secrets", "disable", "team/"], "DELETE /v1/sys/mounts/team "),
        (&["secrets", "tune", "-max-lease-ttl=2h", "team"], r#"POST /v1/sys/mounts/team/tune {"max_lease_ttl":"2h"}"#),
        (&["secrets", "move", "a", "b"], "GET /v1/sys/remount/status/m "),
        (&["kv", "enable-versioning", "kv/"], r#"POST /v1/sys/mounts/kv/tune {"options":{"version":"2"}}"#),
        (
            &["auth", "enable", "-path=people", "-description=d", "userpass"],
            r#"POST /v1/sys/auth/people {"description":"d","type":"userpass"}"#,
        ),
        (&["auth", "disable", "people"], "DELETE /v1/sys/auth/people "),
        (&["auth", "tune", "-token-type=batch", "people"], r#"POST /v1/sys/auth/people/tune {"token_type":"batch"}"#),
        (
            &["auth", "tune", "-user-lockout-threshold=10", "-user-lockout-duration=10m", "people"],
            r#"POST /v1/sys/auth/people/tune {"user_lockout_config":{"lockout_duration":"10m","lockout_threshold":"10"}}"#,
        ),
        (
            &["auth", "tune", "-user-lockout-counter-reset-duration=-1", "-user-lockout-disable=false", "people"],
            r#"POST /v1/sys/auth/people/tune {"user_lockout_config":{"lockout_counter_reset_duration":"system","lockout_disable":false}}"#,
        ),
        (
            &["auth", "enable", "-user-lockout-disable", "userpass"],
            r#"POST /v1/sys/auth/userpass {"config":{"user_lockout_config":{"lockout_disable":true}},"type":"userpass"}"#,
        ),
        (
            &["secrets", "tune", "-default-lease-ttl", "-1", "team"],
            r#"POST /v1/sys/mounts/team/tune {"default_lease_ttl":"system"}"#,
        ),
        (
            &["audit", "enable", "file", "file_path=/a"],
            r#"PUT /v1/sys/audit/file {"options":{"file_path":"/a"},"type":"file"}"#,
        ),
        (&["audit", "disable", "file/"], "DELETE /v1/sys/audit/file "),
        (&["lease", "revoke", "-sync", "a/b"], r#"PUT /v1/sys/leases/revoke {"lease_id":"a/b","sync":true}"#),
        (&["lease", "revoke", "-prefix", "a/"], r#"PUT /v1/sys/leases/revoke-prefix/a {"sync":false}"#),
        (
            &["lease", "renew", "-increment=60", "a/b"],
            r#"PUT /v1/sys/leases/renew {"increment":"60s","lease_id":"a/b"}"#,
        ),
        (&["operator", "seal"], "PUT /v1/sys/seal "),
        (&["operator", "step-down"], "PUT /v1/sys/step-down "),
        (&["delete", "x/y", "version=1"], "DELETE /v1/x/y?version=1 "),
        (&["patch", "x/y", "a=b"], r#"PATCH /v1/x/y {"a":"b"}"#),
        (&["write", "-f", "x/y"], "PUT /v1/x/y {}"),
        (&["unwrap", "hvs.w"], "PUT /v1/sys/wrapping/unwrap "),
    ];
    for (line, expected) in table {
        let ran = home.run_with(&server, line, "path \"x\" {}");
        let sent = server.requests().pop().unwrap();
        assert_eq!(format!("{} {}", sent.line(), sent.body), *expected, "{line:?}: {}", ran.err);
        assert_eq!(ran.code, 0, "{line:?}: {}", ran.err);
        assert!(!ran.out.is_empty(), "{line:?} says nothing");
    }
    assert_eq!(server.requests().pop().unwrap().header("x-vault-token"), Some("hvs.w"));
}

#[test]
fn an_answer_of_the_trail_is_shown_in_the_zone_by_field_and_with_what_the_server_says_beside_it() {
    let entries = json!([
        {"time": "2026-04-10T14:00:00.5Z", "principal": "web", "operation": "read", "result": "ok", "version": 2},
        {"time": "2026-12-31T23:30:00Z", "principal": "cron", "operation": "read", "result": "ok"},
    ]);
    let body = json!({
        "request": "r", "data": {"entries": entries, "next": null, "end": 9}, "warnings": ["nobody is called `wbe`"],
    });
    let server = Fake::start(move |_, _| Answer::json(200, body.clone()));
    let home = Home::new();
    let ran = home.run(&server, &["audit", "query", "-principal=web,wbe", "-tz=Europe/Berlin"]);
    assert!(
        ran.out.contains("2026-04-10T16:00:00.5+02:00") && ran.out.contains("2027-01-01T00:30:00+01:00"),
        "{}",
        ran.out
    );
    assert!(ran.err.contains("nobody is called `wbe`") && ran.code == 0, "{} {}", ran.code, ran.err);
    let ran = home.run(&server, &["audit", "query", "-tz=Europe/Berlin", "-format=json"]);
    assert!(ran.out.contains("2026-04-10T14:00:00.5Z"), "{}", ran.out);
    let ran = home.run(&server, &["audit", "query", "-field=version"]);
    assert_eq!((ran.out.as_str(), ran.code), ("2\n\n", 0), "{}", ran.err);
    let ran = home.run(&server, &["audit", "query", "-field=vresion"]);
    assert_eq!((ran.out.as_str(), ran.code), ("", 1));
    assert!(ran.err.contains("Field \"vresion\" not present in entries"), "{}", ran.err);
    let asked = server.requests().len();
    for line in [&["audit", "query", "-source=nowhere"][..], &["revoke", "-source=nowhere", "-reason=x"]] {
        let ran = home.run(&server, line);
        assert!(ran.code == 1 && ran.err.contains("flag -source is "), "{line:?}: {}", ran.err);
    }
    assert_eq!(server.requests().len(), asked);
}

/// `-field` was taken, and everything printed all the same.
#[test]
fn answers_that_list_things_give_one_field_of_each() {
    let server = Fake::start(|request, _| {
        let data = match request.path() {
            path if path.contains("who-reads") => json!({
                "path": "secret/data/a",
                "consumers": [{"principal": "web", "reads": 2, "last_version": 3}, {"principal": "cron", "reads": 1}],
            }),
            path if path.contains("reads-what") => {
                json!({"uses": [{"path": "secret/data/a"}, {"path": "secret/data/b"}]})
            }
            path if path.contains("review") => json!({
                "secrets": 5, "limits": ["rules are left out"],
                "unused_secrets": [{"path": "secret/data/a", "last_read": "2026-04-10T14:00:00Z"}, {"path": "secret/data/b"}],
                "unused_rules": [], "unused_access": [{"principal": "billing", "paths": ["secret/data/c"]}],
            }),
            path if path.contains("incidents/") => json!({"id": "i-1", "state": "done"}),
            path if path.contains("drills/history") => json!({"path": "secret/data/a", "drills": []}),
            _ => json!({"incidents": []}),
        };
        Answer::json(200, json!({ "data": data }))
    });
    let home = Home::new();
    for (line, expected, code) in [
        (&["who-reads", "-field=principal", "secret/a"][..], "web\ncron\n", 0),
        (&["who-reads", "-field=last_version", "secret/a"], "3\n\n", 0),
        (&["who-reads", "-field=principal", "-format=json", "secret/a"], "\"web\"\n\"cron\"\n", 0),
        (&["who-reads", "-field=path", "secret/a"], "secret/data/a", 0),
        (&["who-reads", "-field=principle", "secret/a"], "", 1),
        (&["reads-what", "-field=path", "web"], "secret/data/a\nsecret/data/b\n", 0),
        (&["review", "-field=path"], "secret/data/a\nsecret/data/b\n", 0),
        (&["review", "-field=principal", "-format=markdown"], "billing\n", 0),
        (&["review", "-field=secrets"], "5", 0),
        (&["review", "-field=nothing"], "", 1),
        (&["incident", "list", "-field=id"], "", 2),
        (&["incident", "show", "-field=state", "i-1"], "done", 0),
        (&["incident", "show", "-field=stat", "i-1"], "", 1),
        (&["incident", "lift", "-field=state", "-reason=over", "i-1"], "done", 0),
        (&["drill", "history", "-field=path", "secret/a"], "secret/data/a", 0),
    ] {
        let ran = home.run(&server, line);
        assert_eq!((ran.out.as_str(), ran.code), (expected, code), "{line:?}: {}", ran.err);
    }
    assert!(home.run(&server, &["review", "-field=path"]).err.contains("rules are left out"));
}

#[test]
fn mistakes_in_the_line_end_with_one_and_repeat_no_value() {
    let server = Fake::start(|_, _| Answer::empty(204));
    let home = Home::new();
    let lines: &[&[&str]] = &[
        &["kv", "put", "secret/x"],
        &["kv", "put", "secret/x", "hunter2"],
        &["write", "x", "-pasword=hunter2"],
        &["nonsense"],
        &["kv"],
        &["read"],
        &["read", "-format=xml", "x"],
        &["token", "create", "-ttl=hunter2-hunter2"],
        &["auth", "tune", "-user-lockout-threshold=-1", "people"],
        &["auth", "tune", "-user-lockout-duration=-hunter2-hunter2", "people"],
        &["secrets", "tune", "-user-lockout-disable", "team"],
        &["server"],
    ];
    for line in lines {
        let ran = home.run(&server, line);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{line:?}");
        assert!(
            !ran.err.is_empty() && !ran.err.contains("hunter2-hunter2") && !ran.err.contains("hunter2\n"),
            "{line:?}: {}",
            ran.err
        );
    }
    assert!(server.requests().is_empty());
}

#[test]
fn help_and_version_need_no_server() {
    let home = Home::new();
    let nobody = Fake::address_of_nobody();
    for line in [&["-h"][..], &["kv", "-h"], &["kv", "get", "--help"], &["help"]] {
        let ran = home.run_at(&nobody, line, "");
        assert!(ran.code == 0 && ran.out.starts_with("Usage: strongroom"), "{line:?}: {}", ran.err);
    }
    let ran = home.run_at(&nobody, &["version"], "");
    assert!(ran.out.starts_with("Strongroom v"), "{}", ran.out);
    let link = home.path("vault");
    symlink(env!("CARGO_BIN_EXE_strongroom"), &link).unwrap();
    let vault = std::process::Command::new(link).arg("-version").output().unwrap();
    let text = String::from_utf8(vault.stdout).unwrap();
    assert_eq!(text.split_whitespace().nth(1), Some("v1.16.3"), "{text}");
}

#[test]
fn a_socket_on_this_machine_can_be_the_address() {
    let home = Home::new();
    let server = Fake::start_on_socket(&home.path("s.sock"), |_, _| Answer::json(200, json!({"data": {"a": "b"}})));
    assert_eq!(home.run(&server, &["read", "-field=a", "x"]).out, "b");
}

#[test]
fn an_address_may_have_a_prefix() {
    let server = Fake::start(|_, _| Answer::json(200, json!({"data": {"a": "b"}})));
    let ran = Home::new().run_at(&format!("{}/team/vault/", server.address()), &["read", "-field=a", "a b"], "");
    assert_eq!((ran.out.as_str(), server.requests().pop().unwrap().line().as_str()), ("b", "GET /team/vault/v1/a%20b"));
}

#[test]
fn a_policy_file_is_reshaped_in_place() {
    let home = Home::new();
    let file = home.file("p.hcl", "path \"x\" {\ncapabilities=[\"read\"]\n}\n");
    let ran = home.run_at(&Fake::address_of_nobody(), &["policy", "fmt", &file], "");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "path \"x\" {\n  capabilities = [\"read\"]\n}\n");
}

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_795_262_400)
    }
}

#[test]
fn a_trail_that_was_changed_is_found_without_a_server() {
    let home = Home::new();
    let folder = home.path("trail");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let trail = Trail::open(Place::Folder(folder.clone()), Arc::new(Noon)).await.unwrap();
        let id = RequestId::from_bytes([7; 16]);
        trail.append(Entry::new(EntryKind::Outcome, id, "vault", "read", "secret/x")).await.unwrap();
        trail.close().await;
    });
    let (nobody, folder) = (Fake::address_of_nobody(), folder.display().to_string());
    let ran = home.run_at(&nobody, &["audit", "verify", &folder], "");
    assert_eq!(ran.code, 0, "{} {}", ran.out, ran.err);
    let segment = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let segment = segment.filter(|path| path.extension().is_some_and(|end| end == "jsonl")).min().unwrap();
    let text = std::fs::read_to_string(&segment).unwrap();
    std::fs::write(&segment, text.replacen("\"seq\":0", "\"seq\":1", 1)).unwrap();
    let ran = home.run_at(&nobody, &["audit", "verify", "-format=json", &folder], "");
    assert_eq!(ran.code, 2, "{}", ran.out);
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap()["first_bad"]["line"], json!(1));
    assert!(ran.err.contains("does not hold at line 1"), "{}", ran.err);
    assert_eq!(home.run_at(&nobody, &["audit", "verify", "-key=12", &folder], "").code, 1);
}
