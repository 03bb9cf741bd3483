//! Converts the options of a `mysql_async` connection into the address of a server.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use mysql_async::{Opts, SslOpts};
use secrecy::SecretString;

use super::{SinkEndpoint, SourceEndpoint};
use crate::error::{Error, Result};
use crate::mysql::{PemFile, ServerAddress, ServerRole, TlsMode, TlsOptions};

/// The connection's host, port, socket, account, database and TLS options. Options of pools, of sockets and of statements
/// (`pool_opts`, `tcp_keepalive`, `stmt_cache_size`, …) do not apply. An option that changes what a connection does and
/// that dbgraft does not have, such as `init`, is an error of the job.
impl From<Opts> for SourceEndpoint {
    fn from(options: Opts) -> Self {
        Self::MySqlAsync(options)
    }
}

/// As for [`SourceEndpoint`].
impl From<Opts> for SinkEndpoint {
    fn from(options: Opts) -> Self {
        Self::MySqlAsync(options)
    }
}

/// Converts the options into an address.
///
/// # Errors
/// `Usage`: an option without an equivalent, or no database.
pub(super) async fn server_address(options: &Opts, role: ServerRole) -> Result<ServerAddress> {
    let without_equivalent = [
        ("after_connect", options.after_connect().is_some()),
        ("init", !options.init().is_empty()),
        ("setup", !options.setup().is_empty()),
        ("local_infile_handler", options.local_infile_handler().is_some()),
        ("resolved_ips", options.resolved_ips().is_some()),
        ("compression", options.compression().is_some()),
        ("secure_auth(false)", !options.secure_auth()),
    ];
    if let Some((name, _)) = without_equivalent.iter().find(|(_, is_set)| *is_set) {
        return Err(unsupported(name));
    }
    let Some(database) = options.db_name() else {
        return Err(Error::usage("the mysql_async options name no database: set db_name"));
    };
    let account = (
        options.user().map(str::to_owned).unwrap_or_else(|| "root".to_owned()),
        SecretString::from(options.pass().unwrap_or_default()),
    );
    let mut address =
        ServerAddress::new(role, (options.ip_or_hostname(), options.tcp_port()), account, database.to_owned());
    address.socket = options.socket().map(PathBuf::from);
    address.cleartext_password = options.enable_cleartext_plugin();
    address.tls = match options.ssl_opts() {
        Some(tls) => tls_options(tls).await?,
        None => TlsOptions { mode: TlsMode::Disabled, ..TlsOptions::default() },
    };
    Ok(address)
}

/// Converts the TLS options. Root certificates replace the public authorities.
async fn tls_options(tls: &SslOpts) -> Result<TlsOptions> {
    if tls.tls_hostname_override().is_some() {
        return Err(unsupported("danger_tls_hostname_override"));
    }
    if tls.disable_built_in_roots() && tls.root_certs().is_empty() && !tls.accept_invalid_certs() {
        return Err(Error::usage(
            "the mysql_async options trust no authority: add root_certs, or leave disable_built_in_roots out",
        ));
    }
    let mode = match (tls.accept_invalid_certs(), tls.skip_domain_validation()) {
        (true, _) => TlsMode::Required,
        (false, true) => TlsMode::VerifyCa,
        (false, false) => TlsMode::VerifyIdentity,
    };
    let mut roots = Vec::new();
    for root in tls.root_certs() {
        roots.push(pem("root_certs", root.read().await)?);
    }
    let (mut cert, mut key) = (None, None);
    if let Some(identity) = tls.client_identity() {
        cert = Some(pem("client_identity", identity.cert_chain().read().await)?);
        key = Some(pem("client_identity", identity.priv_key().read().await)?);
    }
    Ok(TlsOptions {
        mode,
        // An authority has no effect where certificates are not verified.
        ca: if mode == TlsMode::Required { None } else { concatenate(roots) },
        cert,
        key,
    })
}

