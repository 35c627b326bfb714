use crate::house::{House, data, refused, told};
use serde_json::{Value, json};
use std::sync::Arc;
use strongroom_core::{CoreError, Operation};
use strongroom_model::{Kind, Kinded, SecretString};
use tokio::task::JoinSet;

#[tokio::test]
async fn a_new_role_has_the_defaults_of_vault() {
    let house = House::new().await;
    let reply = house.write("role/web", json!({})).await.unwrap();
    assert!(reply.data.is_none() && reply.warnings.is_empty());
    let expected = json!({
        "bind_secret_id": true, "local_secret_ids": false, "secret_id_bound_cidrs": null,
        "secret_id_num_uses": 0, "secret_id_ttl": 0,
        "token_bound_cidrs": [], "token_explicit_max_ttl": 0, "token_max_ttl": 0, "token_no_default_policy": false,
        "token_num_uses": 0, "token_period": 0, "token_policies": [], "token_ttl": 0, "token_type": "default",
    });
    assert_eq!(house.read("role/web").await.unwrap(), expected);
    let role_id = house.read("role/web/role-id").await.unwrap();
    assert_eq!(role_id["role_id"].as_str().unwrap().len(), 36);
}

#[tokio::test]
async fn a_role_reads_back_as_it_was_written_and_keeps_what_is_not_sent() {
    let house = House::new().await;
    let sent = json!({
        "bind_secret_id": "false", "local_secret_ids": true, "secret_id_bound_cidrs": "127.0.0.1/32, 10.0.0.0/8",
        "secret_id_num_uses": "10", "secret_id_ttl": "5m", "token_policies": "B,a", "token_ttl": 400,
        "token_max_ttl": "500s", "token_num_uses": 600, "token_type": "default-service",
        "token_bound_cidrs": ["127.0.0.1/32", "fd00::/8"], "enable_local_secret_ids": true, "token_period": null,
    });
    let reply = house.write("role/web", sent).await.unwrap();
    assert_eq!(reply.warnings, ["default-service has no useful meaning; adjusting to service"]);
    let mut expected = json!({
        "bind_secret_id": false, "local_secret_ids": true, "secret_id_bound_cidrs": ["127.0.0.1/32", "10.0.0.0/8"],
        "secret_id_num_uses": 10, "secret_id_ttl": 300,
        "token_bound_cidrs": ["127.0.0.1", "fd00::/8"], "token_explicit_max_ttl": 0, "token_max_ttl": 500,
        "token_no_default_policy": false, "token_num_uses": 600, "token_period": 0, "token_policies": ["b", "a"],
        "token_ttl": 400, "token_type": "service",
    });
    assert_eq!(house.read("role/web").await.unwrap(), expected);
    house.write("role/web", json!({ "token_ttl": 450, "bind_secret_id": null })).await.unwrap();
    expected["token_ttl"] = json!(450);
    assert_eq!(house.read("role/web").await.unwrap(), expected);
}

#[tokio::test]
async fn the_older_names_are_taken_and_shown_only_when_they_were_used() {
    let house = House::new().await;
    let older = json!({ "policies": "p,q", "period": "1h", "bound_cidr_list": "10.0.0.0/8" });
    house.write("role/web", older).await.unwrap();
    let shown = house.read("role/web").await.unwrap();
    assert_eq!((&shown["policies"], &shown["token_policies"]), (&json!(["p", "q"]), &json!(["p", "q"])));
    assert_eq!((&shown["period"], &shown["token_period"]), (&json!(3600), &json!(3600)));
    assert_eq!(shown["secret_id_bound_cidrs"], json!(["10.0.0.0/8"]));

    // Both sent: the newer counts, and both are shown. The newer alone: the older disappears.
    house.write("role/web", json!({ "policies": "p", "token_policies": "n" })).await.unwrap();
    let shown = house.read("role/web").await.unwrap();
    assert_eq!((&shown["policies"], &shown["token_policies"]), (&json!(["n"]), &json!(["n"])));
    house.write("role/web", json!({ "token_policies": "m", "token_period": 60 })).await.unwrap();
    let shown = house.read("role/web").await.unwrap();
    assert_eq!((shown.get("policies"), shown.get("period")), (None, None));
    assert_eq!((&shown["token_policies"], &shown["token_period"]), (&json!(["m"]), &json!(60)));
}

#[tokio::test]
async fn names_of_roles_do_not_tell_cases_apart() {
    let house = House::new().await;
    house.write("role/Web", json!({ "token_ttl": 1 })).await.unwrap();
    house.write("role/wEB", json!({ "token_num_uses": 2 })).await.unwrap();
    let shown = house.read("role/web").await.unwrap();
    assert_eq!((&shown["token_ttl"], &shown["token_num_uses"]), (&json!(1), &json!(2)));
    assert_eq!(house.list("role").await.unwrap(), ["web"]);
}

