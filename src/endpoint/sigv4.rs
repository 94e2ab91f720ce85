//! Signature Version 4: who says to have sent a request, and whether the signature holds.
//!
//! Pure over the headers, the body and the clock. Must not know the keystore: between
//! [`Claim::read`] and [`Claim::verify`] the caller looks the secret of [`Claim::key_id`] up.
//!
//! Verification signs the request again, over exactly the headers that are listed, and compares
//! in constant time. It is written by hand, since the SDK's own crate only signs: it adds
//! `x-amz-date` and `host` to whatever it is given, so that a request dated by `Date` alone comes
//! out otherwise, and brings some thirty crates for five HMACs.
//!
//! What must be signed: `host`, the date, and every `x-amz-*` header that is there, the operation
//! above all: a signed body must not be good for another operation. The path is `/` and the query
//! is empty in every canonical request: a signature for anything else does not match.
//!
//! Faults are found in the order in which AWS finds them, and have AWS's texts: the header's form,
//! the date, what is signed, the algorithm, the scope, the key, the signature, the session token.
//! There are no sessions here: a session token is never valid. The texts hold a digest of the
//! header where they need to name it, and never a secret.
//!
//! Source: AWS General Reference, "Signature Version 4 signing process"; the order and the texts
//! from recorded answers of AWS services.

mod date;
mod refusal;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
pub use hyper::header::HeaderMap;
pub use refusal::Refusal;

use crate::codec::hex;
use crate::kms::ids::is_region;
use crate::primitives::{equal, hmac_sha256, sha256};
use crate::secret::{Secret, SecretBytes};
use date::{basic, instant};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SERVICE: &str = "kms";
const TERMINATOR: &str = "aws4_request";

/// Seconds that a client's clock may be off.
const SKEW: i64 = 5 * 60;

/// Whom a request says to be from: complete and current, but not verified.
#[derive(Debug)]
pub struct Claim<'a> {
    key_id: &'a str,
    region: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
    timestamp: String,
}

impl<'a> Claim<'a> {
    /// Reads the claim of a request that arrives at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// [`Refusal`]: everything that is wrong before the secret is needed.
    pub fn read(headers: &'a HeaderMap, query: Option<&str>, now: i64) -> Result<Self, Refusal> {
        let authorization = authorization(headers, query)?;
        let digest = || STANDARD.encode(sha256(&[authorization.as_bytes()]));
        let (algorithm, parameters) = authorization.split_once(' ').unwrap_or((authorization, ""));
        let parameters = Parameters::read(parameters)
            .map_err(|fault| fault.unwrap_or_else(|| Refusal::NotAPair { digest: digest() }))?;
        let (date_header, date) = if headers.contains_key("x-amz-date") {
            ("x-amz-date", only(headers, "x-amz-date"))
        } else {
            ("date", only(headers, "date"))
        };
        let (Some(credential), Some(signature), Some(signed_headers), Some(date)) = (
            parameters.credential,
            parameters.signature,
            parameters.signed_headers,
            date,
        ) else {
            return Err(Refusal::Incomplete {
                missing: parameters.missing(date.is_some()),
                digest: digest(),
            });
        };

        let signed = instant(date).ok_or_else(|| Refusal::DateForm {
            found: date.to_owned(),
        })?;
        current(signed, now)?;
        all_signed(headers, signed_headers, date_header)?;
        if algorithm != ALGORITHM {
            return Err(Refusal::Algorithm {
                found: algorithm.to_owned(),
            });
        }
        let timestamp = basic(signed);
        let elements: Vec<_> = credential.split('/').collect();
        let &[key_id, day, region, service, terminator] = elements.as_slice() else {
            return Err(Refusal::Credential {
                found: credential.to_owned(),
            });
        };
        in_scope(&timestamp, [day, region, service, terminator])?;
        if let Some(found) = only(headers, "x-amz-content-sha256")
            && (found == "UNSIGNED-PAYLOAD" || found.starts_with("STREAMING-"))
        {
            return Err(Refusal::UnsignedPayload {
                found: found.to_owned(),
            });
        }
        if !is_access_key_id(key_id) {
            return Err(Refusal::Token);
        }
        Ok(Self {
            key_id,
            region,
            signed_headers,
            signature,
            timestamp,
        })
    }

