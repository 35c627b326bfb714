//! The AWS door from outside: every operation of every table, by nobody, by a stranger, on a sealed server; and that the
//! manual names each. What clients see when they are let in is tested with the clients themselves (`tests/test_aws_*.py`).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use async_trait::async_trait;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use strongroom_api::{Limits, walk_operations};
use strongroom_core::{Init, SlotSpec};
use strongroom_storage::{Entry, Front, Fronted, Memory, Store, StoreError};
use strongroom_testkit::{Answer, AwsClient, TestServer, World};

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";

/// Calls an operation of a service, signed by somebody if there is a signature.
async fn call(server: &TestServer, service: &str, name: &str, signature: Option<&str>) -> Answer {
    let scope = match service {
        "AmazonSSM" => "ssm",
        other => other,
    };
    let stamp = server.world.strongroom.clock().now().to_string();
    let stamp: String =
        stamp.split('.').next().unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).collect();
    let stamp = format!("{}Z", stamp.trim_end_matches('Z'));
    let day = stamp.get(..8).unwrap_or_default().to_owned();
    let target = format!("{service}.{name}");
    let authorization = signature.map(|signature| {
        let signed = if service == "sts" { "host;x-amz-date" } else { "host;x-amz-date;x-amz-target" };
        format!("AWS4-HMAC-SHA256 Credential={KEY}/{day}/us-east-1/{scope}/aws4_request, SignedHeaders={signed}, Signature={signature}")
    });
    let mut headers = vec![("x-amz-date", stamp.as_str())];
    headers.extend(authorization.as_deref().map(|text| ("authorization", text)));
    if service == "sts" {
        headers.push(("content-type", "application/x-www-form-urlencoded"));
        return server.send_raw("POST", "/", &headers, format!("Action={name}&Version=2011-06-15").into_bytes()).await;
    }
    headers.push(("x-amz-target", &target));
    headers.push(("content-type", "application/x-amz-json-1.1"));
    let body = json!({ "SecretId": "there", "Name": "there", "ClientRequestToken": "x".repeat(36) });
    server.send_raw("POST", "/", &headers, body.to_string().into_bytes()).await
}

