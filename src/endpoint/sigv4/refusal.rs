//! Why a request is not taken for its sender's, in AWS's names and texts.

/// Why a request is not taken for its sender's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(
    missing_docs,
    reason = "the messages say what each variant and field is"
)]
pub enum Refusal {
    #[error("Missing Authentication Token")]
    Missing,
    #[error(
        "The request is signed in its query string. This endpoint takes signatures in the \
         Authorization header only."
    )]
    QueryString,
    #[error(
        "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."
    )]
    Twice,
    #[error(
        "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with \
         SHA-256 and encoded with Base64): '{digest}'."
    )]
    NotAPair { digest: String },
    #[error("Authorization header has more than one '{parameter}' parameter.")]
    Repeated { parameter: String },
    #[error("{missing}(Hashed with SHA-256 and encoded with Base64) Authorization={digest}")]
    Incomplete { missing: String, digest: String },
    #[error(
        "Date must be in ISO-8601 'basic format'. Got '{found}'. See \
         http://en.wikipedia.org/wiki/ISO_8601"
    )]
    DateForm { found: String },
    #[error("Signature expired: {signed} is now earlier than {earliest} ({now} - 5 min.)")]
    Expired {
        signed: String,
        earliest: String,
        now: String,
    },
    #[error("Signature not yet current: {signed} is still later than {latest} ({now} + 5 min.)")]
    NotYetCurrent {
        signed: String,
        latest: String,
        now: String,
    },
    #[error("{header} must be a 'SignedHeader' in the AWS Authorization.")]
    Unsigned { header: String },
    #[error("Unsupported AWS 'algorithm': '{found}' (only AWS4-HMAC-SHA256 for now). ")]
    Algorithm { found: String },
    #[error(
        "Credential must have exactly 5 slash-delimited elements, e.g. \
         keyid/date/region/service/term, got '{found}'"
    )]
    Credential { found: String },
    #[error("{faults}")]
    Scope { faults: String },
    #[error("The payload must be signed: 'x-amz-content-sha256' is '{found}'.")]
    UnsignedPayload { found: String },
    #[error("The security token included in the request is invalid.")]
    Token,
    #[error(
        "The request signature we calculated does not match the signature you provided. Check \
         your AWS Secret Access Key and signing method. Consult the service documentation for \
         details."
    )]
    Mismatch,
}

impl Refusal {
    /// The exception's name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Missing | Self::QueryString => "MissingAuthenticationTokenException",
            Self::NotAPair { .. }
            | Self::Repeated { .. }
            | Self::Incomplete { .. }
            | Self::DateForm { .. }
            | Self::Algorithm { .. }
            | Self::Credential { .. } => "IncompleteSignatureException",
            Self::Twice
            | Self::Expired { .. }
            | Self::NotYetCurrent { .. }
            | Self::Unsigned { .. }
            | Self::Scope { .. }
            | Self::UnsignedPayload { .. }
            | Self::Mismatch => "InvalidSignatureException",
            Self::Token => "UnrecognizedClientException",
        }
    }
}
