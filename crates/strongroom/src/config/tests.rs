use super::forwarded::Forwarded;
use super::seal::SealKey;
use super::*;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// The configuration that `hvac`'s own tests start a server with.
const HVAC: &str = r#"{"backend":{"inmem":{}},"listener":{"tcp":{"tls_cert_file":"tests/config_files/server-cert.pem",
"tls_key_file":"tests/config_files/server-key.pem","address":"127.0.0.1:36869"}},"disable_mlock":true,
"default_lease_ttl":"768h","max_lease_ttl":"768h"}"#;

/// As Vault's deployment guide has it, with storage that is served here.
const GUIDE: &str = r#"
# Full configuration options can be found at https://developer.hashicorp.com/vault/docs/configuration
ui            = true
#mlock = true
disable_mlock = "true"
cluster_addr  = "https://127.0.0.1:8201"
api_addr      = "https://127.0.0.1:8200"
max_lease_ttl = "10h"
default_lease_ttl = 3600

storage "file" {
  path = "/opt/vault/data"
}

// HTTPS listener
listener "tcp" {
  address       = "0.0.0.0:8200"
  cluster_address = "0.0.0.0:8201"
  tls_cert_file = "/opt/vault/tls/tls.crt"
  tls_key_file  = "/opt/vault/tls/tls.key"
  tls_min_version = "tls13"
  tls_client_ca_file = "/opt/vault/tls/ca.crt"
  tls_require_and_verify_client_cert = true
  telemetry { unauthenticated_metrics_access = true }
}

telemetry {
  disable_hostname = true
  prometheus_retention_time = "12h"
}
"#;

fn no_env(_: &str) -> Option<String> {
    None
}

fn file(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}

fn try_load(text: &str) -> Result<Loaded, ConfigError> {
    let folder = TempDir::new().unwrap();
    Config::load(&[file(folder.path(), "c.hcl", text)], &no_env)
}

