//! What is recognised and what is not: credentials made up here, so that none stands in the source, and a list of
//! ordinary settings (`ordinary.tsv`) that measures false alarms.

use strongroom_scan::{Kind, find, find_named};

const ORDINARY: &str = include_str!("ordinary.tsv");

/// Characters in no order, the same each time.
fn drawn(letters: &str, length: usize) -> String {
    let letters: Vec<char> = letters.chars().collect();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64 ^ length as u64;
    let draw = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        letters.get((state >> 33) as usize % letters.len()).copied().unwrap_or_default()
    };
    (0..length).map(draw).collect()
}

const ANY: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const HEX: &str = "0123456789abcdef";

/// Tokens of known formats.
fn tokens() -> Vec<String> {
    let any = |before: &str, length| format!("{before}{}", drawn(ANY, length));
    let hex = |before: &str, length| format!("{before}{}", drawn(HEX, length));
    vec![
        format!("AKIA{}", drawn("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)),
        any("ghp_", 36),
        any("gho_", 36),
        any("ghs_", 36),
        format!("github_pat_{}_{}", drawn(ANY, 22), drawn(ANY, 59)),
        any("glpat-", 20),
        any("xoxb-123456789012-", 24),
        format!("https://hooks.slack.com/services/T024BE7LD/B024BE7LE/{}", drawn(ANY, 24)),
        format!("https://discord.com/api/webhooks/123456789012345678/{}", drawn(ANY, 68)),
        any("sk_live_", 24),
        any("rk_test_", 24),
        any("whsec_", 32),
        any("AIza", 35),
        any("GOCSPX-", 28),
        any("ya29.", 60),
        any("npm_", 36),
        any("pypi-AgEIcHlwaS5vcmc", 60),
        hex("rubygems_", 48),
        any("dckr_pat_", 27),
        format!("SG.{}.{}", drawn(ANY, 22), drawn(ANY, 43)),
        hex("key-", 32),
        format!("{}-us12", drawn(HEX, 32)),
        hex("SK", 32),
        hex("shpat_", 32),
        any("sq0atp-", 22),
        hex("dop_v1_", 64),
        any("sk-proj-", 48),
        any("sk-ant-api03-", 80),
        format!("hf_{}", drawn(&ANY[..52], 34)),
        hex("dapi", 32),
        any("glsa_", 41),
        format!("NRAK-{}", drawn("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", 27)),
        any("lin_api_", 40),
        any("pscale_tkn_", 43),
        any("dp.st.prd.", 43),
        hex("pul-", 40),
        format!("{}.atlasv1.{}", drawn(ANY, 14), drawn(ANY, 67)),
        any("hvs.", 24),
        any("ATATT3xFfGF0", 180),
        format!("1234567890:AA{}", drawn(ANY, 33)),
        format!("eyJ{}.eyJ{}.{}", drawn(ANY, 30), drawn(ANY, 60), drawn(ANY, 43)),
        format!("AGE-SECRET-KEY-1{}", drawn("023456789ACDEFGHJKLMNPQRSTUVWXYZ", 58)),
        // One that was copied with a mistake opens nothing, and was a key all the same.
        format!("AGE-SECRET-KEY-1{}", drawn("ABCDEFGHIJKLMNOPQRSTUVWXYZ1", 58)),
        format!("Bearer {}", drawn(ANY, 40)),
        "Basic YXBwOmh1bnRlcjI=".to_owned(),
        format!("LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVktLS0tLQp{}", drawn(ANY, 80)),
        format!("LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t{}", drawn(ANY, 80)),
        format!("LS0tLS1CRUdJTiBFQyBQUklWQVRFIEtFWS0tLS0tCk{}", drawn(ANY, 80)),
        format!("LS0tLS1CRUdJTiBPUEVOU1NIIFBSSVZBVEUgS0VZLS0tLS0K{}", drawn(ANY, 80)),
        format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n", drawn(ANY, 70)),
        format!("-----BEGIN PRIVATE KEY-----\\n{}\\n", drawn(ANY, 64)),
        format!("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n{}\n", drawn(ANY, 64)),
    ]
}

/// Connections with a password.
fn connections() -> Vec<String> {
    let key = drawn("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", 86);
    vec![
        "postgresql://app:hunter2@db.internal:5432/orders".to_owned(),
        "mongodb+srv://app:p%40ss@cluster0.mongodb.net/?retryWrites=true".to_owned(),
        "redis://:hunter2@cache.internal:6379/0".to_owned(),
        "amqps://guest:guest@mq.internal:5671".to_owned(),
        "https://deploy:hunter2@git.example.org/web.git".to_owned(),
        "host=db.internal dbname=orders user=app password=hunter2".to_owned(),
        "Server=db;Database=orders;User Id=app;Password=hunter2;".to_owned(),
        "Data Source=db;Initial Catalog=x;uid=app;pwd='hunter 2'".to_owned(),
        "jdbc:mysql://db.internal/orders?user=app&password=hunter2".to_owned(),
        format!("DefaultEndpointsProtocol=https;AccountName=acme;AccountKey={key}==;EndpointSuffix=core.windows.net"),
        format!("Endpoint=sb://acme.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey={}=", &key[..43]),
        "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"app\" password=\"hunter2\";"
            .to_owned(),
        "Authorization: Basic YXBwOmh1bnRlcjI=".to_owned(),
        "app/hunter2@//db.internal:1521/orders".to_owned(),
        "app/\"hunter 2\"@db.internal:1521/orders".to_owned(),
        "jdbc:oracle:thin:app/hunter2@db.internal:1521:ORCL".to_owned(),
        "app/hunter2@(DESCRIPTION=(ADDRESS=(PROTOCOL=TCP)(HOST=db)(PORT=1521)))".to_owned(),
        "app:hunter2@tcp(db.internal:3306)/orders?parseTime=true".to_owned(),
        "machine git.internal login app password hunter2".to_owned(),
        "https://acme.blob.core.windows.net/x?sv=2026-01-01&sig=c2lnbmF0dXJlb2Z0aGlz".to_owned(),
    ]
}

/// Values that only their names tell.
fn named() -> Vec<(&'static str, String)> {
    vec![
        ("/prod/db/password", "hunter2".to_owned()),
        ("/prod/db/password", "Tr0ub4dor&3".to_owned()),
        ("DB_PASSWORD_PROD", drawn(ANY, 20)),
        ("dbPassword", "S3cret!x".to_owned()),
        ("/prod/auth/client_secret", drawn(ANY, 32)),
        ("/prod/auth/client-secret", "8f14e45f-ceea-467f-a0e6-1b2c3d4e5f60".to_owned()),
        ("/prod/stripe/apiKey", drawn(ANY, 24)),
        ("/prod/jwt/signing_key", drawn(HEX, 64)),
        ("SECRET_KEY_BASE", drawn(HEX, 128)),
        ("/prod/datadog/api_key", drawn(HEX, 32)),
        ("/prod/auth/token", drawn(ANY, 40)),
        ("/prod/aws/secret_access_key", drawn(&format!("{ANY}+/"), 40)),
        ("/prod/secrets/github", drawn(ANY, 40)),
        ("/prod/app/config", format!("{{\"db\": {{\"user\": \"app\", \"password\": \"{}\"}}}}", drawn(ANY, 16))),
        ("/prod/app/env", format!("LOG_LEVEL=info\nexport API_KEY='{}'\n", drawn(ANY, 32))),
        ("/prod/app/yaml", "db:\n  user: app\n  password: hunter2x\n".to_owned()),
    ]
}

#[test]
fn known_formats_and_connections_are_found_wherever_they_stand() {
    for token in tokens() {
        for text in [token.clone(), format!("value is {token} and more"), format!("{{\"x\": \"{token}\"}}")] {
            let found = find(text.as_bytes());
            assert!(!found.is_empty() && found[0].kind != Kind::TellingName, "{text}");
            assert!(!format!("{found:?}").contains(&token));
        }
    }
    for text in connections() {
        let found = find(text.as_bytes());
        assert!(found.iter().any(|found| found.kind == Kind::ConnectionString), "{text}");
    }
}

#[test]
fn random_values_under_telling_names_are_found() {
    let missed: Vec<_> =
        named().into_iter().filter(|(name, value)| find_named(name, value.as_bytes()).is_empty()).collect();
    assert!(missed.is_empty(), "{missed:?}");
}

#[test]
fn ordinary_settings_raise_no_alarm() {
    let mut alarms = Vec::new();
    let mut count = 0;
    for line in ORDINARY.lines() {
        let (name, value) = line.split_once('\t').unwrap();
        let value = value.replace("\\n", "\n");
        count += 1;
        alarms.extend(find_named(name, value.as_bytes()).into_iter().map(|found| (name, value.clone(), found.what)));
    }
    assert!(count >= 200, "{count}");
    assert!(alarms.is_empty(), "{} of {count}: {alarms:#?}", alarms.len());
}

#[test]
fn hostile_input_costs_no_more_than_its_length() {
    for text in ["a:".repeat(200_000), "eyJ".repeat(100_000), "x=".repeat(200_000), "{\"a\":".repeat(100_000)] {
        drop(find_named("/x/password", text.as_bytes()));
    }
    drop(find(&[0xff; 10_000]));
    assert!(find(b"").is_empty() && find_named("", b"").is_empty());
}
