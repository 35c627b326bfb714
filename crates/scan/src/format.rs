//! Formats that their makers chose so that they can be recognised. Each line is a pattern that ordinary text does not
//! match; those that need a name beside them to be telling stand in `name`.

use crate::placeholder::is_placeholder;
use crate::{Finding, Kind};
use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use std::sync::LazyLock;

/// What a pattern's match looks like. The first group, where there is one, is what must not be a placeholder.
const FORMATS: &[(&str, &str)] = &[
    ("an AWS access key", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b"),
    ("a GitHub token", r"\bgh[pousr]_[A-Za-z0-9]{36,255}\b"),
    ("a GitHub token", r"\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}\b"),
    ("a GitLab token", r"\bgl(?:pat|ptt|dt|rt|cbt|ft|agent|soat|oas)-[A-Za-z0-9_-]{20,}"),
    ("a Slack token", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
    ("a Slack token", r"\bxapp-\d-[A-Z0-9]+-\d+-[a-f0-9]{32,}\b"),
    ("a Slack webhook", r"\bhooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9+/]{30,})"),
    ("a Discord webhook", r"\bdiscord(?:app)?\.com/api/webhooks/\d{17,20}/([A-Za-z0-9_-]{60,})"),
    ("a Stripe key", r"\b(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,}\b"),
    ("a Stripe webhook secret", r"\bwhsec_[A-Za-z0-9+/]{24,}"),
    ("a Google API key", r"\bAIza[A-Za-z0-9_-]{35}"),
    ("a Google client secret", r"\bGOCSPX-[A-Za-z0-9_-]{28}"),
    ("a Google access token", r"\bya29\.[A-Za-z0-9_-]{30,}"),
    ("an npm token", r"\bnpm_[A-Za-z0-9]{36}\b"),
    ("a PyPI token", r"\bpypi-AgE[A-Za-z0-9_-]{50,}"),
    ("a crates.io token", r"\bcio[A-Za-z0-9]{32}\b"),
    ("a RubyGems token", r"\brubygems_[a-f0-9]{48}\b"),
    ("a Docker token", r"\bdckr_(?:pat|oat)_[A-Za-z0-9_-]{20,}"),
    ("a SendGrid key", r"\bSG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{30,64}"),
    ("a Mailgun key", r"\bkey-[a-f0-9]{32}\b"),
    ("a Mailchimp key", r"\b[a-f0-9]{32}-us\d{1,2}\b"),
    ("a Twilio key", r"\bSK[a-f0-9]{32}\b"),
    ("a Shopify token", r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b"),
    ("a Square token", r"\bsq0(?:atp|csp|idp)-[A-Za-z0-9_-]{22,}"),
    ("a DigitalOcean token", r"\bdo[opr]_v1_[a-f0-9]{64}\b"),
    ("an OpenAI key", r"\bsk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20,}"),
    ("an OpenAI key", r"\bsk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}\b"),
    ("an Anthropic key", r"\bsk-ant-[a-z0-9]+-[A-Za-z0-9_-]{24,}"),
    ("a Hugging Face token", r"\bhf_[A-Za-z]{34}\b"),
    ("a Databricks token", r"\bdapi[a-f0-9]{32}(?:-\d)?\b"),
    ("a Grafana token", r"\bgl(?:c|sa)_[A-Za-z0-9+/_]{32,}"),
    ("a New Relic key", r"\bNRAK-[A-Z0-9]{27}\b"),
    ("a Sentry token", r"\bsntry[su]_[A-Za-z0-9+/=_-]{40,}"),
    ("a Linear key", r"\blin_api_[A-Za-z0-9]{32,}\b"),
    ("a Notion token", r"\bntn_[A-Za-z0-9]{40,}\b"),
    ("a Postman key", r"\bPMAK-[a-f0-9]{24}-[a-f0-9]{34}\b"),
    ("a PlanetScale credential", r"\bpscale_(?:tkn|oauth|pw)_[A-Za-z0-9_.-]{32,}"),
    ("a Doppler token", r"\bdp\.(?:pt|st|sa|ct|scim|audit)\.[A-Za-z0-9._-]{40,}"),
    ("a Pulumi token", r"\bpul-[a-f0-9]{40}\b"),
    ("a Terraform Cloud token", r"\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,}"),
    ("a Vault token", r"\bhv[sbr]\.[A-Za-z0-9_-]{24,}"),
    ("a 1Password service token", r"\bops_ey[A-Za-z0-9_=-]{80,}"),
    ("an Atlassian token", r"\bATATT3[A-Za-z0-9_=-]{60,}"),
    ("a Telegram bot token", r"\b\d{8,10}:AA[A-Za-z0-9_-]{33}\b"),
    ("a Fly.io token", r"\bFlyV1 fm\d[a-z]?_[A-Za-z0-9+/=,_-]{60,}"),
    ("an Azure client secret", r"\b[A-Za-z0-9_~.]{3}\dQ~[A-Za-z0-9_~.-]{31,34}"),
    ("an age secret key", r"\bAGE-SECRET-KEY-(?:PQ-)?1[0-9A-Z]{50,}"),
    ("a JSON web token", r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{16,}"),
];

/// Headers of private keys (RFC 7468, OpenSSH, PGP, PuTTY); more than the header must be there.
const KEYS: &[(&str, &str)] = &[
    ("a private key", r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY-----[\s\\nr]*([A-Za-z0-9+/=:,\s\\-]{24,})"),
    ("a PGP private key", r"-----BEGIN PGP PRIVATE KEY BLOCK-----\s"),
    // `-----BEGIN PRIVATE KEY`, with RSA, EC and OPENSSH before it, as kubeconfig files and Kubernetes' secrets hold them.
    (
        "a private key in base64",
        r"\bLS0tLS1CRUdJTiB(?:QUklWQVRFIEtFW|SU0EgUFJJVkFURSBLR|FQyBQUklWQVRFIEtFW|PUEVOU1NIIFBSSVZBVEUgS0V)([A-Za-z0-9+/=]{24,})",
    ),
    ("a PuTTY private key", r"\bPuTTY-User-Key-File-[23]: "),
];

/// All patterns: one pass says which match, and only those look for where.
struct Table {
    any: Option<RegexSet>,
    each: Vec<(Kind, &'static str, Regex)>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let lines = || {
        let formats = FORMATS.iter().map(|line| (Kind::KnownFormat, line));
        formats.chain(KEYS.iter().map(|line| (Kind::PrivateKey, line)))
    };
    let compile = |(kind, (what, pattern)): (Kind, &'static (&str, &str))| {
        Some((kind, *what, RegexBuilder::new(pattern).unicode(false).build().ok()?))
    };
    let any = RegexSetBuilder::new(lines().map(|(_, (_, pattern))| pattern)).unicode(false).build();
    Table { any: any.ok(), each: lines().filter_map(compile).collect() }
});

/// What is found by its format alone.
pub(crate) fn find(bytes: &[u8]) -> Vec<Finding> {
    let Some(any) = &TABLE.any else { return Vec::new() };
    let mut findings = Vec::new();
    for at in any.matches(bytes) {
        let Some((kind, what, pattern)) = TABLE.each.get(at) else { continue };
        for found in pattern.captures_iter(bytes) {
            let Some(whole) = found.get(0) else { continue };
            if !is_placeholder(found.get(1).unwrap_or(whole).as_bytes()) {
                findings.push(Finding { kind: *kind, what, range: whole.range() });
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_of_the_table_is_one() {
        assert_eq!(TABLE.each.len(), FORMATS.len() + KEYS.len());
        assert!(TABLE.any.is_some());
    }
}
