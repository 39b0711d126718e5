//! TLS between QEMU's servers and their clients, each with a certificate of the lab's authority.

use std::{fs, io, path::Path, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{
        CertificateDer, IpAddr, Ipv4Addr, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName,
        pem::PemObject,
    },
};

use super::stream::Stream;
use crate::LabError;

/// The names of the files are those that QEMU and SPICE look for.
const AUTHORITY: &str = "ca-cert.pem";
const SERVER: &str = "server-cert.pem";
const SERVER_KEY: &str = "server-key.pem";
/// These are for the lab.
const CLIENT: &str = "client-cert.pem";
const CLIENT_KEY: &str = "client-key.pem";

/// Writes the certificates of an authority, a server and a client into a machine's folder.
pub(crate) fn write_certificates(folder: &Path) -> io::Result<()> {
    let write = |name: &str, text: String| fs::write(folder.join(name), text);
    let authority = authority().map_err(io::Error::other)?;
    write(AUTHORITY, authority.pem())?;
    for (role, certificate_file, key_file) in [
        (ExtendedKeyUsagePurpose::ServerAuth, SERVER, SERVER_KEY),
        (ExtendedKeyUsagePurpose::ClientAuth, CLIENT, CLIENT_KEY),
    ] {
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let certificate = end(role)
            .and_then(|end| end.signed_by(&key, &authority))
            .map_err(io::Error::other)?;
        write(certificate_file, certificate.pem())?;
        write(key_file, key.serialize_pem())?;
    }
    Ok(())
}

/// Speaks TLS to a server, with the client's certificate.
pub(crate) fn wrap(stream: Box<dyn Stream>, folder: &Path) -> Result<Box<dyn Stream>, LabError> {
    let failed = |error: rustls::Error| LabError::Unexpected(format!("TLS: {error}"));
    let connection = ClientConnection::new(Arc::new(client(folder)?), local()).map_err(failed)?;
    Ok(Box::new(StreamOwned::new(connection, stream)))
}

fn client(folder: &Path) -> Result<ClientConfig, LabError> {
    let unreadable = |error| LabError::Unexpected(format!("a certificate: {error}"));
    let certificate = |name| CertificateDer::from_pem_file(folder.join(name)).map_err(unreadable);
    let key = PrivatePkcs8KeyDer::from_pem_file(folder.join(CLIENT_KEY)).map_err(unreadable)?;
    let unfit = |error: rustls::Error| LabError::Unexpected(format!("TLS: {error}"));
    let mut trusted = RootCertStore::empty();
    trusted.add(certificate(AUTHORITY)?).map_err(unfit)?;
    ClientConfig::builder()
        .with_root_certificates(trusted)
        .with_client_auth_cert(vec![certificate(CLIENT)?], PrivateKeyDer::Pkcs8(key))
        .map_err(unfit)
}

fn local() -> ServerName<'static> {
    ServerName::IpAddress(IpAddr::V4(Ipv4Addr::from([127, 0, 0, 1])))
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut authority = named("lab authority")?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(authority, KeyPair::generate()?)
}

/// A certificate of either end.
fn end(role: ExtendedKeyUsagePurpose) -> Result<CertificateParams, rcgen::Error> {
    let name = match role {
        ExtendedKeyUsagePurpose::ClientAuth => "client",
        _ => "localhost",
    };
    let mut end = named(name)?;
    end.is_ca = IsCa::ExplicitNoCa;
    end.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
    ];
    end.extended_key_usages = vec![role];
    Ok(end)
}

/// Valid for longer than anybody's clock is wrong.
fn named(name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()])?;
    params.not_before = date_time_ymd(2001, 1, 1);
    params.not_after = date_time_ymd(2049, 1, 1);
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, "Lab");
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}
