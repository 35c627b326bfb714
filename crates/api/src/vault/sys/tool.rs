use crate::vault::route::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use strongroom_core::tool::{Digest, Encoding, random_bytes};
use strongroom_core::{CoreError, Reply};
use strongroom_model::SecretBytes;

/// Bytes given when no number is named.
const DEFAULT_BYTES: i64 = 32;

/// `sys/tools/random[/SOURCE][/BYTES]`: source and number may stand in the path, so that policies can tell them apart.
pub(super) async fn random(context: Context<'_>) -> Result<Reply, CoreError> {
    let (source, bytes) = (context.captures.get("source"), context.captures.get("bytes"));
    let (source, bytes) = match (source, bytes) {
        (source, "") if is_source(source) => (source, None),
        (number, "") => ("platform", Some(number)),
        (source, number) => (source, Some(number)),
    };
    if !is_source(source) {
        return Err(CoreError::Invalid(
            "unsupported entropy source; must be \"platform\" or \"seal\", or \"all\"".to_owned(),
        ));
    }
    let count = match bytes {
        Some(number) => {
            number.parse().map_err(|_| CoreError::Invalid("error parsing url-set byte count".to_owned()))?
        }
        None => context.fields.int("bytes")?.unwrap_or(DEFAULT_BYTES),
    };
    let encoding = encoding(&context, Encoding::Base64)?;
    let bytes = random_bytes(context.vault.strongroom.entropy(), count)?;
    let reply = Reply::data(json!({ "random_bytes": encoding.write(bytes.expose()) }));
    Ok(match source {
        "seal" => reply.warn("no seal/entropy augmentation available, using platform entropy source"),
        _ => reply,
    })
}

/// `sys/tools/hash[/ALGORITHM]`.
pub(super) async fn hash(context: Context<'_>) -> Result<Reply, CoreError> {
    let algorithm = match context.captures.get("algorithm") {
        "" => context.fields.text("algorithm")?.unwrap_or_else(|| "sha2-256".to_owned()),
        named => named.to_owned(),
    };
    let encoding = encoding(&context, Encoding::Hex)?;
    let input = context.fields.secret("input")?;
    let input = STANDARD.decode(input.as_ref().map_or("", |input| input.expose()));
    let input = input.map_err(|_| CoreError::Invalid("unable to decode input as base64".to_owned()))?;
    let sum = Digest::parse(&algorithm)?.sum(SecretBytes::new(input).expose());
    Ok(Reply::data(json!({ "sum": encoding.write(&sum) })))
}

fn encoding(context: &Context<'_>, otherwise: Encoding) -> Result<Encoding, CoreError> {
    context.fields.text("format")?.map_or(Ok(otherwise), |text| Encoding::parse(&text))
}

fn is_source(text: &str) -> bool {
    matches!(text, "" | "platform" | "seal" | "all")
}
