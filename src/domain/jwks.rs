//! The keys of an issuer (RFC 7517), and signatures by them (RFC 7515, 7518 and 8037).
//!
//! INVARIANT: a key verifies signatures of its own kind only, whatever a token says of itself. There is no algorithm here for
//! which a key that is published would have to be secret, and none that is none.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};
use serde::Deserialize;

/// The most keys that are taken of one issuer.
const MOST_KEYS: usize = 100;

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// With SHA-384.
    Rs384,
    /// With SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// With SHA-384.
    Ps384,
    /// With SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// All that there are.
    pub const ALL: [Self; 9] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// Its registered name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }
}

/// What a key is made of.
#[derive(Clone, PartialEq, Eq)]
enum Material {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// The uncompressed point.
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// A public key. Nothing of it is secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    id: String,
    /// The only algorithm that it is for, where it says so.
    algorithm: Option<Algorithm>,
    material: Material,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", self.id)
    }
}

impl Key {
    /// Whether it can verify what is signed so.
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        self.rsa(algorithm).is_some() || self.other(algorithm).is_some()
    }

    /// Whether its holder has signed this message so.
    pub fn has_signed(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if let Some((parameters, n, e)) = self.rsa(algorithm) {
            let key = RsaPublicKeyComponents { n, e };
            return key.verify(parameters, message, signature).is_ok();
        }
        self.other(algorithm).is_some_and(|(verification, bytes)| {
            let key = UnparsedPublicKey::new(verification, bytes);
            key.verify(message, signature).is_ok()
        })
    }

    fn is_for(&self, algorithm: Algorithm) -> bool {
        self.algorithm.is_none_or(|only| only == algorithm)
    }

    fn rsa(&self, algorithm: Algorithm) -> Option<(&'static RsaParameters, &[u8], &[u8])> {
        let Material::Rsa { modulus, exponent } = &self.material else {
            return None;
        };
        let parameters = match algorithm {
            _ if !self.is_for(algorithm) => return None,
            Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
            Algorithm::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
            Algorithm::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
            Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
            Algorithm::Ps384 => &RSA_PSS_2048_8192_SHA384,
            Algorithm::Ps512 => &RSA_PSS_2048_8192_SHA512,
            Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => return None,
        };
        Some((parameters, modulus, exponent))
    }

    fn other(&self, algorithm: Algorithm) -> Option<(&'static dyn VerificationAlgorithm, &[u8])> {
        match (algorithm, &self.material) {
            _ if !self.is_for(algorithm) => None,
            (Algorithm::Es256, Material::P256(point)) => Some((&ECDSA_P256_SHA256_FIXED, point)),
            (Algorithm::Es384, Material::P384(point)) => Some((&ECDSA_P384_SHA384_FIXED, point)),
            (Algorithm::EdDsa, Material::Ed25519(point)) => Some((&ED25519, point)),
            _ => None,
        }
    }
}

/// The keys of an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySet(Vec<Key>);

/// Why a document is no set of keys. Displays as a sentence about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It is something else.
    #[error("it is not a set of keys")]
    Malformed,
    /// There is none that could be used.
    #[error("there is no key in it that has an id and a kind that is known here")]
    Empty,
    /// There are more than anyone needs.
    #[error("there are more than {MOST_KEYS} keys in it")]
    TooMany,
}

/// As much of a key as is needed. Its kind decides which of the rest is.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

impl KeySet {
    /// Reads a document. Keys for other purposes, or of kinds that are not known, are passed over, as the standard wants.
    pub fn parse(document: &[u8]) -> Result<Self, Unusable> {
        let document: Document =
            serde_json::from_slice(document).map_err(|_| Unusable::Malformed)?;
        if document.keys.len() > MOST_KEYS {
            return Err(Unusable::TooMany);
        }
        let keys: Vec<Key> = document.keys.into_iter().filter_map(key).collect();
        match keys.is_empty() {
            true => Err(Unusable::Empty),
            false => Ok(Self(keys)),
        }
    }

    /// The keys of this id.
    pub fn of_id<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Key> {
        self.0.iter().filter(move |key| key.id == id)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

fn key(value: serde_json::Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let is_for_signatures = jwk.usage.as_deref().is_none_or(|usage| usage == "sig")
        && jwk
            .key_ops
            .as_ref()
            .is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
    if !is_for_signatures {
        return None;
    }
    let algorithm = match &jwk.alg {
        None => None,
        Some(name) => Some(Algorithm::parse(name)?),
    };
    let material = material(&jwk)?;
    Some(Key {
        id: jwk.kid?,
        algorithm,
        material,
    })
}

fn material(jwk: &Jwk) -> Option<Material> {
    let point = |size: usize| {
        let (x, y) = (coordinate(&jwk.x, size)?, coordinate(&jwk.y, size)?);
        Some([&[4], x.as_slice(), y.as_slice()].concat())
    };
    match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => Some(Material::Rsa {
            modulus: number(&jwk.n)?,
            exponent: number(&jwk.e)?,
        }),
        ("EC", Some("P-256")) => point(32).map(Material::P256),
        ("EC", Some("P-384")) => point(48).map(Material::P384),
        ("OKP", Some("Ed25519")) => coordinate(&jwk.x, 32).map(Material::Ed25519),
        _ => None,
    }
}

fn bytes(text: &Option<String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text.as_ref()?).ok()
}

fn coordinate(text: &Option<String>, size: usize) -> Option<Vec<u8>> {
    bytes(text).filter(|bytes| bytes.len() == size)
}

/// Big-endian, without zeros before it, which some issuers write.
fn number(text: &Option<String>) -> Option<Vec<u8>> {
    let bytes = bytes(text)?;
    let start = bytes.iter().position(|&byte| byte != 0)?;
    Some(bytes[start..].to_vec())
}
