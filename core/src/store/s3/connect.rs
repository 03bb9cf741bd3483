//! From the URL and the standard AWS settings to a client.

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
use super::error::innermost;
use crate::error::{Error, ErrorKind, Result};

/// How often a request is tried.
const ATTEMPTS: u32 = 5;
/// How long a stream may stand still.
const GRACE: Duration = Duration::from_secs(20);
/// How long the credentials may take: a process or a sign-on service may be asked for them.
const CREDENTIALS: Duration = Duration::from_secs(30);

/// A client for the location.
///
/// # Errors
/// `Usage` without a region, `Authentication` without credentials.
pub(super) async fn connect(location: &S3Location) -> Result<Client> {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http())
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(timeouts(0))
        .stalled_stream_protection(StalledStreamProtectionConfig::enabled().grace_period(GRACE).build())
        .identity_cache(IdentityCache::lazy().load_timeout(CREDENTIALS).build());
    if let Some(region) = &location.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(endpoint) = &location.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    let settings = loader.load().await;
    // With `AWS_ENDPOINT_URL` the SDK knows by itself; the variable for S3 alone it reads only inside `Builder::from`.
    let variable = std::env::var("AWS_ENDPOINT_URL_S3").ok().filter(|value| !value.is_empty());
    let custom = settings.endpoint_url().is_some() || variable.is_some();
    let mut builder = Builder::from(&settings);
    if let Some(endpoint) = &location.endpoint {
        // What the URL says goes before the variable.
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
        // Every S3-compatible server takes it, and most know no other.
        None if custom => builder = builder.region(Region::new("us-east-1")),
        None => {
            let message =
                format!("no AWS region is known for s3://{}: set AWS_REGION or add ?region=", location.bucket);
            return Err(Error::usage(message));
        }
    }
    credentials(settings.credentials_provider(), &location.bucket).await?;
    Ok(Client::from_conf(builder.build()))
}

/// The server's URL where it is not Amazon's own, as far as the URL and the environment say.
pub(super) fn endpoint(location: &S3Location) -> Option<String> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let given = location.endpoint.clone();
    given.or_else(|| variable("AWS_ENDPOINT_URL_S3")).or_else(|| variable("AWS_ENDPOINT_URL"))
}

/// Asks for the credentials once, so that their lack is told as what it is.
async fn credentials(provider: Option<impl ProvideCredentials>, bucket: &str) -> Result<()> {
    let why = match provider {
        None => "none are configured".to_owned(),
        Some(provider) => match tokio::time::timeout(CREDENTIALS, provider.provide_credentials()).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => match innermost(&error) {
                // It says only what it tried.
                why if why.contains("Attempted") => looked(),
                why => format!("{}; the last place said: {}", looked(), why.trim_end_matches('.')),
            },
            Err(_) => "their provider gave no answer in time".to_owned(),
        },
    };
    let message = format!("no AWS credentials for s3://{bucket}: {why}; set one of them, or run with a role");
    Err(Error::new(ErrorKind::Authentication, message))
}

/// Where the SDK has looked in vain; its own list has nothing but names of Rust.
fn looked() -> String {
    let profile = std::env::var("AWS_PROFILE").unwrap_or_else(|_| "default".to_owned());
    format!(
        "none were found in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, in the profile `{profile}` of ~/.aws/config and \
         ~/.aws/credentials, by AWS_WEB_IDENTITY_TOKEN_FILE, nor as the role of a container or of this machine"
    )
}

/// The time limits for a request that sends `bytes`: the first byte of the answer comes only after the last one sent.
pub(super) fn timeouts(bytes: usize) -> TimeoutConfig {
    // A line of half a megabit a second still gets through; one that stands still is noticed much sooner.
    let sending = Duration::from_secs(bytes as u64 / (64 << 10));
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(Duration::from_secs(30) + sending)
        .operation_attempt_timeout(Duration::from_secs(60) + sending)
        .build()
}

/// TLS by ring, as everywhere in this crate.
fn http() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}
