//! What holds a secret cannot be printed: none of these types has a `Debug` by which it could slip into a log.

use strongroom_core::secret::SecretValue;
use strongroom_core::token::{Token, TokenRequest};
use strongroom_core::{Ask, Auth, Fields, Grant, Init, Initialised, Login, Reply, Share};
use strongroom_model::{SecretBytes, SecretString};

/// Does not compile for a type that can be printed: two traits would then apply, and neither could be chosen.
macro_rules! cannot_be_printed {
    ($($type:ty),* $(,)?) => {
        $(const _: fn() = || {
            trait Either<Which> {
                fn either() {}
            }
            impl<T: ?Sized> Either<()> for T {}
            #[allow(dead_code, reason = "only its being there counts")]
            struct Printed;
            impl<T: ?Sized + std::fmt::Debug> Either<Printed> for T {}
            let _ = <$type as Either<_>>::either;
            #[allow(dead_code, reason = "only its being there counts")]
            struct Shown;
            impl<T: ?Sized + std::fmt::Display> Either<Shown> for T {}
            let _ = <$type as Either<_>>::either;
        };)*
    };
}

cannot_be_printed!(
    SecretString,
    SecretBytes,
    Fields,
    Auth,
    Reply,
    Login,
    Grant,
    Ask,
    TokenRequest,
    Token,
    SecretValue,
    Init,
    Initialised,
    Share,
);

#[test]
fn an_error_names_the_field_and_not_what_was_sent_in_it() {
    let sent = serde_json::json!({
        "number": "canary", "flag": "canary", "ttl": "canary", "negative": "-5canary", "list": {"a": "canary"},
        "map": ["canary"], "object": "canary", "text": ["canary"], "long": "999999999999h",
    });
    let serde_json::Value::Object(map) = sent else { return };
    let sent = Fields::new(map);
    let errors = [
        sent.int("number").err(),
        sent.count("number").err(),
        sent.flag("flag").err(),
        sent.ttl("ttl").err(),
        sent.ttl("negative").err(),
        sent.ttl("long").err(),
        sent.list("list").err(),
        sent.text_map("map").err(),
        sent.object("object").map(|_| ()).err(),
        sent.text("text").err(),
        sent.secret("text").map(|_| ()).err(),
    ];
    for error in errors {
        let text = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(text.starts_with("field `") && !text.contains("canary") && !text.contains("9999"), "{text:?}");
    }
}
