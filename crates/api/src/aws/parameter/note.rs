//! What is known of a parameter, in AWS's words.

use strongroom_core::secret::{ParameterKind, ParameterNotes, Sighting, VersionNotes};
use strongroom_model::VersionNumber;

/// What a parameter's value is when its writer said nothing.
pub(super) const TEXT: &str = "text";
/// The key that is shown of a secret parameter whose writer named none.
pub(super) const DEFAULT_KEY: &str = "alias/aws/ssm";

/// A parameter as it was seen.
pub(super) struct Known<'a>(pub(super) &'a Sighting);

impl Known<'_> {
    /// What was noted, if this dialect wrote it.
    pub(super) fn noted(&self) -> Option<&ParameterNotes> {
        self.0.meta.particulars().parameter.as_ref()
    }

    /// What was said of a version.
    pub(super) fn notes(&self, number: VersionNumber) -> VersionNotes {
        let mut notes = self.0.parameter(number);
        if notes.data_type.is_empty() {
            TEXT.clone_into(&mut notes.data_type);
        }
        if notes.kind == ParameterKind::SecureString && notes.key.is_empty() {
            DEFAULT_KEY.clone_into(&mut notes.key);
        }
        notes
    }

    /// The version in force, with what was said of it.
    pub(super) fn latest(&self) -> Option<(VersionNumber, VersionNotes)> {
        self.0.meta.current().map(|number| (number, self.notes(number)))
    }
}

/// The name of a type.
pub(super) fn word(kind: ParameterKind) -> &'static str {
    match kind {
        ParameterKind::String => "String",
        ParameterKind::StringList => "StringList",
        ParameterKind::SecureString => "SecureString",
    }
}

/// The name of a tier.
pub(super) fn tier(notes: &VersionNotes) -> &'static str {
    if notes.advanced { "Advanced" } else { "Standard" }
}