/// Checks a certificate or key, which must be in PEM form.
fn pem(option: &str, content: io::Result<Cow<'_, [u8]>>) -> Result<PemFile> {
    let content = content
        .map_err(|error| Error::usage(format!("cannot read the mysql_async option {option}")).caused_by(error))?;
    match std::str::from_utf8(&content) {
        Ok(text) if text.contains("-----BEGIN ") => {
            Ok(PemFile { path: Path::new(option).to_owned(), text: text.to_owned().into() })
        }
        _ => Err(Error::usage(format!("the mysql_async option {option} is not in PEM form, as dbgraft needs it"))),
    }
}

fn concatenate(files: Vec<PemFile>) -> Option<PemFile> {
    use secrecy::ExposeSecret as _;

    let path = files.first()?.path.clone();
    let text = files.iter().map(|file| file.text.expose_secret()).collect::<Vec<_>>().join("\n");
    Some(PemFile { path, text: text.into() })
}

fn unsupported(option: &str) -> Error {
    Error::usage(format!("the mysql_async option {option} has no equivalent in dbgraft: leave it out"))
}

#[cfg(test)]
mod tests {
    use mysql_async::OptsBuilder;
    use secrecy::ExposeSecret as _;

    use super::*;

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n";

    async fn convert(builder: OptsBuilder) -> Result<ServerAddress> {
        server_address(&builder.db_name(Some("shop")).into(), ServerRole::Source).await
    }

    async fn over_tls(tls: SslOpts) -> Result<TlsOptions> {
        convert(OptsBuilder::default().ssl_opts(tls)).await.map(|address| address.tls)
    }

    #[tokio::test]
    async fn an_address_has_the_parts_of_the_options() {
        let builder = OptsBuilder::default().ip_or_hostname("db").tcp_port(3307).user(Some("app")).pass(Some("p@ss"));
        let address = convert(builder.socket(Some("/run/s")).enable_cleartext_plugin(true)).await.unwrap();
        assert_eq!((address.host.as_str(), address.port, address.user.as_str()), ("db", 3307, "app"));
        assert_eq!((address.password.expose_secret(), address.database.as_str()), ("p@ss", "shop"));
        assert_eq!(address.socket, Some(PathBuf::from("/run/s")));
        assert!(address.cleartext_password && address.tls.mode == TlsMode::Disabled);
    }

    #[tokio::test]
    async fn tls_options_have_a_mode() {
        let file = || CERTIFICATE.as_bytes().to_vec().into();
        assert_eq!(over_tls(SslOpts::default()).await.unwrap().mode, TlsMode::VerifyIdentity);
        let skipped = SslOpts::default().with_danger_skip_domain_validation(true).with_root_certs(vec![file(), file()]);
        let tls = over_tls(skipped).await.unwrap();
        assert_eq!(
            (tls.mode, tls.ca.unwrap().text.expose_secret().matches(CERTIFICATE).count()),
            (TlsMode::VerifyCa, 2)
        );
        let accepted = SslOpts::default().with_danger_accept_invalid_certs(true).with_root_certs(vec![file()]);
        let tls = over_tls(accepted).await.unwrap();
        assert!(tls.mode == TlsMode::Required && tls.ca.is_none());
    }

    #[tokio::test]
    async fn options_without_an_equivalent_are_named() {
        let message = |result: Result<TlsOptions>| result.map(drop).unwrap_err().to_string();
        assert!(message(over_tls(SslOpts::default().with_disable_built_in_roots(true)).await).contains("no authority"));
        let renamed = SslOpts::default().with_danger_tls_hostname_override(Some("x"));
        assert!(message(over_tls(renamed).await).contains("tls_hostname_override"));
        let binary = SslOpts::default().with_root_certs(vec![b"\xFF".to_vec().into()]);
        assert!(message(over_tls(binary).await).contains("PEM"));
        let error = convert(OptsBuilder::default().init(vec!["SET @a = 1"])).await.map(drop).unwrap_err();
        assert!(error.to_string().contains("option init "), "{error}");
        let error = server_address(&OptsBuilder::default().into(), ServerRole::Target).await.map(drop).unwrap_err();
        assert!(error.to_string().contains("db_name"), "{error}");
    }
}