#[tokio::test]
async fn roles_are_listed_in_order_until_they_are_deleted() {
    let house = House::new().await;
    assert!(matches!(house.list("role").await, Err(CoreError::Nothing)));
    for name in ["test-role-2", "test-role", "a"] {
        house.write(&format!("role/{name}"), json!({})).await.unwrap();
    }
    assert_eq!(house.list("role").await.unwrap(), ["a", "test-role", "test-role-2"]);
    house.delete("role/test-role").await.unwrap();
    assert_eq!(house.list("role").await.unwrap(), ["a", "test-role-2"]);
    assert!(matches!(house.read("role/test-role").await, Err(CoreError::Nothing)));
    assert!(house.delete("role/test-role").await.is_ok());
}

/// Path, field, what is sent, what is shown, what is shown after a delete.
fn settings() -> Vec<(&'static str, &'static str, Value, Value, Value)> {
    vec![
        ("policies", "token_policies", json!("b,A"), json!(["b", "a"]), json!([])),
        ("bound-cidr-list", "bound_cidr_list", json!("10.0.0.0/8"), json!(["10.0.0.0/8"]), json!(null)),
        ("secret-id-bound-cidrs", "secret_id_bound_cidrs", json!(["10.0.0.1"]), json!(["10.0.0.1/32"]), json!(null)),
        (
            "token-bound-cidrs",
            "token_bound_cidrs",
            json!("10.0.0.1/32,10.0.0.0/8"),
            json!(["10.0.0.1", "10.0.0.0/8"]),
            json!([]),
        ),
        ("bind-secret-id", "bind_secret_id", json!(false), json!(false), json!(true)),
        ("secret-id-num-uses", "secret_id_num_uses", json!("200"), json!(200), json!(0)),
        ("secret-id-ttl", "secret_id_ttl", json!("50m1s"), json!(3001), json!(0)),
        ("period", "token_period", json!(9001), json!(9001), json!(0)),
        ("token-num-uses", "token_num_uses", json!(60), json!(60), json!(0)),
        ("token-ttl", "token_ttl", json!(4001), json!(4001), json!(0)),
        ("token-max-ttl", "token_max_ttl", json!(5001), json!(5001), json!(0)),
    ]
}

#[tokio::test]
async fn each_field_can_be_read_written_and_put_back_on_a_path_of_its_own() {
    let house = House::new().await;
    // The networks keep the role constrained while `bind_secret_id` is off.
    for (path, field, sent, shown, reset) in settings() {
        house.write("role/web", json!({ "token_bound_cidrs": "127.0.0.1", "bind_secret_id": true })).await.unwrap();
        let path = format!("role/web/{path}");
        let sent = json!({ field: sent });
        assert!(house.write(&path, sent).await.unwrap().data.is_none());
        assert_eq!(house.read(&path).await.unwrap(), json!({ field: shown }), "{path}");
        let whole = if field == "bound_cidr_list" { "secret_id_bound_cidrs" } else { field };
        assert_eq!(house.read("role/web").await.unwrap()[whole], shown, "{path}");
        house.delete(&path).await.unwrap();
        assert_eq!(house.read(&path).await.unwrap(), json!({ field: reset }), "{path}");
        assert_eq!(refused(house.write(&path, json!({})).await), format!("missing {field}"));
    }
    assert_eq!(house.read("role/web/local-secret-ids").await.unwrap(), json!({ "local_secret_ids": false }));
    assert!(matches!(house.write("role/web/local-secret-ids", json!({})).await, Err(CoreError::Unsupported)));
}

#[tokio::test]
async fn the_paths_of_policies_and_period_take_the_older_names() {
    let house = House::new().await;
    house.write("role/web", json!({})).await.unwrap();
    house.write("role/web/policies", json!({ "policies": "a1,b1" })).await.unwrap();
    let both = json!({ "token_policies": ["a1", "b1"], "policies": ["a1", "b1"] });
    assert_eq!(house.read("role/web/policies").await.unwrap(), both);
    house.delete("role/web/policies").await.unwrap();
    assert_eq!(house.read("role/web/policies").await.unwrap(), json!({ "token_policies": [] }));
    house.write("role/web/period", json!({ "period": 9001 })).await.unwrap();
    assert_eq!(house.read("role/web/period").await.unwrap(), json!({ "token_period": 9001, "period": 9001 }));
}

#[tokio::test]
async fn a_path_of_one_field_changes_no_other() {
    let house = House::new().await;
    house.write("role/web", json!({ "token_policies": "a" })).await.unwrap();
    let sent = json!({ "token_ttl": 5, "token_policies": "admin", "role_id": "stolen", "bind_secret_id": false });
    house.write("role/web/token-ttl", sent).await.unwrap();
    let shown = house.read("role/web").await.unwrap();
    assert_eq!((&shown["token_ttl"], &shown["token_policies"]), (&json!(5), &json!(["a"])));
    assert_eq!(shown["bind_secret_id"], json!(true));
    assert_ne!(house.read("role/web/role-id").await.unwrap()["role_id"], json!("stolen"));
}

