//! The client of `--endpoint-url`: sends a request, signed, and reads the answer, as the AWS CLI
//! does.
//!
//! Owns the connection and its faults; knows no operation. A server's fault, a throttled request
//! and a broken connection are tried again, as in the AWS CLI's legacy mode: five attempts in all.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use serde_json::Value;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Timeout};

use crate::endpoint::sigv4::{HeaderMap, Signable};
use crate::kms::api::Operation;
use crate::secret::SecretBytes;

const ATTEMPTS: u32 = 5;
const TYPE: &str = "application/x-amz-json-1.1";
/// The largest answer that is read.
const LARGEST: u64 = 16 << 20;
const SIGNED: &str = "content-type;host;x-amz-date;x-amz-target";
const SIGNED_WITH_TOKEN: &str = "content-type;host;x-amz-date;x-amz-security-token;x-amz-target";

/// What a request is signed with.
pub struct Credentials {
    /// The access key's id.
    pub access_key: String,
    /// Its secret.
    pub secret: SecretBytes,
    /// A session's token.
    pub session_token: Option<String>,
}

/// How to reach an endpoint.
pub struct Target {
    /// Its URL.
    pub url: String,
    /// The Region that is signed for.
    pub region: String,
    /// `None`: the request is not signed.
    pub credentials: Option<Credentials>,
    /// Whether its certificate is checked.
    pub verify_ssl: bool,
    /// Certificates that are trusted instead of the system's.
    pub ca_bundle: Option<PathBuf>,
    /// Seconds to wait for an answer; 0 for ever.
    pub read_timeout: i64,
    /// Seconds to wait for a connection; 0 for ever.
    pub connect_timeout: i64,
}

/// Why there is no answer: what the AWS CLI prints.
#[derive(Debug, thiserror::Error)]
pub enum RemoteFault {
    /// The service answered with an exception.
    #[error("An error occurred ({code}) when calling the {operation} operation: {message}")]
    Service {
        /// The exception's name.
        code: String,
        /// Its message.
        message: String,
        /// The operation.
        operation: &'static str,
    },
    /// Nobody is there.
    #[error("Could not connect to the endpoint URL: \"{url}\"")]
    Connect {
        /// The endpoint.
        url: String,
    },
    /// Nobody answered in time.
    #[error("Connect timeout on endpoint URL: \"{url}\"")]
    ConnectTimeout {
        /// The endpoint.
        url: String,
    },
    /// The answer did not come in time.
    #[error("Read timeout on endpoint URL: \"{url}\"")]
    ReadTimeout {
        /// The endpoint.
        url: String,
    },
    /// The connection was lost.
    #[error(
        "Connection was closed before we received a valid response from endpoint URL: \"{url}\"."
    )]
    Closed {
        /// The endpoint.
        url: String,
    },
    /// The certificate is not trusted.
    #[error("SSL validation failed for {url} {reason}")]
    Tls {
        /// The endpoint.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// A value of the connection that cannot be used.
    #[error("{0}")]
    Setup(String),
}

impl RemoteFault {
    /// Whether the same request may succeed at another time.
    fn is_passing(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::ConnectTimeout { .. }
            | Self::ReadTimeout { .. }
            | Self::Closed { .. } => true,
            Self::Service { code, .. } => matches!(
                code.as_str(),
                "ThrottlingException"
                    | "Throttling"
                    | "RequestLimitExceeded"
                    | "KMSInternalException"
                    | "DependencyTimeoutException"
                    | "KeyUnavailableException"
                    | "500"
                    | "502"
                    | "503"
                    | "504"
            ),
            Self::Tls { .. } | Self::Setup(_) => false,
        }
    }
}

/// An endpoint.
pub struct Remote {
    agent: Agent,
    target: Target,
    url: String,
    host: String,
}

fn seconds(given: i64, name: &str) -> Result<Option<Duration>, RemoteFault> {
    match u64::try_from(given) {
        Ok(0) => Ok(None),
        Ok(seconds) => Ok(Some(Duration::from_secs(seconds))),
        Err(_) => Err(RemoteFault::Setup(format!(
            "Attempted to set {name} timeout to {given}, but the timeout cannot be set to a value \
             less than or equal to 0."
        ))),
    }
}

