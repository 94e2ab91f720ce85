//! One request: read, attributed to a caller, called, answered.
//!
//! The order is what keeps strangers out: the body is read (its hash is part of the signature),
//! the caller is settled, and only then anybody looks at the operation and its members.

use std::net::IpAddr;
use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{HeaderMap, ORIGIN, USER_AGENT};
use hyper::http::request::Parts;
use hyper::{Request, Response};
use serde_json::Value;
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::sigv4::{Claim, Refusal, claimed_region};
use super::wire::{self, Failure};
use super::{Auth, Limits};
use crate::kms::Kms;
use crate::kms::api::Operation;
use crate::kms::caller::{Caller, Source};
use crate::kms::error::Exception;

/// Letters of a User-Agent that are kept.
const USER_AGENT_LETTERS: usize = 512;

/// What requests are answered with.
pub(super) struct Front {
    pub kms: Arc<Kms>,
    pub auth: Auth,
    pub limits: Limits,
    /// Whether connections are encrypted (aws:SecureTransport).
    pub secure: bool,
    /// Places for calls that take longer.
    pub slow: Arc<Semaphore>,
}

impl Front {
    /// Answers a request.
    pub async fn answer(
        &self,
        peer: Option<IpAddr>,
        request: Request<Incoming>,
    ) -> Response<Full<Bytes>> {
        let request_id = crate::kms::new_id().to_string();
        let outcome = self.outcome(peer, &request_id, request).await;
        match &outcome {
            Ok(_) => log::debug!("endpoint: request {request_id}: answered"),
            Err(failure) => log::debug!("endpoint: request {request_id}: {}", failure.name()),
        }
        wire::response(&request_id, outcome)
    }

    async fn outcome(
        &self,
        peer: Option<IpAddr>,
        request_id: &str,
        request: Request<Incoming>,
    ) -> Result<Vec<u8>, Failure> {
        let (parts, body) = request.into_parts();
        let body = read(body, &self.limits).await?;
        let source = Source {
            address: peer,
            user_agent: user_agent(&parts.headers),
            secure: self.secure,
            request_id: Some(request_id.to_owned()),
            ..Source::default()
        };
        let caller = self.caller(source, &parts, &body)?;
        let operation = wire::operation(&parts)?;
        let request = wire::request(&body)?;
        log::debug!("endpoint: request {request_id}: {}", operation.name);
        let response = self.call(caller, operation, request).await?;
        Ok(wire::body(operation, &response))
    }

    /// Settles who calls. The Region is the one that the signature is scoped to.
    fn caller(&self, mut source: Source, parts: &Parts, body: &[u8]) -> Result<Caller, Failure> {
        match &self.auth {
            Auth::SigV4 => {
                let now = OffsetDateTime::now_utc().unix_timestamp();
                let claim = Claim::read(&parts.headers, parts.uri.query(), now)?;
                let key = self
                    .kms
                    .access_key(claim.key_id())?
                    .filter(|key| key.active)
                    .ok_or(Refusal::Token)?;
                let secret = key.secret.expose();
                claim.verify(parts.method.as_str(), &parts.headers, body, secret)?;
                source.access_key = Some(key.id.clone());
                let caller = Caller::new(&key.principal, &key.account, claim.region());
                Ok(caller.from_source(source))
            }
            Auth::None { account, region } => {
                if parts.headers.contains_key(ORIGIN) {
                    return Err(Failure::from_a_page());
                }
                let region = claimed_region(&parts.headers).unwrap_or(region);
                Ok(Caller::root(account, region).from_source(source))
            }
        }
    }

    /// Calls the KMS: on this thread if the call takes microseconds, as switching threads takes
    /// longer than that, and on one of its own if it may take longer, as every other connection of
    /// this thread would wait for it.
    async fn call(
        &self,
        caller: Caller,
        operation: &'static Operation,
        request: Value,
    ) -> Result<Value, Exception> {
        if is_quick(operation.name, &request) {
            return self.kms.call(&caller, operation, request);
        }
        let kms = Arc::clone(&self.kms);
        // Waited for here, where a client that goes away takes its call with it: what was handed
        // over runs to its end.
        let permit = Arc::clone(&self.slow)
            .acquire_owned()
            .await
            .map_err(|_| Exception::internal())?;
        let work = move || {
            let _permit = permit;
            kms.call(&caller, operation, request)
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| {
            log::error!("endpoint: {}: {e}", operation.name);
            Err(Exception::internal())
        })
    }
}

