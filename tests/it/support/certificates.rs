//! Certificates of authorities that are made for a test and trusted by nobody else.

use std::{fs, path::Path};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};

/// Where servers are in tests, as certificates name them.
const HERE: [&str; 2] = ["localhost", "127.0.0.1"];

/// Who signs certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub(crate) struct Certified {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    /// A new one of this name.
    pub(crate) fn new(name: &str) -> Self {
        let mut params = named(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(params, new_key()).expect("an authority is made"))
    }

    /// Its own certificate, in PEM.
    pub(crate) fn certificate(&self) -> String {
        self.0.pem()
    }

    /// For a server on this machine.
    pub(crate) fn server(&self, name: &str) -> Certified {
        self.sign(named(name, &HERE), ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// For a server on another machine.
    pub(crate) fn server_elsewhere(&self) -> Certified {
        let params = named("elsewhere", &["elsewhere.example"]);
        self.sign(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// For a server, and out of date.
    pub(crate) fn expired_server(&self) -> Certified {
        let params = expired(named("old server", &HERE));
        self.sign(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// For a client.
    pub(crate) fn client(&self) -> Certified {
        self.sign(named("client", &[]), ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// For a client, and out of date.
    pub(crate) fn expired_client(&self) -> Certified {
        let params = expired(named("old client", &[]));
        self.sign(params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// For a client, with these URIs among its names.
    pub(crate) fn workload(&self, uris: &[&str]) -> Certified {
        self.client_with(|params| params.subject_alt_names = uris.iter().map(uri).collect())
    }

    /// For a client, but for what is changed.
    pub(crate) fn client_with(&self, change: impl FnOnce(&mut CertificateParams)) -> Certified {
        let mut params = named("client", &[]);
        change(&mut params);
        self.sign(params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose) -> Certified {
        params.extended_key_usages = vec![usage];
        let key = new_key();
        let signed = params.signed_by(&key, &self.0);
        Certified {
            certificate: signed.expect("a certificate is signed").pem(),
            key: key.serialize_pem(),
        }
    }
}

impl Certified {
    /// Writes both as `<name>.pem` and `<name>.key`.
    pub(crate) fn write(&self, folder: &Path, name: &str) {
        let write = |ending: &str, text: &str| {
            fs::write(folder.join(format!("{name}.{ending}")), text).expect("a file is written");
        };
        write("pem", &self.certificate);
        write("key", &self.key);
    }
}

/// A URI among the names of a certificate.
pub(crate) fn uri(text: &&str) -> SanType {
    SanType::URI((*text).try_into().expect("ASCII"))
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("a key is made")
}

fn named(name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
    let mut params = CertificateParams::new(hosts).expect("names of hosts");
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2200, 1, 1);
    params
}

fn expired(mut params: CertificateParams) -> CertificateParams {
    params.not_after = date_time_ymd(2021, 1, 1);
    params
}
