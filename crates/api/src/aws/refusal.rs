//! From what went wrong to AWS's error codes and texts: the one table of this dialect. JSON services and the query
//! protocol have different words for the same refusal of a signature.

use super::operation::Service;
use super::sigv4::Late;
use strongroom_core::CoreError;
use strongroom_model::{Kind, Kinded};

/// A refusal in AWS's words, with what the trail is to say.
pub(crate) struct Refusal {
    answer: Words,
    cause: CoreError,
}

/// What the client is told.
pub(crate) struct Words {
    /// The code by which clients choose an exception.
    pub(crate) code: &'static str,
    /// The status.
    pub(crate) status: u16,
    /// The text.
    pub(crate) text: String,
}

/// The text for a secret that is not there, or that nobody may know of (recorded on AWS).
pub(super) const NO_SECRET: &str = "Secrets Manager can't find the specified secret.";
/// The text for a secret that waits for its deletion (recorded on AWS).
pub(super) const MARKED: &str = "You can't perform this operation on the secret because it was marked for deletion.";

impl Refusal {
    fn new(code: &'static str, status: u16, text: impl Into<String>, cause: CoreError) -> Self {
        Self { answer: Words { code, status, text: text.into() }, cause }
    }

    /// A code with a text that the trail repeats.
    pub(crate) fn said(code: &'static str, text: impl Into<String>) -> Self {
        let text = text.into();
        Self::new(code, 400, text.clone(), CoreError::Invalid(text))
    }

    /// A parameter that cannot be.
    pub(crate) fn parameter(text: impl Into<String>) -> Self {
        Self::said("InvalidParameterException", text)
    }

    /// A request that does not fit the state of things.
    pub(crate) fn request(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::new("InvalidRequestException", 400, text.clone(), CoreError::Unfit(text))
    }

    /// A value outside the bounds of the model.
    pub(crate) fn validation(text: impl Into<String>) -> Self {
        let text = text.into();
        // So AWS begins when it is the model that a value does not fit; it repeats the value, which could be a secret.
        let begins = if text.starts_with("Value at ") { "1 validation error detected: " } else { "" };
        Self::said("ValidationException", format!("{begins}{text}"))
    }

    /// Something that is not there.
    pub(crate) fn not_found(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::new("ResourceNotFoundException", 400, text.clone(), CoreError::NotFound(text))
    }

    /// Something that is there already.
    pub(crate) fn exists(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::new("ResourceExistsException", 400, text.clone(), CoreError::Exists(text))
    }

    /// Something that the caller may not do.
    pub(crate) fn denied(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::new("AccessDeniedException", 400, text.clone(), CoreError::DeniedBecause(text))
    }

    /// The same refusal with another text for the client.
    pub(crate) fn reworded(mut self, text: impl Into<String>) -> Self {
        self.answer.text = text.into();
        self
    }

    /// The same refusal under another code.
    pub(crate) fn coded(mut self, code: &'static str) -> Self {
        self.answer.code = code;
        self
    }

    /// The same refusal with another status.
    pub(crate) fn with_status(mut self, status: u16) -> Self {
        self.answer.status = status;
        self
    }

    /// What the client is told, and what the trail is.
    pub(crate) fn split(self) -> (Words, CoreError) {
        (self.answer, self.cause)
    }

    /// The reverse of [`Refusal::split`].
    pub(super) fn put_together(answer: Words, cause: CoreError) -> Self {
        Self { answer, cause }
    }

    /// What the client is told.
    pub(crate) fn words(&self) -> &Words {
        &self.answer
    }

    /// What happened.
    pub(crate) fn cause(&self) -> &CoreError {
        &self.cause
    }

    fn door(service: Service, codes: (&'static str, &'static str), text: impl Into<String>, reason: &str) -> Self {
        let (code, status) = match service {
            Service::Sts => (codes.1, 403),
            Service::Secrets | Service::Parameters => (codes.0, 400),
        };
        Self::new(code, status, text, CoreError::DeniedBecause(reason.to_owned()))
    }

    pub(super) fn unsigned(service: Service) -> Self {
        let codes = ("MissingAuthenticationTokenException", "MissingAuthenticationToken");
        Self::door(service, codes, "Missing Authentication Token", "the request is not signed")
    }

    pub(super) fn incomplete(service: Service, what: &str) -> Self {
        let codes = ("IncompleteSignatureException", "IncompleteSignature");
        Self::door(
            service,
            codes,
            format!("Authorization is incomplete: {what}."),
            &format!("half a signature: {what}"),
        )
    }

    pub(super) fn unknown_key(service: Service) -> Self {
        let codes = ("UnrecognizedClientException", "InvalidClientTokenId");
        let text = "The security token included in the request is invalid.";
        Self::door(service, codes, text, "no such access key, or it is out of use")
    }

