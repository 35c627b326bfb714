//! What a plan may name, and what it gives to whom.

use super::case::{Case, FIRST, Outside};
use crate::house::House;
use serde_json::json;
use std::sync::Arc;

#[tokio::test]
async fn a_plan_names_a_secret_that_is_there_and_that_its_writer_may_read() {
    let case = Case::straight(Outside::redis().await, "single").await;
    let missing = case.ask("POST", "schedule", Some(json!({"admin": "app/none"}))).await;
    assert!(missing.status.is_client_error() && missing.text.contains("secret/app/none"), "{}", missing.text);
    let operator = case.house.server.operator();
    let rules = r#"path "secret/data/app/db" { capabilities = ["update"] }"#;
    operator.post("sys/policies/acl/writer", json!({"policy": rules})).await.expect(204);
    let token = operator.post("auth/token/create", json!({"policies": ["writer"]})).await.expect(200);
    let token = token.text_at("/auth/client_token");
    for path in ["app/admin", "app/none"] {
        let body = json!({"admin": path}).to_string().into_bytes();
        let headers = [("X-Vault-Token", token.as_str())];
        let answer =
            case.house.server.send_raw("POST", "/api/v1/rotation/schedule/secret/app/db", &headers, body).await;
        assert_eq!(answer.status, 403, "{}", answer.text);
        assert!(answer.text.contains(&format!("secret/data/{path}, which you may not read")), "{}", answer.text);
    }
    // What it was before, it still is.
    let plan = case.ask("GET", "status", None).await.expect(200);
    assert_eq!(plan.at("/data/plan/admin"), "app/admin");
    case.rotate().await;
    case.is_well("after plans that were refused").await;
}

impl Case {
    /// Somebody who may write the secret, and read it, but not what holds the login that may change others.
    pub(crate) async fn writer(&self) -> String {
        let operator = self.house.server.operator();
        let rules = r#"path "secret/data/app/db" { capabilities = ["create", "update", "read"] }"#;
        operator.post("sys/policies/acl/writer", json!({"policy": rules})).await.expect(204);
        let made = operator.post("auth/token/create", json!({"policies": ["writer"]})).await.expect(200);
        made.text_at("/auth/client_token")
    }

    /// What the writer does: names another login, or another place.
    pub(crate) async fn rename(&self, token: &str, changes: &[(&str, &str)]) {
        let operator = self.house.server.operator();
        let mut login = operator.get("secret/data/app/db").await.expect(200).at("/data/data").clone();
        for (field, text) in changes {
            login[*field] = json!(text);
        }
        let headers = [("X-Vault-Token", token)];
        let body = json!({"data": login}).to_string().into_bytes();
        self.house.server.send_raw("POST", "/v1/secret/data/app/db", &headers, body).await.expect(200);
    }

    /// What the writer begins ends before anything is done outside.
    pub(crate) async fn is_refused(&self, token: &str) {
        let headers = [("X-Vault-Token", token)];
        let path = "/api/v1/rotation/start/secret/app/db";
        self.house.server.send_raw("POST", path, &headers, Vec::new()).await.expect(200);
        self.to_the_end().await;
        let last = self.history().await.remove(0);
        let why = last["outcome"]["why"].as_str().unwrap_or_default();
        assert_eq!(last["outcome"]["phase"], "creating", "{}: {last}", self.way);
        assert!(why.contains("was written for") && why.contains("rotate schedule -admin="), "{why}");
    }
}

#[tokio::test]
async fn who_may_only_write_a_secret_gets_no_login_but_the_one_that_its_plan_was_written_for() {
    for way in ["single", "alternating", "new-user"] {
        let house = House::open().await;
        let outside = Outside::Postgres(Arc::clone(&house.postgres));
        let case = Case::straight(outside, way).await;
        let (writer, boss) = (case.writer().await, format!("boss{}", case.house.role));
        case.outside.make(&boss, "b0ss-canary");
        let of_boss = (boss.clone(), "b0ss-canary".to_owned());
        case.rename(&writer, &[("username", &boss), ("password", "x")]).await;
        case.is_refused(&writer).await;
        // Nor does who may plan hand it over by changing something else about the plan.
        let other = case.ask("POST", "schedule", Some(json!({"schedule": "rate(10 days)"}))).await;
        assert!(other.status.is_client_error() && other.text.contains("was written for"), "{}", other.text);
        case.rename(&writer, &[("username", &case.name), ("password", FIRST), ("dbname", "postgres")]).await;
        case.is_refused(&writer).await;
        assert!(case.works(&of_boss).await, "{way}");
        case.rename(&writer, &[("dbname", "app")]).await;
        case.rotate().await;
        case.rotate().await;
        case.is_well("after what was refused").await;
        // Who may plan says that it is for another login from now on.
        case.rename(&writer, &[("username", &boss), ("password", "b0ss-canary")]).await;
        case.ask("POST", "schedule", Some(json!({"admin": "app/admin"}))).await.expect(200);
        let now = case.rotate().await;
        assert!(case.works(&now).await && now.1 != "b0ss-canary", "{way}");
    }
}

#[tokio::test]
async fn the_login_that_may_change_others_is_never_changed_by_itself() {
    for way in ["single", "alternating"] {
        let house = House::open().await;
        let outside = Outside::Postgres(Arc::clone(&house.postgres));
        let case = Case::straight(outside, way).await;
        let admin = case.outside.admin();
        let writer = case.writer().await;
        case.rename(&writer, &[("username", admin.username), ("password", admin.password)]).await;
        case.is_refused(&writer).await;
        let answer = case.ask("POST", "schedule", Some(json!({"admin": "app/admin"}))).await;
        assert!(answer.status.is_client_error() && answer.text.contains("locked out"), "{}", answer.text);
        assert!(case.works(&(admin.username.to_owned(), admin.password.to_owned())).await);
    }
}

#[tokio::test]
async fn a_function_that_prints_what_it_was_given_puts_its_credentials_nowhere() {
    let case = Case::straight(Outside::redis().await, "single").await;
    let plan = json!({"method": "function:leaky", "options": {}, "admin": ""});
    case.ask("POST", "schedule", Some(plan)).await.expect(200);
    case.ask("POST", "start", None).await.expect(200);
    case.settle().await;
    let running = case.running().await.expect("it is tried again");
    case.to_the_end().await;
    let status = case.ask("GET", "status", None).await.expect(200).text;
    let entries = format!("{:?}", case.house.server.world.entries().await);
    for said in [running["error"].as_str().unwrap(), &status, &entries, &format!("{:?}", case.history().await)] {
        let said = said.replace('\\', "");
        assert!(said.contains("leaking"), "{said}");
        for told in said.split("leaking").skip(1) {
            let told = told.split("SECRETS_MANAGER_ENDPOINT").next().unwrap();
            assert!(told.starts_with(r#" ":"***" "#), "{told}");
            assert!(told.ends_with(r#"AWS_SECRET_ACCESS_KEY":"***","AWS_SESSION_TOKEN":"***",""#), "{told}");
        }
    }
}
