//! Builds an S3 client from a location and the standard AWS settings.

use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    Builder, IdentityCache, ProvideCredentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

use super::S3Location;
use super::error::root_cause;
use crate::error::{Error, ErrorKind, Result};

/// The maximum number of attempts for one request.
const MAX_ATTEMPTS: u32 = 5;
/// How long a body may transfer no byte.
const STALL_GRACE: Duration = Duration::from_secs(20);
/// How long a credentials provider may take; it may be a process or a sign-on service.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(30);

/// Builds a client for the location.
///
/// # Errors
/// `Usage` without a region, `Authentication` without credentials.
pub(super) async fn connect(location: &S3Location) -> Result<Client> {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(https_client())
        .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS))
        .timeout_config(timeouts(0))
        .stalled_stream_protection(StalledStreamProtectionConfig::enabled().grace_period(STALL_GRACE).build())
        .identity_cache(IdentityCache::lazy().load_timeout(CREDENTIALS_TIMEOUT).build());
    if let Some(region) = &location.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(endpoint) = &location.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    let settings = loader.load().await;
    // `settings` contains `AWS_ENDPOINT_URL`; the SDK reads the variable for S3 only inside `Builder::from`.
    let variable = std::env::var("AWS_ENDPOINT_URL_S3").ok().filter(|value| !value.is_empty());
    let custom = settings.endpoint_url().is_some() || variable.is_some();
    let mut builder = Builder::from(&settings);
    if let Some(endpoint) = &location.endpoint {
        // The parameter of the URL takes precedence over the variable.
        builder = builder.endpoint_url(endpoint);
    }
    if custom {
        builder = builder
            .force_path_style(true)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    }
    match settings.region() {
        Some(_) => {}
        // Every S3-compatible server accepts it, and most accept no other.
        None if custom => builder = builder.region(Region::new("us-east-1")),
        None => {
            let message =
                format!("no AWS region is known for s3://{}: set AWS_REGION or add ?region=", location.bucket);
            return Err(Error::usage(message));
        }
    }
    check_credentials(settings.credentials_provider(), &location.bucket).await?;
    Ok(Client::from_conf(builder.build()))
}

/// The server's URL where it is not Amazon's own, as far as the URL and the environment say.
pub(super) fn endpoint(location: &S3Location) -> Option<String> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let given = location.endpoint.clone();
    given.or_else(|| variable("AWS_ENDPOINT_URL_S3")).or_else(|| variable("AWS_ENDPOINT_URL"))
}

/// Loads the credentials once, so that a failure is an error about credentials and not about a request.
async fn check_credentials(provider: Option<impl ProvideCredentials>, bucket: &str) -> Result<()> {
    let why = match provider {
        None => "none are configured".to_owned(),
        Some(provider) => match tokio::time::timeout(CREDENTIALS_TIMEOUT, provider.provide_credentials()).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => match root_cause(&error) {
                // It says only what it tried.
                why if why.contains("Attempted") => no_credentials_found(),
                why => format!("{}; the last place said: {}", no_credentials_found(), why.trim_end_matches('.')),
            },
            Err(_) => "their provider gave no answer in time".to_owned(),
        },
    };
    let message = format!("no AWS credentials for s3://{bucket}: {why}; set one of them, or run with a role");
    Err(Error::new(ErrorKind::Authentication, message))
}

/// Lists where the SDK looked for credentials; the SDK's own message lists names of Rust types.
fn no_credentials_found() -> String {
    let profile = std::env::var("AWS_PROFILE").unwrap_or_else(|_| "default".to_owned());
    format!(
        "none were found in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, in the profile `{profile}` of ~/.aws/config and \
         ~/.aws/credentials, by AWS_WEB_IDENTITY_TOKEN_FILE, nor as the role of a container or of this machine"
    )
}

/// The time limits for a request that sends `bytes`: the first byte of the response comes only after the last byte
/// sent.
pub(super) fn timeouts(bytes: usize) -> TimeoutConfig {
    // Half a megabit per second suffices. The stall protection detects a connection without progress much sooner.
    let sending = Duration::from_secs(bytes as u64 / (64 << 10));
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(Duration::from_secs(30) + sending)
        .operation_attempt_timeout(Duration::from_secs(60) + sending)
        .build()
}

/// Builds an HTTP client whose TLS uses ring, as everywhere in this crate.
fn https_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}