#[tokio::test]
async fn fields_of_a_role_that_is_not_there_cannot_be_read_or_written() {
    let house = House::new().await;
    for (path, field, sent, ..) in settings() {
        let path = format!("role/none/{path}");
        assert!(matches!(house.read(&path).await, Err(CoreError::Nothing)), "{path}");
        assert_eq!(told(house.write(&path, json!({ field: sent })).await).0, Kind::NotFound, "{path}");
        assert!(house.delete(&path).await.is_ok(), "{path}");
    }
    assert!(matches!(house.read("role/none").await, Err(CoreError::Nothing)));
    assert!(matches!(house.read("role/none/role-id").await, Err(CoreError::Nothing)));
    assert_eq!(told(house.write("role/none/role-id", json!({ "role_id": "x" })).await).0, Kind::NotFound);
}

#[tokio::test]
async fn what_contradicts_itself_is_refused_and_changes_nothing() {
    let house = House::new().await;
    house.write("role/web", json!({ "token_max_ttl": 60 })).await.unwrap();
    let before = house.read("role/web").await.unwrap();
    let cases = [
        (json!({ "token_ttl": 61 }), "'token_ttl' cannot be greater than 'token_max_ttl'"),
        (json!({ "token_ttl": 50, "token_max_ttl": 40 }), "'token_ttl' cannot be greater than 'token_max_ttl'"),
        (json!({ "bind_secret_id": false }), "at least one constraint should be enabled on the role"),
        (
            json!({ "secret_id_bound_cidrs": "10.0.0.0/33" }),
            "`secret_id_bound_cidrs` holds something that is not a network",
        ),
        (json!({ "bound_cidr_list": "host" }), "`bound_cidr_list` holds something that is not a network"),
        (json!({ "token_bound_cidrs": "host" }), "`token_bound_cidrs` holds something that is not a network"),
        (json!({ "token_policies": "a,root" }), "auth methods cannot create root tokens"),
        (json!({ "policies": "Root" }), "auth methods cannot create root tokens"),
        (json!({ "token_policies": "with blank" }), "character that is not allowed"),
        (json!({ "local_secret_ids": true }), "local_secret_ids can only be modified during role creation"),
        (json!({ "token_type": "bad" }), "`token_type` must be"),
        (json!({ "token_type": "batch", "token_num_uses": 1 }), "'token_num_uses'"),
        (json!({ "secret_id_num_uses": -1 }), "cannot be negative"),
        (json!({ "secret_id_ttl": "-5s" }), "negative"),
        (json!({ "secret_id_ttl": "10ms" }), "at least one second"),
        (json!({ "role_id": "" }), "missing role_id"),
        (json!({ "role_id": "a\nb" }), "control characters"),
    ];
    for (sent, expected) in cases {
        let shown = sent.to_string();
        let (kind, text) = told(house.write("role/web", sent.clone()).await);
        assert!(text.contains(expected) && kind == Kind::Invalid, "{shown}: {text}");
        assert_eq!(house.read("role/web").await.unwrap(), before, "{shown}");
        // The same holds for a role that would be new, apart from what is only wrong beside older values.
        if !shown.contains(":61") && !shown.contains("local_secret_ids") {
            assert!(house.write("role/new", sent).await.is_err(), "{shown}");
            assert!(matches!(house.read("role/new").await, Err(CoreError::Nothing)), "{shown}");
        }
    }
}

#[tokio::test]
async fn the_last_constraint_cannot_be_removed() {
    let house = House::new().await;
    let only_networks = json!({ "bind_secret_id": false, "secret_id_bound_cidrs": "10.0.0.0/8" });
    house.write("role/web", only_networks).await.unwrap();
    for path in ["role/web/secret-id-bound-cidrs", "role/web/bound-cidr-list"] {
        assert!(refused(house.delete(path).await).contains("at least one constraint"), "{path}");
    }
    house.write("role/web/token-bound-cidrs", json!({ "token_bound_cidrs": "127.0.0.1" })).await.unwrap();
    house.delete("role/web/secret-id-bound-cidrs").await.unwrap();
    assert!(refused(house.delete("role/web/token-bound-cidrs").await).contains("at least one constraint"));
}