fn load(text: &str) -> Loaded {
    try_load(text).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

fn error(text: &str) -> String {
    try_load(text).err().unwrap_or_else(|| panic!("was taken: {text}")).to_string()
}

fn warnings(loaded: &Loaded) -> Vec<String> {
    loaded.warnings.iter().map(|warning| format!("{}: {}", warning.line, warning.what)).collect()
}

/// A configuration with this beside storage and listener.
fn with(text: &str) -> String {
    format!("storage \"inmem\" {{}}\nlistener \"tcp\" {{ tls_disable = 1 }}\n{text}")
}

/// A configuration with this in its listener.
fn listening(text: &str) -> String {
    format!("storage \"inmem\" {{}}\nlistener \"tcp\" {{\ntls_cert_file = \"c\" tls_key_file = \"k\"\n{text}\n}}")
}

#[test]
fn the_configuration_of_the_hvac_suite_is_served() {
    let Loaded { config, warnings } = load(HVAC);
    assert_eq!(warnings, []);
    assert_eq!(config.storage, Storage::Memory);
    let [listener] = config.listeners.as_slice() else { panic!("one listener") };
    assert_eq!(listener.address, "127.0.0.1:36869");
    let tls = listener.tls.as_ref().unwrap();
    assert_eq!(tls.cert_file, Path::new("tests/config_files/server-cert.pem"));
    assert_eq!(tls.key_file, Path::new("tests/config_files/server-key.pem"));
    assert_eq!(tls.client_certs, ClientCerts::Asked);
    assert!(config.disable_mlock && !config.ui);
    assert_eq!((config.default_lease_ttl, config.max_lease_ttl), (DEFAULT_LEASE, DEFAULT_LEASE));
}

#[test]
fn the_configuration_of_the_deployment_guide_is_served() {
    let loaded = load(GUIDE);
    let config = &loaded.config;
    assert_eq!(config.storage, Storage::File { path: "/opt/vault/data".into() });
    assert_eq!(config.api_addr.as_deref(), Some("https://127.0.0.1:8200"));
    assert_eq!(config.cluster_addr.as_deref(), Some("https://127.0.0.1:8201"));
    assert!(config.ui && config.disable_mlock);
    assert_eq!((config.default_lease_ttl.secs(), config.max_lease_ttl.secs()), (3_600, 36_000));
    let tls = config.listeners[0].tls.as_ref().unwrap();
    assert_eq!((tls.min_version, tls.max_version), (TlsVersion::Tls13, TlsVersion::Tls13));
    assert!(config.listeners[0].unauthenticated_metrics);
    assert_eq!(tls.client_certs, ClientCerts::Required);
    assert_eq!(tls.client_ca_file.as_deref(), Some(Path::new("/opt/vault/tls/ca.crt")));
    assert_eq!(warnings(&loaded), ["18: `cluster_address` is accepted and not used by this version"]);
}

#[test]
fn defaults_are_those_of_vault() {
    let config = load("storage \"inmem\" {}\nlistener \"tcp\" { tls_disable = \"true\" }").config;
    let expected = Listener {
        address: "127.0.0.1:8200".to_owned(),
        unix: None,
        forwarded: None,
        proxy_protocol: None,
        tls: None,
        max_request_size: 33_554_432,
        max_request_duration: None,
        require_request_header: false,
        unauthenticated_metrics: false,
        read_header_timeout: Duration::from_secs(10),
        read_timeout: Duration::from_secs(30),
        write_timeout: Duration::ZERO,
        idle_timeout: Duration::from_secs(300),
    };
    assert_eq!(config.listeners, [expected]);
    assert_eq!(config.default_max_request_duration, Duration::from_secs(90));
    assert_eq!((config.default_lease_ttl.secs(), config.max_lease_ttl.secs()), (2_764_800, 2_764_800));
    assert!(config.seals.is_empty() && config.trail == Trail::default() && !config.raw_storage_endpoint);
}

#[test]
fn every_spelling_of_a_block_is_read() {
    for text in [
        r#"storage "sqlite" { path = "d" } listener "tcp" { tls_disable = true address = "h:1" }"#,
        r#"backend "SQLite" { path = "d" } listener "TCP" { tls_disable = true address = "h:1" }"#,
        r#"{"storage": {"sqlite": {"path": "d"}}, "listener": {"tcp": {"tls_disable": true, "address": "h:1"}}}"#,
        r#"{"storage": [{"sqlite": {"path": "d"}}], "listener": [{"tcp": {"tls_disable": "1", "address": "h:1"}}]}"#,
        r#"{"storage": {"sqlite": {"path": "d"}}, "listener": [{"type": "tcp", "tls_disable": 1, "address": "h:1"}]}"#,
    ] {
        let loaded = load(text);
        assert_eq!(loaded.config.storage, Storage::Sqlite { path: "d".into() }, "{text}");
        assert_eq!(loaded.config.listeners[0].address, "h:1", "{text}");
        assert_eq!(loaded.warnings, [], "{text}");
    }
}

#[test]
fn listeners_add_up_and_take_their_own_limits() {
    let config = load(&listening(
        "}\nlistener \"tcp\" { address = \":9200\" tls_disable = true max_request_size = \"1024\" max_request_duration = \"30s\"
         http_idle_timeout = 5 http_read_timeout = \"1m\" http_read_header_timeout = 2 http_write_timeout = 3
         require_request_header = true",
    ))
    .config;
    assert_eq!(config.listeners.len(), 2);
    let second = &config.listeners[1];
    assert_eq!((second.address.as_str(), second.max_request_size), ("[::]:9200", 1_024));
    assert_eq!(second.max_request_duration, Some(Duration::from_secs(30)));
    let spans = [second.read_header_timeout, second.read_timeout, second.write_timeout, second.idle_timeout];
    assert_eq!(spans.map(|span| span.as_secs()), [2, 60, 3, 5]);
    assert!(second.require_request_header);
}

#[test]
fn a_unix_socket_is_read_with_who_may_connect() {
    let text = "listener \"unix\" { address = \"/run/s.sock\" socket_mode = \"0660\" socket_user = \"root\" socket_group = \"1000\"
        tls_disable = true require_request_header = true max_request_duration = \"5s\" }";
    let loaded = load(&with(text));
    assert_eq!(loaded.warnings, []);
    let listener = &loaded.config.listeners[1];
    let rights = UnixSocket { mode: Some(0o660), user: Some("root".to_owned()), group: Some("1000".to_owned()) };
    assert_eq!((listener.address.as_str(), listener.unix.as_ref()), ("/run/s.sock", Some(&rights)));
    assert!(listener.require_request_header && listener.tls.is_none());
    assert_eq!(listener.max_request_duration, Some(Duration::from_secs(5)));
}

#[test]
fn forwarded_addresses_are_read_with_the_defaults_of_vault() {
    let read = |text: &str| load(&listening(text)).config.listeners.remove(0).forwarded;
    assert_eq!(read(""), None);
    assert_eq!(read("x_forwarded_for_authorized_addrs = \"\" x_forwarded_for_reject_not_present = false"), None);
    let networks = |texts: &[&str]| texts.iter().map(|text| strongroom_core::Cidr::parse(text).unwrap()).collect();
    let mut expected = Forwarded {
        authorized: networks(&["10.0.0.0/8", "fd00::1"]),
        hop_skips: 0,
        reject_not_present: true,
        reject_not_authorized: true,
    };
    for spelling in ["\"10.0.0.0/8, fd00::1\"", "[\"10.0.0.0/8\", \"fd00::1\"]", "[\"10.0.0.0/8,fd00::1\"]"] {
        assert_eq!(read(&format!("x_forwarded_for_authorized_addrs = {spelling}")), Some(expected.clone()));
    }
    (expected.hop_skips, expected.reject_not_present, expected.reject_not_authorized) = (2, false, false);
    let lax = "x_forwarded_for_authorized_addrs = \"10.0.0.0/8,fd00::1\" x_forwarded_for_hop_skips = \"2\"
        x_forwarded_for_reject_not_present = \"false\" x_forwarded_for_reject_not_authorized = 0";
    assert_eq!(read(lax), Some(expected));
}

#[test]
fn telemetry_is_read() {
    let loaded = load(&with(
        "telemetry { prometheus_retention_time = 0 disable_hostname = true usage_gauge_period = \"none\" \
         statsd_address = \"h:1\" statsite_address = \"[::1]:8125\" circonus_api_app = \"a\" \
         dogstatsd_addr = \"h:2\" dogstatsd_tags = [\"env:test\"] }",
    ));
    let (statsd, statsite) = (Some("h:1".to_owned()), Some("[::1]:8125".to_owned()));
    let (dogstatsd, dogstatsd_tags) = (Some("h:2".to_owned()), vec!["env:test".to_owned()]);
    let expected = Telemetry { prometheus: false, usage_gauges: None, statsd, statsite, dogstatsd, dogstatsd_tags };
    assert_eq!(loaded.config.telemetry, expected);
    assert_eq!(warnings(&loaded), ["3: `circonus_api_app` is accepted and not used by this version"]);
    assert!(load(&with("telemetry { prometheus_retention_time = \"12h\" }")).config.telemetry.prometheus);
}

#[test]
fn seals_are_read_with_the_places_of_their_keys() {
    let config = load(&with(
        r#"seal "shamir" {}
           seal "static" {
             current_key_id = "20250606-1"
             current_key = "file:///run/keys/new"
             previous_key_id = "20250306-1"
             previous_key = "env://OLD_KEY"
             disabled = "true"
           }"#,
    ))
    .config;
    let key = |id: &str, source| SealKey { id: id.to_owned(), source };
    let fixed = SealType::Static {
        current: key("20250606-1", KeySource::File("/run/keys/new".into())),
        previous: Some(key("20250306-1", KeySource::Environment("OLD_KEY".to_owned()))),
    };
    let expected = [Seal { kind: SealType::Shamir, disabled: false }, Seal { kind: fixed, disabled: true }];
    assert_eq!(config.seals, expected);
}

#[test]
fn a_key_in_the_file_itself_is_refused_and_not_repeated() {
    let key = "542a91c2aff86797e8dfa16adf86dcbea5706410791b319798936a1b08e4ef8b";
    let error = error(&with(&format!("seal \"static\" {{ current_key = \"{key}\" current_key_id = \"1\" }}")));
    assert!(error.contains("`current_key` must say where the key is") && error.contains("file:///"), "{error}");
    assert!(!error.contains("542a"), "{error}");
}

#[test]
fn the_trail_block_is_ours() {
    let config = load(&with("trail { path = \"/var/trail\" sync = \"each\" }")).config;
    assert_eq!(config.trail, Trail { path: Some("/var/trail".into()), sync: TrailSync::Each, segment_bytes: None });
    let config = load(&with("trail { segment_bytes = 1048576 }")).config;
    assert_eq!(config.trail.segment_bytes, Some(1_048_576));
    assert!(error(&with("trail { segment_bytes = 10 }")).contains("`segment_bytes` must be from 16384 to 1073741824"));
    assert!(error(&with("trail { sync = \"never\" }")).contains("\"write\" or \"each\""));
    assert!(
        error(&with("trail { paht = \"x\" }"))
            .contains("`paht` is not a key of trail; there are: path, sync, segment_bytes")
    );
}

#[test]
fn what_cannot_be_served_safely_is_refused_with_its_line_and_a_way_out() {
    let listener = "listener \"tcp\" { tls_disable = 1 }\n";
    for (text, expected) in [
        (
            format!("{listener}storage \"raft\" {{}}"),
            "line 2: storage \"raft\" cannot be served by this version; there are: sqlite, file, inmem",
        ),
        (format!("{listener}storage \"consul\" {{}}"), "storage \"consul\" cannot be served"),
        (format!("{listener}storage \"inmem_ha\" {{}}"), "storage \"inmem_ha\" cannot be served"),
        (format!("{listener}storage \"sqlite\" {{}}"), "storage \"sqlite\" needs a `path`"),
        (format!("{listener}storage \"inmem\" {{}}\nbackend \"inmem\" {{}}"), "line 3: a second storage in one file"),
        (listener.to_owned(), "the configuration has no storage: write `storage \"sqlite\""),
        ("storage \"inmem\" {}".to_owned(), "the configuration has no listener"),
        (with("ha_storage \"consul\" {}"), "line 3: `ha_storage` cannot be served"),
        (with("audit \"file\" \"x\" {}"), "enable it through sys/audit"),
        (
            with("seal \"awskms\" { kms_key_id = \"x\" }"),
            "seal \"awskms\" cannot be served by this version; there are: shamir, static",
        ),
        (with("seal \"static\" { current_key = \"file:///k\" }"), "`current_key` and `current_key_id` together"),
        (
            with("seal \"static\" { current_key = \"file:///k\" current_key_id = \"1\" previous_key = \"file:///j\" }"),
            "`previous_key_id` together",
        ),
        (
            with("listener \"quic\" { address = \"/s\" }"),
            "listener \"quic\" cannot be served by this version; there are: tcp, unix",
        ),
        (with("listener \"unix\" { address = \"run/s\" }"), "needs the absolute path of its socket"),
        (with("listener \"unix\" {}"), "needs the absolute path of its socket"),
        (with("listener \"unix\" { address = \"/s\" socket_mode = 660 }"), "octal permissions in quotes"),
        (with("listener \"unix\" { address = \"/s\" socket_mode = \"4660\" }"), "octal permissions in quotes"),
        (with("listener \"unix\" { address = \"/s\" tls_cert_file = \"c\" }"), "is served without TLS"),
        (
            with("listener \"unix\" { address = \"/s\" x_forwarded_for_authorized_addrs = \"::1\" }"),
            "the peer of a unix socket has no address",
        ),
        (
            with("listener \"tcp\" { }"),
            "needs `tls_cert_file` and `tls_key_file`; to serve without TLS write `tls_disable = true`",
        ),
        (listening("tls_require_and_verify_client_cert = true tls_disable_client_certs = true"), "exclude each other"),
        (listening("tls_min_version = \"ssl3\""), "line 4: `tls_min_version` must be tls12 or tls13"),
        (listening("tls_min_version = \"tls13\" tls_max_version = \"tls12\""), "no client could connect"),
        (listening("x_forwarded_for_authorized_addrs = \"10.0.0.0/33\""), "line 4: `x_forwarded_for_authorized_addrs`"),
        (listening("x_forwarded_for_authorized_addrs = [\"proxy\"]"), "\"proxy\" is not a network"),
        (listening("x_forwarded_for_reject_not_present = true"), "say whose header counts"),
        (listening("x_forwarded_for_hop_skips = 1"), "say whose header counts"),
        (listening("x_forwarded_for_hop_skips = -1"), "must not be below zero"),
        (with("telemetry { statsd_adress = \"h:1\" }"), "`statsd_adress` is not a key of telemetry; there are: add_"),
        (with("telemetry { usage_gauge_period = \"often\" }"), "`usage_gauge_period`"),
        (with("telemetry { usage_gauge_period = 0 }"), "`usage_gauge_period` must be at least a second, or none"),
        (with("telemetry { statsd_address = \"host\" }"), "`statsd_address` must be host:port"),
        (with("telemetry { dogstatsd_addr = \"unix:///run/dsd.socket\" }"), "`dogstatsd_addr` must be host:port"),
        (with("telemetry { dogstatsd_tags = [\"a,b\"] }"), "`dogstatsd_tags` are words"),
        (with("telemetry { statsite_address = \":8125\" }"), "`statsite_address` must be host:port"),
        (listening("proxy_protocol_behavior = \"perhaps\""), "use_always, allow_authorized or deny_unauthorized"),
        (listening("proxy_protocol_behavior = \"allow_authorized\""), "needs `proxy_protocol_authorized_addrs`"),
        (listening("proxy_protocol_authorized_addrs = \"10.0.0.1\""), "does nothing without `proxy_protocol_behavior`"),
        (listening("role = \"metrics_only\""), "the listener would serve everything"),
        (listening("tls_acme_domains = [\"a\"]"), "give `tls_cert_file` and `tls_key_file`"),
        (listening("disable_unauthed_rekey_endpoints = true"), "block sys/rekey in front"),
        (listening("address = \"localhost\""), "must be host and port: write `127.0.0.1:8200`"),
        (listening("address = \"::1\""), "must be host and port"),
        (listening("address = \"{{ GetPrivateIP }}:8200\""), "holds a template"),
        (listening("tls_disable = \"maybe\""), "`tls_disable` is a switch: write true or false"),
        (listening("max_request_size = \"32MB\""), "is a whole number"),
        (listening("http_idle_timeout = \"soon\""), "`http_idle_timeout`: `soon` is not a duration"),
        (with("api_addr = \"vault.local:8200\""), "write `api_addr = \"https://host:port\"`"),
        (with("log_level = \"loud\""), "must be trace, debug, info, warn or error"),
        (with("log_format = \"xml\""), "must be standard or json"),
        (with("ui = [1]"), "`ui` is a switch"),
        (with("cluster_name = [\"a\"]"), "`cluster_name` is a list and must be text"),
        (with("default_lease_ttl = \"769h\""), "`default_lease_ttl` is longer than `max_lease_ttl`"),
        (with("max_lease_ttl = \"-1h\""), "negative"),
        (with("ui = "), "c.hcl: line 3: a value belongs here"),
        (with("listener = \"tcp\""), "`listener` is a block"),
    ] {
        let error = error(&text);
        assert!(error.contains(expected), "{text}\n  {error}");
    }
}

#[test]
fn refused_switches_may_be_there_when_they_are_off() {
    let text =
        "disable_unauthed_rekey_endpoints = false role = \"default\" x_forwarded_for_reject_not_present = \"false\"";
    assert_eq!(load(&listening(text)).warnings, []);
}

#[test]
fn unknown_and_repeated_keys_are_warned_of_and_do_not_stop_the_server() {
    let loaded = load(&with(
        "max_laese_ttl = \"1h\"\nui = false\nui = true\nseal \"shamir\" { colour = \"red\" }\nplugin_directory = \"/p\"",
    ));
    assert_eq!(
        warnings(&loaded),
        [
            "5: `ui` is there twice, and this one counts",
            "3: `max_laese_ttl` is not a key of the configuration and does nothing: check its spelling",
            "6: `colour` is not a key of seal \"shamir\" and does nothing: check its spelling",
            "7: `plugin_directory` is accepted and not used by this version",
        ]
    );
    assert!(loaded.warnings[0].to_string().contains("c.hcl: line 5: "), "{}", loaded.warnings[0]);
    let lockout = load(&with("user_lockout \"userpass\" { lockout_threshold = 3 }"));
    assert!(lockout.warnings[0].what.contains("five failed logins"));
    let old = load(&listening("tls_min_version = \"tls10\""));
    assert!(old.warnings[0].what.contains("RFC 8996"));
    assert_eq!(old.config.listeners[0].tls.as_ref().unwrap().min_version, TlsVersion::Tls12);
}

#[test]
fn several_files_and_folders_are_merged_as_vault_does() {
    let folder = TempDir::new().unwrap();
    file(
        folder.path(),
        "b.json",
        r#"{"ui": false, "max_lease_ttl": "10h", "api_addr": "https://b", "storage": {"inmem": {}}}"#,
    );
    file(
        folder.path(),
        "a.hcl",
        "ui = true\nmax_lease_ttl = \"20h\"\napi_addr = \"https://a\"\nstorage \"file\" { path = \"d\" }",
    );
    file(folder.path(), "c.hcl", "listener \"tcp\" { tls_disable = 1 }");
    for skipped in ["x.txt", ".#a.hcl", "#a.hcl#", "a.hcl~", "README"] {
        file(folder.path(), skipped, "not { hcl");
    }
    fs::create_dir(folder.path().join("d.hcl")).unwrap();
    let extra = TempDir::new().unwrap();
    let extra =
        file(extra.path(), "z.conf", "listener \"tcp\" { tls_disable = 1 address = \"h:2\" }\nlog_level = \"WARN\"");
    let again = folder.path().join("c.hcl");
    let Loaded { config, .. } = Config::load(&[folder.path().to_owned(), extra, again], &no_env).unwrap();
    assert!(config.ui, "a switch that is on stays on");
    assert_eq!(config.max_lease_ttl.secs(), 72_000, "the longest");
    assert_eq!(config.default_lease_ttl.secs(), 72_000, "never above the longest");
    assert_eq!(config.api_addr.as_deref(), Some("https://b"), "the last");
    assert_eq!(config.storage, Storage::Memory, "the last");
    let addresses: Vec<_> = config.listeners.iter().map(|listener| listener.address.as_str()).collect();
    assert_eq!(addresses, ["127.0.0.1:8200", "h:2"], "all, and a file named twice once");
    assert_eq!(config.log_level, Some(LogLevel::Warn));
}

#[test]
fn a_missing_file_or_an_empty_folder_is_an_error_that_names_it() {
    let folder = TempDir::new().unwrap();
    let message = |path: PathBuf| Config::load(&[path], &no_env).err().unwrap().to_string();
    assert!(
        message(folder.path().to_owned()).contains("holds no configuration: it needs files that end in .hcl or .json")
    );
    assert!(message(folder.path().join("none.hcl")).contains("none.hcl: check that it exists"));
}

#[test]
fn the_environment_wins_over_the_files_and_our_names_over_vaults() {
    let folder = TempDir::new().unwrap();
    let path = file(folder.path(), "c.hcl", &with("api_addr = \"https://file\"\nui = true"));
    let env = |name: &str| match name {
        "STRONGROOM_API_ADDR" => Some("https://ours".to_owned()),
        "VAULT_API_ADDR" | "VAULT_CLUSTER_ADDR" => Some("https://vaults".to_owned()),
        "STRONGROOM_CLUSTER_ADDR" => Some(String::new()),
        "VAULT_UI" => Some("false".to_owned()),
        _ => None,
    };
    let config = Config::load(&[path], &env).unwrap().config;
    assert_eq!(config.api_addr.as_deref(), Some("https://ours"));
    assert_eq!(config.cluster_addr.as_deref(), Some("https://vaults"));
    assert!(!config.ui);
}

#[test]
fn the_sample_is_read_without_a_warning() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../../contrib/strongroom.hcl");
    let loaded = Config::load(&[sample.into()], &no_env).unwrap();
    assert_eq!(loaded.warnings, []);
    let (doors, trail) = (&loaded.config.listeners, &loaded.config.trail.path);
    assert!(doors.len() == 2 && doors[0].tls.is_some() && doors[1].unix.is_some() && trail.is_some());
}

#[test]
fn every_key_is_in_the_documentation() {
    let page = include_str!("../../../../docs/configuration.md");
    let refused = top::REFUSED.iter().chain(listener::REFUSED).map(|(name, _)| name);
    let telemetry = telemetry::UNUSED.iter().chain(telemetry::SERVED);
    for name in top::UNUSED.iter().chain(listener::UNUSED).chain(telemetry).chain(refused) {
        assert!(page.contains(&format!("`{name}`")), "{name} is not in docs/configuration.md");
    }
}
