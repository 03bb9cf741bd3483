//! A certificate authority with a server and a client certificate. The certificates that MySQL generates contain no host
//! names, and MariaDB 10.11 generates none.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use crate::error::{Context, Result};

/// PEM files.
#[derive(Debug)]
pub(crate) struct Certificates {
    pub(crate) ca: PathBuf,
    pub(crate) server_cert: PathBuf,
    pub(crate) server_key: PathBuf,
    pub(crate) client_cert: PathBuf,
    pub(crate) client_key: PathBuf,
}

impl Certificates {
    /// The paths in `dir`; MySQL uses the same names in its data directory.
    pub(crate) fn in_dir(dir: &Path) -> Self {
        Self {
            ca: dir.join("ca.pem"),
            server_cert: dir.join("server-cert.pem"),
            server_key: dir.join("server-key.pem"),
            client_cert: dir.join("client-cert.pem"),
            client_key: dir.join("client-key.pem"),
        }
    }

    /// Creates them; the server certificate is for `localhost`, 127.0.0.1 and ::1.
    pub(crate) fn create(dir: &Path) -> Result<Self> {
        let files = Self::in_dir(dir);
        let failed = "cannot make certificates";
        let mut params = CertificateParams::new(Vec::new()).context(failed)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "dbgraft testkit CA");
        let key = KeyPair::generate().context(failed)?;
        let ca = params.self_signed(&key).context(failed)?;
        write(&files.ca, &ca.pem())?;
        let issuer = Issuer::new(params, key);

        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
        let server = leaf(names, "dbgraft testkit server", ExtendedKeyUsagePurpose::ServerAuth)?;
        sign(server, &issuer, &files.server_cert, &files.server_key)?;
        let client = leaf(Vec::new(), "dbgraft testkit client", ExtendedKeyUsagePurpose::ClientAuth)?;
        sign(client, &issuer, &files.client_cert, &files.client_key)?;
        Ok(files)
    }
}

fn leaf(names: Vec<String>, common_name: &str, usage: ExtendedKeyUsagePurpose) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(names).context("cannot make certificates")?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn sign(params: CertificateParams, issuer: &Issuer<'_, KeyPair>, cert: &Path, key: &Path) -> Result<()> {
    let pair = KeyPair::generate().context("cannot make certificates")?;
    let signed = params.signed_by(&pair, issuer).context("cannot make certificates")?;
    write(cert, &signed.pem())?;
    write(key, &pair.serialize_pem())
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).at("cannot write", path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).at("cannot protect", path)
}
