//! What can be wrong with a policy document: facts, and where in the document.

/// A fault of a policy document.
///
/// `place` is a path such as `Statement[1].Condition.StringEquals`; texts of the document are cut
/// after 64 characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(
    missing_docs,
    reason = "the messages say what each variant and field is"
)]
pub enum MalformedPolicy {
    #[error("the policy has more than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the policy is not JSON: {fault}")]
    NotJson { fault: String },
    #[error("{place} must be {expected}")]
    WrongType {
        place: String,
        expected: &'static str,
    },
    #[error("{place} is missing")]
    Missing { place: String },
    #[error("{place} is empty")]
    Empty { place: String },
    #[error("{place} is not an element of the policy language")]
    Unknown { place: String },
    #[error("{place} excludes {other}")]
    Excluded { place: String, other: &'static str },
    #[error("{place} has no place in an identity-based policy")]
    PrincipalInIdentityPolicy { place: String },
    #[error("Version: {found:?} is no version of the policy language")]
    Version { found: String },
    #[error("{place}: {found:?} is neither \"Allow\" nor \"Deny\"")]
    Effect { place: String, found: String },
    #[error("{place}: {found:?} is not made of letters and digits")]
    Sid { place: String, found: String },
    #[error("{place}: {found:?} is the identifier of another statement, too")]
    SameSid { place: String, found: String },
    #[error("{place}: {found:?} is not a principal")]
    Principal { place: String, found: String },
    #[error("{place}: {found:?} is not an action")]
    Action { place: String, found: String },
    #[error("{place}: {found:?} is neither an ARN nor \"*\"")]
    Resource { place: String, found: String },
    #[error("{place}: a variable may stand only after the fifth colon of {found:?}")]
    VariableInArn { place: String, found: String },
    #[error("{place}: the variable in {found:?} is not well-formed")]
    Variable { place: String, found: String },
    #[error("{place} is not an operator")]
    Operator { place: String },
    #[error("{place} is not a condition key")]
    ConditionKey { place: String },
    #[error("{place}: {found:?} is not {expected}")]
    Value {
        place: String,
        found: String,
        expected: &'static str,
    },
    #[error("{place}: ForAllValues holds for requests without this {what}")]
    OverlyPermissive { place: String, what: &'static str },
}

/// The beginning of a text of the document, for a message.
pub(super) fn excerpt(text: &str) -> String {
    const MOST: usize = 64;
    let mut characters = text.chars();
    let mut shown: String = characters.by_ref().take(MOST).collect();
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}