fn tls(target: &Target) -> Result<TlsConfig, RemoteFault> {
    let builder = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
        .disable_verification(!target.verify_ssl);
    let bundle = target.ca_bundle.as_ref();
    let scheme = target.url.split(':').next().unwrap_or_default();
    let is_https = scheme.eq_ignore_ascii_case("https");
    let Some(path) = bundle.filter(|_| target.verify_ssl && is_https) else {
        return Ok(builder.root_certs(RootCerts::PlatformVerifier).build());
    };
    let fault = |reason: &str| RemoteFault::Tls {
        url: target.url.clone(),
        reason: reason.to_owned(),
    };
    let pem = std::fs::read(path).map_err(|_| fault("[Errno 2] No such file or directory"))?;
    let certificates: Vec<Certificate<'static>> = ureq::tls::parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(ureq::tls::PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(fault(
            "[X509: NO_CERTIFICATE_OR_CRL_FOUND] no certificate or crl found",
        ));
    }
    Ok(builder
        .root_certs(RootCerts::Specific(Arc::new(certificates)))
        .build())
}

impl Remote {
    /// Prepares to call an endpoint; nothing is sent yet.
    ///
    /// # Errors
    /// [`RemoteFault::Setup`].
    pub fn new(target: Target) -> Result<Self, RemoteFault> {
        let uri: ureq::http::Uri = target
            .url
            .parse()
            .map_err(|_| RemoteFault::Setup(format!("Invalid endpoint: {}", target.url)))?;
        let authority = uri
            .authority()
            .ok_or_else(|| RemoteFault::Setup(format!("Invalid endpoint: {}", target.url)))?;
        // Standard ports are not named in Host, and so not signed.
        let standard = match uri.scheme_str() {
            Some("https") => 443,
            _ => 80,
        };
        let host = match authority.port_u16() {
            Some(port) if port != standard => format!("{}:{port}", authority.host()),
            _ => authority.host().to_owned(),
        };
        let url = if uri.path().is_empty() || target.url.ends_with(authority.as_str()) {
            format!("{}/", target.url)
        } else {
            target.url.clone()
        };
        let agent = Agent::config_builder()
            .tls_config(tls(&target)?)
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(seconds(target.connect_timeout, "connect")?)
            .timeout_recv_response(seconds(target.read_timeout, "read")?)
            .timeout_recv_body(seconds(target.read_timeout, "read")?)
            .build()
            .new_agent();
        Ok(Self {
            agent,
            target,
            url,
            host,
        })
    }