    /// The access key that the request says to be signed with.
    pub fn key_id(&self) -> &'a str {
        self.key_id
    }

    /// The Region that the request is meant for.
    pub fn region(&self) -> &'a str {
        self.region
    }

    /// Verifies the claim with the secret of its access key.
    ///
    /// # Errors
    /// [`Refusal::Mismatch`] when the signature is not the one over this request,
    /// [`Refusal::Token`] when a session token comes with it.
    pub fn verify(
        &self,
        method: &str,
        headers: &HeaderMap,
        body: &[u8],
        secret: &[u8],
    ) -> Result<(), Refusal> {
        let signable = Signable {
            method,
            headers,
            signed_headers: self.signed_headers,
            body,
            timestamp: &self.timestamp,
            region: self.region,
        };
        let expected = signable.signature(secret).ok_or(Refusal::Mismatch)?;
        equal(expected.as_bytes(), self.signature.as_bytes()).map_err(|_| Refusal::Mismatch)?;
        let digest = || hex(&sha256(&[body]));
        if only(headers, "x-amz-content-sha256").is_some_and(|claimed| claimed != digest()) {
            return Err(Refusal::Mismatch);
        }
        if headers.contains_key("x-amz-security-token") {
            return Err(Refusal::Token);
        }
        Ok(())
    }
}

/// The Region that an Authorization header names, whether or not its signature holds.
pub fn claimed_region(headers: &HeaderMap) -> Option<&str> {
    let (_, credential) = only(headers, "authorization")?.split_once("Credential=")?;
    let region = credential.split('/').nth(2)?;
    is_region(region).then_some(region)
}

/// A request as it is signed.
#[derive(Debug, Clone, Copy)]
pub struct Signable<'a> {
    /// The method.
    pub method: &'a str,
    /// All headers.
    pub headers: &'a HeaderMap,
    /// The names of those that are signed: lower case, ascending, separated by `;`.
    pub signed_headers: &'a str,
    /// The body.
    pub body: &'a [u8],
    /// The date in the form `20260102T030405Z`.
    pub timestamp: &'a str,
    /// The Region.
    pub region: &'a str,
}

impl Signable<'_> {
    /// The signature under `secret`, in lower-case hexadecimal; `None` when a listed header is not
    /// there, or the list is not in its form.
    pub fn signature(&self, secret: &[u8]) -> Option<String> {
        let day = self.timestamp.get(..8)?;
        let request = hex(&sha256(&[&self.canonical()?]));
        let Self {
            timestamp, region, ..
        } = self;
        let text =
            format!("{ALGORITHM}\n{timestamp}\n{day}/{region}/{SERVICE}/{TERMINATOR}\n{request}");
        let key = signing_key(secret, day, region);
        Some(hex(&hmac_sha256(key.expose(), &[text.as_bytes()])))
    }

    /// The canonical request.
    fn canonical(&self) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(512);
        out.extend_from_slice(self.method.as_bytes());
        out.extend_from_slice(b"\n/\n\n");
        let mut before = "";
        for name in self.signed_headers.split(';') {
            // Ascending, so that no header counts twice.
            if name <= before || name.bytes().any(|byte| byte.is_ascii_uppercase()) {
                return None;
            }
            before = name;
            out.extend_from_slice(name.as_bytes());
            let mut separator = b':';
            for value in self.headers.get_all(name) {
                out.push(separator);
                push_collapsed(value.as_bytes(), &mut out);
                separator = b',';
            }
            if separator == b':' {
                return None;
            }
            out.push(b'\n');
        }
        out.push(b'\n');
        out.extend_from_slice(self.signed_headers.as_bytes());
        out.push(b'\n');
        out.extend_from_slice(hex(&sha256(&[self.body])).as_bytes());
        Some(out)
    }
}

/// Appends a header's value with its ends trimmed and each run of blanks made one.
fn push_collapsed(value: &[u8], out: &mut Vec<u8>) {
    let words = value
        .trim_ascii()
        .split(|byte| *byte == b' ')
        .filter(|word| !word.is_empty());
    for (index, word) in words.enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
}

fn signing_key(secret: &[u8], day: &str, region: &str) -> Secret<32> {
    fn keyed(key: &[u8], part: &str) -> Secret<32> {
        Secret::fill(|out| *out = hmac_sha256(key, &[part.as_bytes()]))
    }
    let first = SecretBytes::new([&b"AWS4"[..], secret].concat());
    [region, SERVICE, TERMINATOR]
        .into_iter()
        .fold(keyed(first.expose(), day), |key, part| {
            keyed(key.expose(), part)
        })
}

/// The Authorization header, if it can be one of Signature Version 4.
fn authorization<'a>(headers: &'a HeaderMap, query: Option<&str>) -> Result<&'a str, Refusal> {
    let in_query = query.unwrap_or_default().split('&').any(|parameter| {
        let name = parameter.split('=').next().unwrap_or_default();
        ["X-Amz-Algorithm", "X-Amz-Signature"].contains(&name)
    });
    let in_header = only(headers, "authorization").filter(|text| text.starts_with("AWS4-"));
    match (in_header, in_query) {
        (Some(_), true) => Err(Refusal::Twice),
        (None, true) => Err(Refusal::QueryString),
        (None, false) => Err(Refusal::Missing),
        (Some(text), false) => Ok(text),
    }
}

