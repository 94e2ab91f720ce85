//! Key identifiers and ARNs: the four forms in which the API names a key.
//!
//! Source: AWS KMS Developer Guide, "Key identifiers (KeyId)".

use super::error::Exception;

/// The ARN of a key: `arn:PARTITION:kms:REGION:ACCOUNT:key/KEY_ID`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyArn(String);

/// The ARN of an alias: `arn:PARTITION:kms:REGION:ACCOUNT:alias/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AliasArn(String);

/// What an identifier in a request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyIdentifier {
    /// A bare key ID.
    Id(String),
    /// A key ARN.
    Arn(KeyArn),
    /// `alias/NAME`.
    Alias(String),
    /// An alias ARN.
    AliasArn(AliasArn),
}

struct Parts<'a> {
    region: &'a str,
    account: &'a str,
    resource: &'a str,
}

fn split(arn: &str) -> Option<Parts<'_>> {
    let mut fields = arn.splitn(6, ':');
    let (prefix, partition, service) = (fields.next()?, fields.next()?, fields.next()?);
    let (region, account, resource) = (fields.next()?, fields.next()?, fields.next()?);
    let known = prefix == "arn" && partition.starts_with("aws") && service == "kms";
    let account_ok = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let region_ok = is_region(region);
    (known && account_ok && region_ok).then_some(Parts {
        region,
        account,
        resource,
    })
}

/// Tells whether `text` has the form of a Region's name.
pub fn is_region(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 32
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Tells whether `text` has the form of an account's number.
pub fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The partition that a Region belongs to.
pub fn partition(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else {
        "aws"
    }
}

/// A UUID, or `mrk-` and 32 hexadecimal digits.
fn is_key_id(text: &str) -> bool {
    if let Some(rest) = text.strip_prefix("mrk-") {
        return rest.len() == 32 && rest.bytes().all(|byte| byte.is_ascii_hexdigit());
    }
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
}

impl KeyArn {
    /// Composes the ARN of a key.
    pub fn new(account: &str, region: &str, key_id: &str) -> Self {
        Self(format!(
            "arn:{}:kms:{region}:{account}:key/{key_id}",
            partition(region)
        ))
    }

    /// Reads a key ARN; `None` when it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let id = split(text)?.resource.strip_prefix("key/")?;
        is_key_id(id).then(|| Self(text.to_owned()))
    }

    fn parts(&self) -> Parts<'_> {
        split(&self.0).expect("internal error: a key ARN is only made from checked parts")
    }

    /// The Region.
    pub fn region(&self) -> &str {
        self.parts().region
    }

    /// The account's number.
    pub fn account(&self) -> &str {
        self.parts().account
    }

    /// The key ID.
    pub fn key_id(&self) -> &str {
        let resource = self.parts().resource;
        resource.strip_prefix("key/").unwrap_or(resource)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for KeyArn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl AliasArn {
    /// Composes the ARN of an alias; `name` begins with `alias/`.
    pub fn new(account: &str, region: &str, name: &str) -> Self {
        Self(format!(
            "arn:{}:kms:{region}:{account}:{name}",
            partition(region)
        ))
    }

    /// The Region.
    pub fn region(&self) -> &str {
        split(&self.0).map_or("", |parts| parts.region)
    }

    /// The account's number.
    pub fn account(&self) -> &str {
        split(&self.0).map_or("", |parts| parts.account)
    }

    /// The alias name, with `alias/`.
    pub fn name(&self) -> &str {
        self.0.splitn(6, ':').last().unwrap_or_default()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for AliasArn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl KeyIdentifier {
    /// Tells the four forms apart.
    ///
    /// # Errors
    /// `NotFoundException: Invalid keyId '...'` for anything else.
    pub fn parse(text: &str) -> Result<Self, Exception> {
        if is_key_id(text) {
            return Ok(Self::Id(text.to_owned()));
        }
        if text.strip_prefix("alias/").is_some_and(is_alias_rest) {
            return Ok(Self::Alias(text.to_owned()));
        }
        if let Some(arn) = KeyArn::parse(text) {
            return Ok(Self::Arn(arn));
        }
        if let Some(parts) = split(text)
            && parts
                .resource
                .strip_prefix("alias/")
                .is_some_and(is_alias_rest)
        {
            return Ok(Self::AliasArn(AliasArn(text.to_owned())));
        }
        Err(Exception::invalid_key_id(text))
    }

    /// Whether the identifier is an alias name or alias ARN.
    pub fn is_alias(&self) -> bool {
        matches!(self, Self::Alias(_) | Self::AliasArn(_))
    }

    /// The key ARN it names in the caller's account and Region, or the alias to look up.
    ///
    /// # Errors
    /// The alias ARN, when the identifier is an alias.
    pub fn key_arn(&self, account: &str, region: &str) -> Result<KeyArn, AliasArn> {
        match self {
            Self::Id(id) => Ok(KeyArn::new(account, region, id)),
            Self::Arn(arn) => Ok(arn.clone()),
            Self::Alias(name) => Err(AliasArn::new(account, region, name)),
            Self::AliasArn(arn) => Err(arn.clone()),
        }
    }
}

fn is_alias_rest(rest: &str) -> bool {
    !rest.is_empty() && is_alias_text(rest)
}

/// The characters that an alias name may have: `^[a-zA-Z0-9:/_-]+$`.
pub fn is_alias_text(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 256
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b":/_-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";

    #[test]
    fn the_four_forms_are_told_apart() {
        let arn = format!("arn:aws:kms:us-east-2:111122223333:key/{ID}");
        let alias_arn = "arn:aws:kms:us-east-2:111122223333:alias/ExampleAlias";
        assert_eq!(KeyIdentifier::parse(ID), Ok(KeyIdentifier::Id(ID.into())));
        assert_eq!(
            KeyIdentifier::parse(&arn).map(|id| id.key_arn("000000000000", "eu-west-1")),
            Ok(Ok(KeyArn(arn.clone())))
        );
        assert_eq!(
            KeyIdentifier::parse("alias/ExampleAlias")
                .map(|id| id.key_arn("111122223333", "us-east-2")),
            Ok(Err(AliasArn(alias_arn.into())))
        );
        assert!(KeyIdentifier::parse(alias_arn).is_ok_and(|id| id.is_alias()));
    }

    #[test]
    fn an_arn_gives_its_parts_back() {
        let arn = KeyArn::new("111122223333", "cn-north-1", ID);
        assert_eq!(
            arn.as_str(),
            format!("arn:aws-cn:kms:cn-north-1:111122223333:key/{ID}")
        );
        assert_eq!(
            (arn.region(), arn.account(), arn.key_id()),
            ("cn-north-1", "111122223333", ID)
        );
    }

    #[test]
    fn what_is_no_identifier_is_not_found_with_its_text() {
        for text in [
            "",
            "alias/",
            "alias/a b",
            "key",
            "arn:aws:s3:::b",
            "mrk-12",
            "alias/ä",
        ] {
            let error = KeyIdentifier::parse(text).expect_err("no identifier");
            assert_eq!(
                error.message(),
                Some(format!("Invalid keyId '{text}'").as_str())
            );
        }
    }
}
