//! Answers as the service writes them: statuses, headers, bodies; and which operation is meant.
//!
//! Owns the only table of HTTP statuses. Must not know who calls.
//!
//! Source: recorded answers of the real service. It answers every fault of a client with 400,
//! whatever the model says.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_TYPE, EXPIRES, HeaderMap, HeaderName, HeaderValue, PRAGMA,
};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use serde_json::{Map, Value};

use super::sigv4::{Refusal, only};
use crate::kms::api::Operation;
use crate::kms::error::{Exception, ExceptionKind};
use crate::kms::json;

const JSON: &str = "application/x-amz-json-1.1";
const TARGET: &str = "TrentService.";

/// Why a request is not answered with what it asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    status: StatusCode,
    name: &'static str,
    message: Option<String>,
    /// The rest of the request is not read: the connection cannot go on.
    closes: bool,
}

impl Failure {
    fn new(status: StatusCode, name: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            name,
            message: Some(message.into()),
            closes: false,
        }
    }

    /// The exception's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// A body of more than `most` bytes.
    pub fn too_large(most: usize) -> Self {
        Self {
            closes: true,
            ..Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "RequestEntityTooLargeException",
                format!("HTTP content length exceeded {most} bytes."),
            )
        }
    }

    /// A body that does not come in time.
    pub fn too_slow() -> Self {
        Self {
            closes: true,
            ..Self::new(
                StatusCode::REQUEST_TIMEOUT,
                "RequestTimeoutException",
                "The request's body did not arrive in time.",
            )
        }
    }

    /// A body that ends before it is whole, or is not chunked as it says.
    pub fn cut_short() -> Self {
        Self {
            closes: true,
            ..Self::new(
                StatusCode::BAD_REQUEST,
                ExceptionKind::Serialization.name(),
                "The request's body could not be read.",
            )
        }
    }

    /// A request that a browser sends for a page, where no signature is asked for.
    pub fn from_a_page() -> Self {
        Self::new(
            status(ExceptionKind::AccessDenied),
            ExceptionKind::AccessDenied.name(),
            "Requests of web pages need a signature.",
        )
    }

    fn body(&self) -> Vec<u8> {
        let mut members = Map::new();
        members.insert("__type".to_owned(), Value::from(self.name));
        if let Some(message) = &self.message {
            // The service spells it so for this exception alone.
            let member = if self.name == ExceptionKind::AccessDenied.name() {
                "Message"
            } else {
                "message"
            };
            members.insert(member.to_owned(), Value::from(message.as_str()));
        }
        Value::Object(members).to_string().into_bytes()
    }
}