async fn furnished() -> TestServer {
    let server = TestServer::open().await;
    server.operator().post("secret/data/there", json!({"data": {"a": "canary"}})).await.expect(200);
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_and_no_stranger_gets_anything_or_changes_anything() {
    let server = furnished().await;
    let before = server.world.snapshot().await;
    let forged = "0".repeat(64);
    for signature in [None, Some("00"), Some(forged.as_str())] {
        for (service, name) in walk_operations() {
            let recorded = server.world.outcomes().await.len();
            let answer = call(&server, service, name, signature).await;
            assert!(matches!(answer.status.as_u16(), 400 | 403), "{service} {name}: {} {}", answer.status, answer.text);
            assert!(
                !answer.text.contains("canary") && answer.headers.contains_key("x-amzn-requestid"),
                "{}",
                answer.text
            );
            let expected: &[&str] = match (signature, name) {
                (None, "AssumeRoleWithWebIdentity") => &["ValidationError"],
                (None, _) => &["MissingAuthenticationToken"],
                (Some(_), _) => &["UnrecognizedClientException", "InvalidClientTokenId"],
            };
            assert!(expected.iter().any(|code| answer.text.contains(code)), "{service} {name}: {}", answer.text);
            assert_eq!(server.world.outcomes().await.len() - recorded, 1, "one outcome for {service} {name}");
        }
    }
    assert!(server.world.snapshot().await == before, "a refused request changed the store");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_server_answers_that_it_is_out_of_service() {
    let (world, ..) = World::sealed().await;
    let server = TestServer::start(world, Limits::default()).await;
    for (service, name) in walk_operations() {
        let answer = call(&server, service, name, Some("00")).await;
        assert_eq!(answer.status, 503, "{service} {name}: {}", answer.text);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_request_of_aws_goes_where_it_went() {
    let server = furnished().await;
    server.send_raw("GET", "/", &[], Vec::new()).await.expect(404);
    let answer = server.send_raw("POST", "/", &[("x-amz-target", "secretsmanager")], Vec::new()).await;
    assert!(answer.status == 400 && answer.text.contains("InvalidAction"), "{}", answer.text);
    let answer = server.send_raw("POST", "/", &[("x-amz-target", "dynamodb.Scan")], b"{}".to_vec()).await;
    assert_eq!(answer.at("/__type"), &Value::from("UnknownOperationException"), "{}", answer.text);
    server.stop().await;
}

/// Counts the records that are read out of a store.
struct Counting {
    inner: Memory,
    read: AtomicUsize,
}

impl Counting {
    fn count(&self, records: usize) {
        self.read.fetch_add(records, Ordering::SeqCst);
    }
}

#[async_trait]
impl Front for Counting {
    fn behind(&self) -> &dyn Store {
        &self.inner
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        self.count(1);
        self.inner.get(key).await
    }

    async fn list(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let rows = self.inner.list(prefix, after, limit).await?;
        self.count(rows.len());
        Ok(rows)
    }
}

/// A client with a key that may do anything.
struct Client<'a> {
    server: &'a TestServer,
    signing: AwsClient,
}

impl<'a> Client<'a> {
    async fn new(server: &'a TestServer) -> Self {
        Self { server, signing: AwsClient::new(server, "all", &["root"]).await }
    }

    async fn call(&self, service: &str, name: &str, body: &Value) -> Value {
        let answer = self.signing.call(self.server, &format!("{service}.{name}"), body).await;
        assert_eq!(answer.status, 200, "{service}.{name}: {}", answer.text);
        answer.body
    }

    /// The names of all pages, and how many records each page cost.
    async fn pages(
        &self,
        store: &Counting,
        operation: (&str, &str),
        body: Value,
        list: &str,
    ) -> (Vec<String>, Vec<usize>) {
        let (mut names, mut costs, mut body) = (Vec::new(), Vec::new(), body);
        loop {
            let before = store.read.load(Ordering::SeqCst);
            let page = self.call(operation.0, operation.1, &body).await;
            costs.push(store.read.load(Ordering::SeqCst) - before);
            names.extend(page[list].as_array().unwrap().iter().map(|one| one["Name"].as_str().unwrap().to_owned()));
            match page["NextToken"].as_str() {
                Some(next) => body["NextToken"] = json!(next),
                None => return (names, costs),
            }
            assert!(costs.len() < 2_000, "there is no end of pages");
        }
    }
}

/// 5,000 secrets, in folders and outside of them.
const MANY: usize = 5_000;

fn name(number: usize) -> String {
    match number % 4 {
        0 => format!("s{number:04}"),
        1 => format!("team-{}/s{number:04}", number % 100),
        2 => format!("big/s{number:04}"),
        _ => format!("big/deep/er-{}/s{number:04}", number % 10),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_page_of_five_thousand_costs_what_the_second_does() {
    let store = Arc::new(Fronted(Counting { inner: Memory::new(), read: AtomicUsize::new(0) }));
    let world = World::over(Arc::clone(&store) as Arc<dyn Store>).await;
    let init = Init { slots: vec![SlotSpec::Shamir { shares: 1, threshold: 1 }] };
    let root = world.strongroom.init_dev(init, None).await.unwrap().root.client_token;
    let mut server = TestServer::start(world, Limits::default()).await;
    server.root = root.expose().to_owned();
    for number in 0..MANY {
        let path = format!("secret/data/{}", name(number));
        server.operator().post(&path, json!({"data": {"value": "x"}})).await.expect(200);
    }
    let client = Client::new(&server).await;
    let mut expected: Vec<String> = (0..MANY).map(name).collect();
    expected.sort();

    let is_even = |costs: &[usize], most: usize| {
        assert!(costs.iter().all(|cost| *cost <= most), "pages cost {costs:?}");
    };
    for (body, sorted) in [
        (json!({"MaxResults": 100}), false),
        (json!({"MaxResults": 100, "SortBy": "name", "SortOrder": "asc"}), true),
        (json!({"MaxResults": 100, "Filters": [{"Key": "name", "Values": ["s", "team", "big"]}]}), false),
    ] {
        let (mut names, costs) = client.pages(&store, ("secretsmanager", "ListSecrets"), body, "SecretList").await;
        assert!(!sorted || names == expected);
        names.sort();
        assert_eq!(names, expected, "each once");
        // The list is made once, with the first page.
        is_even(&costs[1..], 300);
    }

    let kv = json!({"type": "kv", "options": {"version": "2"}});
    server.operator().post("sys/mounts/parameter", kv).await.expect(204);
    let mut expected: Vec<String> = (0..MANY / 5).map(|number| format!("/{}", name(number))).collect();
    for path in &expected {
        let path = format!("parameter/data{path}");
        server.operator().post(&path, json!({"data": {"value": "x"}})).await.expect(200);
    }
    expected.sort();
    for (operation, body) in [
        ("DescribeParameters", json!({"MaxResults": 50})),
        ("GetParametersByPath", json!({"Path": "/", "Recursive": true, "MaxResults": 10})),
    ] {
        let (mut names, costs) = client.pages(&store, ("AmazonSSM", operation), body, "Parameters").await;
        names.sort();
        assert_eq!(names, expected, "{operation}: each once");
        // The first page looks at the beginning of the list besides, to see whether it is short; how much lies there is
        // another in each store.
        is_even(&costs[..1], 1_000);
        is_even(&costs[1..], 300);
    }
    for (body, wanted) in [
        (json!({"Path": "/big"}), "/big/s"),
        (json!({"Path": "/big/deep", "Recursive": true}), "/big/deep/"),
        (json!({"Path": "/team-1/", "Recursive": true}), "/team-1/"),
    ] {
        let (mut names, _) = client.pages(&store, ("AmazonSSM", "GetParametersByPath"), body, "Parameters").await;
        names.sort();
        let expected: Vec<&String> = expected.iter().filter(|name| name.starts_with(wanted)).collect();
        assert_eq!(names.iter().collect::<Vec<_>>(), expected, "{wanted}");
    }
    let mut spent = Vec::new();
    for (values, option, count) in
        [("/s0004", "Equals", 1), ("/big/s", "BeginsWith", 250), ("/big/s", "Contains", 250), ("s0", "Contains", 1_000)]
    {
        let body =
            json!({"ParameterFilters": [{"Key": "Name", "Option": option, "Values": [values]}], "MaxResults": 50});
        let (names, costs) = client.pages(&store, ("AmazonSSM", "DescribeParameters"), body, "Parameters").await;
        assert_eq!(names.len(), count, "{values}");
        spent.push(costs.iter().sum::<usize>());
    }
    // A beginning leads to its folder, where half of the names are; where the pages meet in it, and what is read again
    // there, is another in each store.
    let is_cheap = matches!(spent[..], [one, begun, held, all] if one <= 20 && begun <= 1_600 && begun * 4 < held * 3 && all <= 9_000);
    assert!(is_cheap, "{spent:?}");
    server.stop().await;
}

/// What waits for the webhook, oldest first, as (event, version).
async fn told(server: &TestServer, after: &mut String) -> Vec<(String, u64)> {
    let query = format!("/api/v1/events?type=parameter-reminder&wait=0s&after={after}");
    let headers = [("X-Vault-Token", server.root.as_str())];
    let answer = server.send_raw("GET", &query, &headers, Vec::new()).await.expect(200);
    let events = answer.at("/data/events").as_array().unwrap().clone();
    *after = answer.text_at("/data/after");
    let one = |event: &Value| (event["detail"].as_str().unwrap().to_owned(), event["version"].as_u64().unwrap());
    events.iter().map(one).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_policies_of_a_parameter_want_told_is_told_once_and_of_the_newest_version_only() {
    let server = TestServer::open().await;
    server
        .operator()
        .post("sys/mounts/parameter", json!({"type": "kv", "options": {"version": "2"}}))
        .await
        .expect(204);
    let headers = [("X-Vault-Token", server.root.as_str()), ("content-type", "application/json")];
    let hook = json!({"url": "http://127.0.0.1:9/x", "topics": ["parameter"], "internal": true}).to_string();
    server.send_raw("POST", "/api/v1/webhooks/ops", &headers, hook.into_bytes()).await.expect(200);
    let client = Client::new(&server).await;
    let (now, day) = (server.world.strongroom.clock().now(), Duration::from_secs(86_400));
    let policy = |kind: &str, attributes: Value| json!({"Type": kind, "Version": "1.0", "Attributes": attributes});
    let end = now.plus(day * 30).to_string();
    let policies = json!([
        policy("Expiration", json!({"Timestamp": end})),
        policy("ExpirationNotification", json!({"Before": "5", "Unit": "Days"})),
        policy("NoChangeNotification", json!({"After": "240", "Unit": "Hours"})),
    ]);
    let mut put = json!({"Name": "/app/url", "Value": "x", "Type": "String", "Tier": "Advanced", "Policies": policies.to_string()});
    client.call("AmazonSSM", "PutParameter", &put).await;
    let waiting = async || {
        let listed = server.send_raw("GET", "/api/v1/webhooks", &headers, Vec::new()).await.expect(200);
        listed.at("/data/webhooks/0/waiting").as_u64().unwrap()
    };
    let mut place = String::new();
    let mut later = async |days: u32| {
        server.world.clock.advance(day * days);
        server.world.rooms().housekeep().await;
        told(&server, &mut place).await
    };
    assert_eq!(later(9).await, []);
    // A new version, to which the same policies apply: nobody needs to hear of the old one.
    put["Value"] = json!("y");
    put["Overwrite"] = json!(true);
    put.as_object_mut().unwrap().remove("Policies");
    client.call("AmazonSSM", "PutParameter", &put).await;
    assert_eq!(later(9).await, []);
    assert_eq!(waiting().await, 0);
    assert_eq!(later(1).await, [("unchanged".to_owned(), 2)]);
    assert_eq!(waiting().await, 1);
    assert_eq!(later(5).await, []);
    assert_eq!(later(1).await, [("expiring".to_owned(), 2)]);
    assert_eq!(later(5).await, [("expired".to_owned(), 2)]);
    assert_eq!(later(40).await, []);
    server.stop().await;
}

#[test]
fn the_page_of_dialects_names_every_operation() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/dialects.md")).unwrap();
    for (service, name) in walk_operations() {
        assert!(page.contains(&format!("`{name}`")), "docs/dialects.md does not name {service} {name}");
    }
}