/// Whether a call takes microseconds: AES, and no write to the keystore. RSA and SM2 always come
/// with the name of their algorithm, or fail at once.
fn is_quick(operation: &str, request: &Value) -> bool {
    const QUICK: &[&str] = &[
        "Decrypt",
        "Encrypt",
        "GenerateDataKey",
        "GenerateDataKeyWithoutPlaintext",
        "GenerateRandom",
        "ReEncrypt",
    ];
    const ALGORITHMS: &[&str] = &[
        "EncryptionAlgorithm",
        "SourceEncryptionAlgorithm",
        "DestinationEncryptionAlgorithm",
    ];
    let context = ["", "Source", "Destination"].iter().all(|side| {
        let member = format!("{side}EncryptionContext");
        let pairs = request.get(member).and_then(Value::as_object);
        // Conditions of policies may be matched against all of it.
        let letters = pairs
            .into_iter()
            .flatten()
            .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len));
        letters.sum::<usize>() <= 4096
    });
    QUICK.contains(&operation)
        && context
        && ALGORITHMS.iter().all(|member| {
            request
                .get(member)
                .is_none_or(|value| value.as_str() == Some("SYMMETRIC_DEFAULT"))
        })
}

/// Reads a body.
///
/// One that is too large is read on for a while, to be thrown away: a client that is still sending
/// when the connection closes sees a reset, and not the answer that says why.
async fn read(mut incoming: Incoming, limits: &Limits) -> Result<Vec<u8>, Failure> {
    let most = limits.body_bytes;
    let thrown_away = most.saturating_mul(8);
    let declared = incoming.size_hint().lower();
    if declared > thrown_away as u64 {
        return Err(Failure::too_large(most));
    }
    let reading = async {
        let mut bytes = Vec::with_capacity((declared as usize).min(most));
        let mut received = 0_usize;
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(|_| Failure::cut_short())?;
            // Trailers say nothing that is asked for.
            let Ok(data) = frame.into_data() else {
                continue;
            };
            received = received.saturating_add(data.len());
            if received > thrown_away {
                break;
            }
            if received <= most {
                bytes.extend_from_slice(&data);
            }
        }
        if received > most {
            return Err(Failure::too_large(most));
        }
        Ok(bytes)
    };
    timeout(limits.body, reading)
        .await
        .unwrap_or_else(|_| Err(Failure::too_slow()))
}

/// The User-Agent, bounded, and with nothing in it that does not print.
fn user_agent(headers: &HeaderMap) -> String {
    let Some(value) = headers.get(USER_AGENT) else {
        return String::new();
    };
    value
        .as_bytes()
        .iter()
        .take(USER_AGENT_LETTERS)
        .map(|byte| match byte {
            b' '..=b'~' => char::from(*byte),
            _ => '?',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;
    use serde_json::json;

    #[test]
    fn a_user_agent_is_bounded_and_prints() {
        let mut headers = HeaderMap::new();
        assert_eq!(user_agent(&headers), "");
        let value = HeaderValue::from_bytes(b"aws-cli/1 \xc3\xa4\tx").expect("a value");
        headers.insert(USER_AGENT, value);
        assert_eq!(user_agent(&headers), "aws-cli/1 ???x");
        let value = HeaderValue::from_str(&"a".repeat(5000)).expect("a value");
        headers.insert(USER_AGENT, value);
        assert_eq!(user_agent(&headers).len(), USER_AGENT_LETTERS);
    }

    #[test]
    fn only_symmetric_calls_stay_on_the_thread_of_the_connection() {
        let rsa = json!({"EncryptionAlgorithm": "RSAES_OAEP_SHA_256"});
        let to_rsa = json!({"DestinationEncryptionAlgorithm": "RSAES_OAEP_SHA_1"});
        let symmetric = json!({"SourceEncryptionAlgorithm": "SYMMETRIC_DEFAULT"});
        for (operation, request, quick) in [
            ("ReEncrypt", &json!({}), true),
            ("ReEncrypt", &symmetric, true),
            ("ReEncrypt", &to_rsa, false),
            ("Encrypt", &rsa, false),
            ("Encrypt", &json!([]), true),
            ("Encrypt", &json!({"EncryptionAlgorithm": 7}), false),
            ("CreateKey", &json!({}), false),
            ("GenerateDataKeyPair", &json!({}), false),
        ] {
            assert_eq!(is_quick(operation, request), quick, "{operation} {request}");
        }
    }
}