    pub(super) fn expired(service: Service) -> Self {
        let codes = ("ExpiredTokenException", "ExpiredToken");
        let text = "The security token included in the request is expired";
        Self::door(service, codes, text, "the access key has expired")
    }

    pub(super) fn signature(service: Service) -> Self {
        let codes = ("InvalidSignatureException", "SignatureDoesNotMatch");
        let text = "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
                    Access Key and signing method. Consult the service documentation for details.";
        Self::door(service, codes, text, "the signature does not match")
    }

    pub(super) fn network(service: Service) -> Self {
        let codes = ("AccessDeniedException", "AccessDenied");
        let text = "The access key may not be used from this address. Ask an operator for one that may.";
        Self::door(service, codes, text, "the access key may not be used from this address")
    }

    pub(super) fn skewed(service: Service, late: Late) -> Self {
        let codes = ("InvalidSignatureException", "SignatureDoesNotMatch");
        match late {
            Late::Expired => Self::door(
                service,
                codes,
                "Signature expired: the time of the request lies too far back. Set the client's clock, or sign anew.",
                "the signature is too old",
            ),
            Late::NotYet => Self::door(
                service,
                codes,
                "Signature not yet current: the time of the request lies too far ahead. Set the client's clock.",
                "the signature is from the future",
            ),
        }
    }

    pub(super) fn wrong_scope(service: Service) -> Self {
        let codes = ("InvalidSignatureException", "SignatureDoesNotMatch");
        let text = format!("Credential should be scoped to correct service: '{}'.", service.signing_name());
        Self::door(service, codes, text, "the signature is for another service")
    }

    pub(super) fn region(service: Service) -> Self {
        let codes = ("AccessDeniedException", "RegionDisabledException");
        let text = "The region of the request is not served here. Ask an operator which ones are.";
        Self::door(service, codes, text, "the region is not served")
    }

    pub(super) fn unknown_operation(service: Service) -> Self {
        let code = if service == Service::Sts { "InvalidAction" } else { "UnknownOperationException" };
        Self::new(code, 400, "The operation is not known to this service.", CoreError::Unsupported)
    }
}

impl From<CoreError> for Refusal {
    fn from(cause: CoreError) -> Self {
        let text = cause.to_string();
        let (code, status, text) = match (&cause, cause.kind()) {
            (CoreError::Marked, _) => ("InvalidRequestException", 400, MARKED.to_owned()),
            (CoreError::Nothing, _) => ("ResourceNotFoundException", 400, NO_SECRET.to_owned()),
            (CoreError::Quota(_), _) => {
                let text =
                    format!("The request failed because it would exceed one of the Secrets Manager quotas: {text}.");
                ("LimitExceededException", 400, text)
            }
            (CoreError::Exists(_), _) => ("ResourceExistsException", 400, text),
            (CoreError::Unfit(_) | CoreError::Stale(_), _) => ("InvalidRequestException", 400, text),
            (CoreError::Conflict, _) => ("InternalServiceError", 500, text),
            (_, Kind::Invalid | Kind::TooLarge) => ("InvalidParameterException", 400, text),
            (_, Kind::Denied) => ("AccessDeniedException", 400, text),
            (_, Kind::NotFound) => ("ResourceNotFoundException", 400, text),
            (_, Kind::Unsupported | Kind::Conflict) => ("InvalidRequestException", 400, text),
            (_, Kind::TooMany) => ("ThrottlingException", 400, "Rate exceeded".to_owned()),
            (_, Kind::Sealed | Kind::Uninitialised | Kind::Unavailable) => ("ServiceUnavailableException", 503, text),
            (_, Kind::Tampered | Kind::Internal) => {
                ("InternalServiceError", 500, "An error occurred on the server side.".to_owned())
            }
        };
        Self::new(code, status, text, cause)
    }
}

impl Words {
    /// The code as the query protocol has it.
    pub(super) fn query_code(&self) -> &'static str {
        match self.code {
            "AccessDeniedException" => "AccessDenied",
            "ThrottlingException" => "Throttling",
            "ServiceUnavailableException" => "ServiceUnavailable",
            "InternalServiceError" => "InternalFailure",
            "SerializationException" => "MalformedInput",
            "ValidationException" | "InvalidParameterException" | "InvalidRequestException" => "ValidationError",
            other => other,
        }
    }

    /// Whether the service's model has this error; those have another spelling of the text's name.
    pub(super) fn is_modelled(&self) -> bool {
        matches!(
            self.code,
            "DecryptionFailure"
                | "EncryptionFailure"
                | "InternalServiceError"
                | "InvalidNextTokenException"
                | "InvalidParameterException"
                | "InvalidRequestException"
                | "LimitExceededException"
                | "MalformedPolicyDocumentException"
                | "PreconditionNotMetException"
                | "PublicPolicyException"
                | "ResourceExistsException"
                | "ResourceNotFoundException"
        )
    }
}