#[tokio::test]
async fn an_empty_list_of_networks_does_not_lift_the_restriction() {
    let house = House::new().await;
    house.write("role/web", json!({ "secret_id_bound_cidrs": "10.0.0.0/8" })).await.unwrap();
    for (path, field) in [("secret-id-bound-cidrs", "secret_id_bound_cidrs"), ("bound-cidr-list", "bound_cidr_list")] {
        for empty in [json!(""), json!([])] {
            let text = refused(house.write(&format!("role/web/{path}"), json!({ field: empty })).await);
            assert_eq!(text, format!("missing {field}"));
        }
    }
    assert_eq!(house.read("role/web").await.unwrap()["secret_id_bound_cidrs"], json!(["10.0.0.0/8"]));
}

#[tokio::test]
async fn a_role_id_leads_to_one_role_and_can_be_changed() {
    let house = House::new().await;
    let secret = house.role("web", json!({})).await;
    house.write("role/other", json!({ "role_id": "other-id" })).await.unwrap();
    house.write("role/web/role-id", json!({ "role_id": " custom_role_id " })).await.unwrap();
    assert_eq!(house.read("role/web/role-id").await.unwrap(), json!({ "role_id": "custom_role_id" }));
    assert!(house.login("custom_role_id", &secret).await.is_ok());
    assert!(house.login("web-id", &secret).await.is_err());

    for path in ["role/web/role-id", "role/web"] {
        let text = refused(house.write(path, json!({ "role_id": "other-id" })).await);
        assert_eq!(text, "role_id already in use", "{path}");
    }
    assert_eq!(refused(house.write("role/new", json!({ "role_id": "other-id" })).await), "role_id already in use");
    // The old id is free again, and so is one of a deleted role.
    house.write("role/new", json!({ "role_id": "web-id" })).await.unwrap();
    house.delete("role/other").await.unwrap();
    house.write("role/new/role-id", json!({ "role_id": "other-id" })).await.unwrap();
    assert!(house.write("role/new/role-id", json!({ "role_id": "other-id" })).await.is_ok());
    assert_eq!(refused(house.write("role/new/role-id", json!({})).await), "missing role_id");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_changes_of_one_role_are_all_kept() {
    let house = Arc::new(House::new().await);
    let settings: Vec<_> = settings().into_iter().filter(|(path, ..)| *path != "bound-cidr-list").collect();
    for round in 0..20 {
        let role = format!("role/web-{round}");
        house.write(&role, json!({ "token_bound_cidrs": "127.0.0.1" })).await.unwrap();
        let mut tasks = JoinSet::new();
        for (path, field, sent, ..) in settings.clone() {
            let (house, path) = (Arc::clone(&house), format!("{role}/{path}"));
            tasks.spawn(async move { house.write(&path, json!({ field: sent })).await.map(data) });
        }
        for done in tasks.join_all().await {
            done.unwrap();
        }
        let shown = house.read(&role).await.unwrap();
        for (path, field, _, expected, _) in &settings {
            assert_eq!(shown[field], *expected, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_who_create_the_same_role_one_does_and_no_other_changes_it() {
    let house = Arc::new(House::new().await);
    for round in 0..20 {
        let mut tasks = JoinSet::new();
        for ttl in 1..9 {
            let (house, path) = (Arc::clone(&house), format!("role/web-{round}"));
            tasks.spawn(async move { (ttl, house.create_late(&path, json!({ "token_ttl": ttl })).await) });
        }
        let done = tasks.join_all().await;
        let made: Vec<_> = done.iter().filter(|(_, result)| result.is_ok()).map(|(ttl, _)| json!(ttl)).collect();
        assert_eq!(made, [house.read(&format!("role/web-{round}")).await.unwrap()["token_ttl"].clone()]);
        assert!(
            done.iter().filter_map(|(_, result)| result.as_ref().err()).all(|error| error.kind() == Kind::Conflict)
        );
    }
}

#[tokio::test]
async fn policies_tell_creating_a_role_from_updating_it() {
    let house = House::new().await;
    house.write_policy("maker", "path \"auth/approle/role/*\" { capabilities = [\"create\"] }").await;
    house.write_policy("mender", "path \"auth/approle/role/*\" { capabilities = [\"update\"] }").await;
    let mut tokens = Vec::new();
    for policy in ["maker", "mender"] {
        let secret = house.role(policy, json!({ "token_policies": policy })).await;
        let auth = house.login(&format!("{policy}-id"), &secret).await.unwrap().auth.unwrap();
        tokens.push(auth.client_token);
    }
    let write = async |token: &SecretString, path: &str| {
        house.ask_as(Some(token), Some("127.0.0.1"), Operation::Write, path, json!({ "token_ttl": 1 })).await
    };
    let (maker, mender) = (&tokens[0], &tokens[1]);
    assert_eq!(told(write(mender, "role/fresh").await).0, Kind::Denied);
    assert!(write(maker, "role/fresh").await.is_ok());
    assert_eq!(told(write(maker, "role/fresh").await).0, Kind::Denied);
    assert!(write(mender, "role/fresh").await.is_ok());
}