/// The value of a header that stands once and is text. One that stands twice is as good as absent:
/// there is no telling which of the two was meant.
pub(super) fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// The parameters of an Authorization header.
#[derive(Debug, Default)]
struct Parameters<'a> {
    credential: Option<&'a str>,
    signature: Option<&'a str>,
    signed_headers: Option<&'a str>,
}

impl<'a> Parameters<'a> {
    /// Reads `Name=value, ..`; fails with `None` for something that is not a pair.
    fn read(text: &'a str) -> Result<Self, Option<Refusal>> {
        let mut found = Self::default();
        for pair in text.split(',').map(str::trim) {
            if pair.is_empty() {
                continue;
            }
            let Some((name, value)) = pair.split_once('=') else {
                return Err(None);
            };
            let slot = match name {
                "Credential" => &mut found.credential,
                "Signature" => &mut found.signature,
                "SignedHeaders" => &mut found.signed_headers,
                _ => continue,
            };
            if slot.is_some() {
                return Err(Some(Refusal::Repeated {
                    parameter: name.to_owned(),
                }));
            }
            *slot = Some(value).filter(|value| !value.is_empty());
        }
        Ok(found)
    }

    /// A sentence for everything that is missing.
    fn missing(&self, dated: bool) -> String {
        let mut out = String::new();
        for (name, value) in [
            ("Credential", self.credential),
            ("Signature", self.signature),
            ("SignedHeaders", self.signed_headers),
        ] {
            if value.is_none() {
                out.push_str(&format!(
                    "Authorization header requires '{name}' parameter. "
                ));
            }
        }
        if !dated {
            out.push_str(
                "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' \
                 header. ",
            );
        }
        out
    }
}

/// Checks that `signed` is not further from `now` than the clocks may be.
fn current(signed: i64, now: i64) -> Result<(), Refusal> {
    let (earliest, latest) = (now.saturating_sub(SKEW), now.saturating_add(SKEW));
    if signed < earliest {
        return Err(Refusal::Expired {
            signed: basic(signed),
            earliest: basic(earliest),
            now: basic(now),
        });
    }
    if signed > latest {
        return Err(Refusal::NotYetCurrent {
            signed: basic(signed),
            latest: basic(latest),
            now: basic(now),
        });
    }
    Ok(())
}

/// Checks that the list has everything that must be signed.
fn all_signed(headers: &HeaderMap, list: &str, date_header: &str) -> Result<(), Refusal> {
    let listed = |name: &str| list.split(';').any(|entry| entry == name);
    if !listed("host") {
        return Err(Refusal::Unsigned {
            header: "'Host' or ':authority'".to_owned(),
        });
    }
    let amz = headers
        .keys()
        .map(|name| name.as_str())
        .filter(|name| name.starts_with("x-amz-"));
    for name in [date_header].into_iter().chain(amz) {
        if !listed(name) {
            return Err(Refusal::Unsigned {
                header: format!("'{}'", title(name)),
            });
        }
    }
    Ok(())
}

/// Checks a scope, all of it at once.
fn in_scope(timestamp: &str, scope: [&str; 4]) -> Result<(), Refusal> {
    let [day, region, service, terminator] = scope;
    let mut faults = Vec::new();
    if !is_region(region) {
        faults.push(format!(
            "Credential should be scoped to a valid region, not '{region}'."
        ));
    }
    if service != SERVICE {
        faults.push(format!(
            "Credential should be scoped to correct service: '{SERVICE}'."
        ));
    }
    if terminator != TERMINATOR {
        faults.push(format!(
            "Credential should be scoped with a valid terminator: '{TERMINATOR}', not \
             '{terminator}'."
        ));
    }
    let expected = timestamp.get(..8).unwrap_or_default();
    if day != expected {
        faults.push(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from \
             HTTP: '{day}' != '{expected}', from '{timestamp}'."
        ));
    }
    if faults.is_empty() {
        return Ok(());
    }
    Err(Refusal::Scope {
        faults: faults.join(" "),
    })
}

/// The form of an access key's id, so that nothing else is looked up.
fn is_access_key_id(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// `x-amz-date` as `X-Amz-Date`.
fn title(name: &str) -> String {
    let mut start = true;
    name.chars()
        .map(|letter| {
            let shown = if start {
                letter.to_ascii_uppercase()
            } else {
                letter
            };
            start = letter == '-';
            shown
        })
        .collect()
}

#[cfg(test)]
mod tests;
