//! What an ARN names here: the same secret or parameter as its path does.

use crate::AwsSettings;
use strongroom_core::CoreError;
use strongroom_model::SecretPath;

/// The path that is meant, by whatever name: an ARN's, or the text as it is. `Invalid` for an ARN that is none of ours: to
/// find nothing by it would read like nothing having happened.
pub(super) fn path_of(settings: &AwsSettings, text: String) -> Result<String, CoreError> {
    let Some(rest) = text.strip_prefix("arn:") else { return Ok(text) };
    let parts: Vec<&str> = rest.splitn(5, ':').collect();
    let [_, service, region, account, resource] = parts.as_slice() else { return Err(not_ours(&text)) };
    if *account != settings.account {
        return Err(not_ours(&text));
    }
    let (mount, name) = match (*service, resource.split_once([':', '/'])) {
        ("secretsmanager", Some(("secret", name))) => {
            let path = SecretPath::parse_aws(without_suffix(name)).map_err(|_| not_ours(&text))?;
            (settings.mount(region), path.to_string())
        }
        ("ssm", Some(("parameter", name))) => (settings.parameter_mount(region), name.to_owned()),
        _ => return Err(not_ours(&text)),
    };
    let mount = mount.ok_or_else(|| not_ours(&text))?;
    Ok(format!("{mount}/{name}"))
}

/// Whether it is written as an ARN, be it ours or not.
pub(super) fn is_one(text: &str) -> bool {
    text.starts_with("arn:")
}

/// Without the hyphen and six characters that stand for one secret of a name.
fn without_suffix(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((name, suffix)) if suffix.len() == 6 && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric()) => name,
        _ => name,
    }
}

fn not_ours(text: &str) -> CoreError {
    CoreError::Invalid(format!(
        "`{text}` is no ARN of a secret or parameter of this server: look at its account, region and kind, or give the path"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_is_a_path_and_a_foreign_one_is_refused() {
        let read = |text: &str| path_of(&AwsSettings::default(), text.to_owned()).ok();
        let some = |text: &str| Some(text.to_owned());
        let of = |rest: &str| format!("arn:aws:{rest}");
        assert_eq!(read("secret/app/db"), some("secret/app/db"));
        assert_eq!(read(&of("secretsmanager:us-east-1:000000000000:secret:app/db-AbC123")), some("secret/app/db"));
        assert_eq!(read(&of("secretsmanager:us-east-1:000000000000:secret:app/db")), some("secret/app/db"));
        assert_eq!(read(&of("secretsmanager:us-east-1:000000000000:secret:/app/db-AbC123")), some("secret/:/app/db"));
        assert_eq!(read(&of("ssm:us-east-1:000000000000:parameter/app/url")), some("parameter/app/url"));
        for foreign in
            ["secretsmanager:us-east-1:111111111111:secret:a", "s3:::bucket", "iam::000000000000:user/x", "x"]
        {
            assert_eq!(read(&of(foreign)), None, "{foreign}");
        }
    }
}