    /// Calls an operation.
    ///
    /// # Errors
    /// [`RemoteFault`].
    pub fn call(&self, operation: &Operation, request: &Value) -> Result<Value, RemoteFault> {
        let body = request.to_string();
        let mut attempt = 1;
        loop {
            let result = self.send(operation, body.as_bytes());
            match result {
                Err(fault) if fault.is_passing() && attempt < ATTEMPTS => {
                    log::debug!("attempt {attempt}: {fault}");
                    std::thread::sleep(pause(attempt));
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    fn send(&self, operation: &Operation, body: &[u8]) -> Result<Value, RemoteFault> {
        let mut request = self
            .agent
            .post(&self.url)
            .header("user-agent", concat!("rekeyfs/", env!("CARGO_PKG_VERSION")));
        for (name, value) in self.headers(operation, body)? {
            request = request.header(name, value);
        }
        log::debug!(
            "POST {} {} ({} bytes)",
            self.url,
            operation.name,
            body.len()
        );
        let mut response = request.send(body).map_err(|e| self.fault(&e))?;
        let status = response.status().as_u16();
        let text = response
            .body_mut()
            .with_config()
            .limit(LARGEST)
            .read_to_vec()
            .map_err(|e| self.fault(&e))?;
        log::debug!("status {status} ({} bytes)", text.len());
        let parsed: Option<Value> = serde_json::from_slice(&text).ok();
        if status < 300 {
            return Ok(parsed.unwrap_or_else(|| Value::Object(serde_json::Map::new())));
        }
        Err(exception(operation.name, status, parsed.as_ref()))
    }

    fn headers(
        &self,
        operation: &Operation,
        body: &[u8],
    ) -> Result<Vec<(&'static str, String)>, RemoteFault> {
        let mut headers = vec![
            ("content-type", TYPE.to_owned()),
            ("host", self.host.clone()),
            ("x-amz-target", format!("TrentService.{}", operation.name)),
        ];
        let Some(credentials) = &self.target.credentials else {
            return Ok(headers);
        };
        let timestamp = timestamp();
        headers.push(("x-amz-date", timestamp.clone()));
        if let Some(token) = &credentials.session_token {
            headers.push(("x-amz-security-token", token.clone()));
        }
        let invalid = |name: &str| RemoteFault::Setup(format!("Invalid header value for {name}"));
        let mut map = HeaderMap::new();
        for (name, value) in &headers {
            map.insert(*name, value.parse().map_err(|_| invalid(name))?);
        }
        let signed_headers = match credentials.session_token {
            Some(_) => SIGNED_WITH_TOKEN,
            None => SIGNED,
        };
        let signature = Signable {
            method: "POST",
            headers: &map,
            signed_headers,
            body,
            timestamp: &timestamp,
            region: &self.target.region,
        }
        .signature(credentials.secret.expose())
        .ok_or_else(|| invalid("authorization"))?;
        let day = timestamp.get(..8).unwrap_or_default();
        headers.push((
            "authorization",
            format!(
                "AWS4-HMAC-SHA256 Credential={}/{day}/{}/kms/aws4_request, \
                 SignedHeaders={signed_headers}, Signature={signature}",
                credentials.access_key, self.target.region
            ),
        ));
        Ok(headers)
    }

    fn fault(&self, error: &ureq::Error) -> RemoteFault {
        let url = self.url.clone();
        match error {
            ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
                RemoteFault::ConnectTimeout { url }
            }
            ureq::Error::Timeout(_) => RemoteFault::ReadTimeout { url },
            ureq::Error::Rustls(e) => RemoteFault::Tls {
                url,
                reason: e.to_string(),
            },
            ureq::Error::Io(e) => match e.kind() {
                std::io::ErrorKind::ConnectionReset
                | std::io::ErrorKind::UnexpectedEof
                | std::io::ErrorKind::BrokenPipe => RemoteFault::Closed { url },
                std::io::ErrorKind::InvalidData => RemoteFault::Tls {
                    url,
                    reason: e.to_string(),
                },
                _ => RemoteFault::Connect { url },
            },
            ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => {
                RemoteFault::Connect { url }
            }
            other => {
                log::debug!("{other}");
                RemoteFault::Closed { url }
            }
        }
    }
}

fn exception(operation: &'static str, status: u16, body: Option<&Value>) -> RemoteFault {
    let text = |names: &[&str]| {
        names
            .iter()
            .find_map(|name| body?.get(name)?.as_str())
            .map(str::to_owned)
    };
    let code = text(&["__type", "code"]).map_or_else(
        || status.to_string(),
        |name| {
            let name = name.split(':').next().unwrap_or_default().to_owned();
            name.rsplit('#').next().unwrap_or_default().to_owned()
        },
    );
    RemoteFault::Service {
        code,
        message: text(&["message", "Message"]).unwrap_or_default(),
        operation,
    }
}

/// A random part of a time that doubles with each attempt.
fn pause(attempt: u32) -> Duration {
    let random = crate::primitives::random::<2>();
    let share = f64::from(u16::from_le_bytes(random)) / f64::from(u16::MAX);
    Duration::from_secs_f64(share * f64::from(1_u32 << (attempt - 1).min(5)))
}

fn timestamp() -> String {
    crate::kms::iso_time(crate::kms::now()).replace(['-', ':'], "")
}