impl From<Exception> for Failure {
    fn from(exception: Exception) -> Self {
        Self {
            status: status(exception.kind()),
            name: exception.kind().name(),
            message: exception.message().map(str::to_owned),
            closes: false,
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::new(StatusCode::BAD_REQUEST, refusal.name(), refusal.to_string())
    }
}

/// The status of an exception.
fn status(kind: ExceptionKind) -> StatusCode {
    match kind {
        ExceptionKind::AccessDenied
        | ExceptionKind::AlreadyExists
        | ExceptionKind::Conflict
        | ExceptionKind::Disabled
        | ExceptionKind::DryRunOperation
        | ExceptionKind::ExpiredImportToken
        | ExceptionKind::IncorrectKey
        | ExceptionKind::IncorrectKeyMaterial
        | ExceptionKind::InvalidAliasName
        | ExceptionKind::InvalidArn
        | ExceptionKind::InvalidCiphertext
        | ExceptionKind::InvalidGrantId
        | ExceptionKind::InvalidGrantToken
        | ExceptionKind::InvalidImportToken
        | ExceptionKind::InvalidKeyUsage
        | ExceptionKind::InvalidMarker
        | ExceptionKind::KmsInvalidState
        | ExceptionKind::LimitExceeded
        | ExceptionKind::MalformedPolicyDocument
        | ExceptionKind::NotFound
        | ExceptionKind::Serialization
        | ExceptionKind::Tag
        | ExceptionKind::Throttling
        | ExceptionKind::UnknownOperation
        | ExceptionKind::UnsupportedOperation
        | ExceptionKind::Validation => StatusCode::BAD_REQUEST,
        ExceptionKind::KeyUnavailable | ExceptionKind::KmsInternal => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        ExceptionKind::DependencyTimeout => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// The operation that a request is for: `POST /`, its name in `X-Amz-Target`.
///
/// The content type may be that of JSON 1.0 as well, and may have parameters: the bytes are the
/// same, and AWS does not mind either.
///
/// # Errors
/// `UnknownOperationException`.
pub(super) fn operation(parts: &Parts) -> Result<&'static Operation, Failure> {
    let unknown = |status, message: &str| {
        Failure::new(status, ExceptionKind::UnknownOperation.name(), message)
    };
    let query = parts.uri.query().unwrap_or_default();
    if parts.method != Method::POST || parts.uri.path() != "/" || !query.is_empty() {
        return Err(unknown(
            StatusCode::NOT_FOUND,
            "Every operation is a POST to / without a query string.",
        ));
    }
    if !is_json(&parts.headers) {
        return Err(unknown(
            StatusCode::BAD_REQUEST,
            "The Content-Type of every operation is application/x-amz-json-1.1.",
        ));
    }
    only(&parts.headers, "x-amz-target")
        .and_then(|target| target.strip_prefix(TARGET))
        .and_then(Operation::find)
        .ok_or_else(|| Exception::unknown_operation().into())
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = only(headers, "content-type")
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim();
    [JSON, "application/x-amz-json-1.0"]
        .iter()
        .any(|known| media_type.eq_ignore_ascii_case(known))
}

/// The members of a request.
///
/// # Errors
/// `SerializationException`.
pub(super) fn request(body: &[u8]) -> Result<Value, Failure> {
    json::parse(body).map_err(|e| Exception::unreadable(e.to_string()).into())
}

/// The body that answers `operation`: compact JSON, or nothing for an operation without output.
pub(super) fn body(operation: &Operation, response: &Value) -> Vec<u8> {
    if operation.output.is_empty() {
        return Vec::new();
    }
    response.to_string().into_bytes()
}

/// Writes an answer down.
pub(super) fn response(
    request_id: &str,
    outcome: Result<Vec<u8>, Failure>,
) -> Response<Full<Bytes>> {
    let (status, closes, body) = match outcome {
        Ok(body) => (StatusCode::OK, false, body),
        Err(failure) => (failure.status, failure.closes, failure.body()),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, JSON),
        (
            CACHE_CONTROL,
            "no-cache, no-store, must-revalidate, private",
        ),
        (EXPIRES, "0"),
        (PRAGMA, "no-cache"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if closes {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    headers.insert(
        HeaderName::from_static("x-amzn-requestid"),
        HeaderValue::from_str(request_id).expect("internal error: a UUID is a header's value"),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn text(failure: &Failure) -> String {
        String::from_utf8(failure.body()).expect("JSON is UTF-8")
    }

    #[test]
    fn errors_are_written_as_the_service_writes_them() {
        for (failure, expected) in [
            (
                Failure::from(Exception::incorrect_key()),
                r#"{"__type":"IncorrectKeyException","message":"The key ID in the request does not identify a CMK that can perform this operation."}"#,
            ),
            (
                Exception::invalid_ciphertext().into(),
                r#"{"__type":"InvalidCiphertextException"}"#,
            ),
            (
                Exception::unknown_operation().into(),
                r#"{"__type":"UnknownOperationException"}"#,
            ),
            (
                Failure::from_a_page(),
                r#"{"__type":"AccessDeniedException","Message":"Requests of web pages need a signature."}"#,
            ),
            (
                Refusal::Token.into(),
                r#"{"__type":"UnrecognizedClientException","message":"The security token included in the request is invalid."}"#,
            ),
        ] {
            assert_eq!(text(&failure), expected);
            assert_eq!(failure.status, StatusCode::BAD_REQUEST);
        }
    }

    #[test]
    fn only_faults_of_the_service_are_5xx() {
        for kind in ExceptionKind::ALL.iter() {
            let expected = match kind.name() {
                "KeyUnavailableException" | "KMSInternalException" => 500,
                "DependencyTimeoutException" => 503,
                _ => 400,
            };
            assert_eq!(status(*kind).as_u16(), expected, "{}", kind.name());
        }
    }

    #[test]
    fn every_answer_has_a_request_id_and_may_not_be_stored() {
        for (outcome, status) in [
            (Ok(b"{}".to_vec()), 200),
            (Err(Failure::too_large(7)), 413),
            (Err(Failure::too_slow()), 408),
        ] {
            let closes = outcome.is_err();
            let answer = response("f0e1", outcome);
            assert_eq!(answer.status().as_u16(), status);
            let header = |name: &str| only(answer.headers(), name);
            assert_eq!(header("x-amzn-requestid"), Some("f0e1"));
            assert_eq!(header("content-type"), Some(JSON));
            assert_eq!(
                header("cache-control"),
                Some("no-cache, no-store, must-revalidate, private")
            );
            assert_eq!(header("connection").is_some(), closes);
        }
    }

    fn parts(method: &str, uri: &str, content_type: &str, target: &str) -> Parts {
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header(CONTENT_TYPE, content_type)
            .header("X-Amz-Target", target)
            .body(())
            .expect("a request");
        request.into_parts().0
    }

    #[test]
    fn an_operation_is_found_by_its_target() {
        for content_type in [
            JSON,
            "application/x-amz-json-1.0",
            "Application/X-Amz-JSON-1.1; charset=utf-8",
        ] {
            let parts = parts("POST", "/", content_type, "TrentService.ReEncrypt");
            let found = operation(&parts).map(|operation| operation.name);
            assert_eq!(found.ok(), Some("ReEncrypt"), "{content_type}");
        }
    }

    #[test]
    fn anything_else_is_an_unknown_operation() {
        for (method, uri, content_type, target, status) in [
            ("GET", "/", JSON, "TrentService.ReEncrypt", 404),
            ("POST", "/x", JSON, "TrentService.ReEncrypt", 404),
            ("POST", "//", JSON, "TrentService.ReEncrypt", 404),
            ("POST", "/?a=b", JSON, "TrentService.ReEncrypt", 404),
            (
                "POST",
                "/",
                "application/json",
                "TrentService.ReEncrypt",
                400,
            ),
            ("POST", "/", "", "TrentService.ReEncrypt", 400),
            ("POST", "/", JSON, "ReEncrypt", 400),
            ("POST", "/", JSON, "TrentService.", 400),
            ("POST", "/", JSON, "TrentService.reencrypt", 400),
            ("POST", "/", JSON, "TrentService.ReEncrypt ", 400),
            ("POST", "/", JSON, "DynamoDB_20120810.GetItem", 400),
        ] {
            let parts = parts(method, uri, content_type, target);
            let failure = operation(&parts)
                .map(|operation| operation.name)
                .expect_err("unknown");
            assert_eq!(failure.name, "UnknownOperationException", "{method} {uri}");
            assert_eq!(failure.status.as_u16(), status, "{method} {uri} {target}");
        }
    }

    #[test]
    fn a_target_that_stands_twice_names_no_operation() {
        let mut parts = parts("POST", "/", JSON, "TrentService.ReEncrypt");
        parts.headers.append(
            "x-amz-target",
            HeaderValue::from_static("TrentService.ReEncrypt"),
        );
        assert!(operation(&parts).is_err());
    }

    #[test]
    fn unreadable_requests_are_serialization_exceptions() {
        for bytes in [&b""[..], b"{\"a\":1,\"a\":2}", b"{]", b"\xff"] {
            let failure = request(bytes).expect_err("unreadable");
            assert_eq!(failure.name, "SerializationException");
            assert_eq!(failure.status, StatusCode::BAD_REQUEST);
        }
    }

    #[test]
    fn operations_without_output_are_answered_with_nothing() {
        let of = |name: &str| Operation::find(name).expect("in the table");
        let empty = Value::Object(Map::new());
        assert!(body(of("EnableKey"), &empty).is_empty());
        assert_eq!(body(of("GenerateRandom"), &empty), b"{}");
    }
}
