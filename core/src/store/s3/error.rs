//! Translates the errors of the AWS SDK, in one line each and without key material.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::error::{Error, ErrorKind};

/// Translates the error of a failed call; `action` and `url` make "cannot write s3://bucket/key".
pub(super) fn translate<E>(action: &str, url: &str, bucket: &str, error: &SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match error {
        SdkError::ServiceError(service) => {
            let (error, raw) = (service.err(), service.raw());
            let response = ServiceResponse {
                status: raw.status().as_u16(),
                code: error.code(),
                message: error.message(),
                region: raw.headers().get(REGION_HEADER),
            };
            service_error(action, url, bucket, &response)
        }
        SdkError::TimeoutError(_) => {
            Error::new(ErrorKind::Connection, format!("cannot {action} {url}: no answer in time")).retryable()
        }
        SdkError::DispatchFailure(failure) if failure.is_io() || failure.is_timeout() => {
            Error::new(ErrorKind::Connection, format!("cannot {action} {url}: {}", root_cause(error))).retryable()
        }
        SdkError::DispatchFailure(_) if chain(error).any(|cause| cause.to_string().contains("credential")) => {
            Error::new(ErrorKind::Authentication, format!("cannot {action} {url}: {}", root_cause(error)))
        }
        SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => {
            Error::new(ErrorKind::Connection, format!("cannot {action} {url}: {}", root_cause(error))).retryable()
        }
        _ => Error::new(ErrorKind::Storage, format!("cannot {action} {url}: {}", root_cause(error))),
    }
}

/// The response header with the bucket's region.
pub(in crate::store) const REGION_HEADER: &str = "x-amz-bucket-region";

/// An error response of the service.
pub(in crate::store) struct ServiceResponse<'a> {
    pub(in crate::store) status: u16,
    pub(in crate::store) code: Option<&'a str>,
    pub(in crate::store) message: Option<&'a str>,
    /// The bucket's region.
    pub(in crate::store) region: Option<&'a str>,
}

/// Translates an error response of the service.
pub(in crate::store) fn service_error(action: &str, url: &str, bucket: &str, response: &ServiceResponse<'_>) -> Error {
    let status = response.status;
    let code = response.code.unwrap_or("no code");
    // Some services repeat the rejected request in it, over several lines.
    let message = response.message.unwrap_or("no message").lines().next().unwrap_or_default();
    let text = match response.code {
        Some(code) => format!("cannot {action} {url}: {code} ({status}): {message}"),
        None => {
            format!("cannot {action} {url}: HTTP {status} without a code of S3: is this the address of an S3 server?")
        }
    };
    match code {
        "NoSuchBucket" => {
            Error::new(ErrorKind::Storage, format!("cannot {action} {url}: bucket {bucket} does not exist"))
        }
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => Error::new(ErrorKind::Permission, text),
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "InvalidToken"
        | "TokenRefreshRequired"
        | "RequestTimeTooSkewed"
        | "InvalidSecurity"
        | "NotSignedUp" => {
            // The message of a wrong signature carries nothing else than the access key's own text.
            let remedy = remedy(code);
            Error::new(ErrorKind::Authentication, format!("cannot {action} {url}: {code} ({status}): {remedy}"))
        }
        "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => {
            let hint = |region| format!("; the bucket is in {region}, say ?region={region}");
            let hint = response.region.map_or_else(String::new, hint);
            Error::new(ErrorKind::Storage, format!("cannot {action} {url}: {code} ({status}){hint}"))
        }
        "SlowDown"
        | "RequestTimeout"
        | "InternalError"
        | "ServiceUnavailable"
        | "Throttling"
        | "ThrottlingException" => Error::new(ErrorKind::Storage, text).retryable(),
        _ if matches!(status, 429 | 500..) => Error::new(ErrorKind::Storage, text).retryable(),
        _ if status == 403 => Error::new(ErrorKind::Permission, text),
        _ => Error::new(ErrorKind::Storage, text),
    }
}

/// The remedy for rejected credentials.
fn remedy(code: &str) -> &'static str {
    match code {
        "InvalidAccessKeyId" => "no such access key is known there: see AWS_ACCESS_KEY_ID, or the profile",
        "SignatureDoesNotMatch" => {
            "the secret key is not that of the access key: see AWS_SECRET_ACCESS_KEY, or the profile"
        }
        "ExpiredToken" | "TokenRefreshRequired" => "the session has ended: log in again for new AWS keys",
        "InvalidToken" => "the session token is not that of the access key: see AWS_SESSION_TOKEN",
        "RequestTimeTooSkewed" => "the clock of this machine is wrong: set it",
        _ => "see AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile",
    }
}

/// The text of the last error in the chain, which names the cause; the errors above it name only the layer.
pub(in crate::store) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let last = chain(error).last().map(ToString::to_string).unwrap_or_default();
    last.lines().next().unwrap_or_default().to_owned()
}

/// Iterates over an error and its causes.
fn chain<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}
