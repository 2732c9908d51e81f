//! Tokens that name nobody: each is answered alike, and the log and the metrics say why.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::{Value, json};
use tonic::Code;

use super::{AUDIENCE, INVALID, SUBJECT, World, bearer, configuration, patiently};
use crate::support::{
    call::{credentials, unknown_secret},
    issuer::{SigningKey, TestIssuer, now, unsigned},
    server::{PLATFORM, key_of},
    status::assert_status,
};

const FAILED: &str = "was not authenticated";
const MALFORMED: &str = "it is not a signed JSON Web Token";

/// A token, under which label it is counted, and what the log says of it.
type Case = (String, &'static str, String);

struct Forge {
    key: SigningKey,
    rsa: SigningKey,
    claims: Value,
}

fn case(token: String, label: &'static str, told: &str) -> Case {
    (token, label, told.to_owned())
}

impl Forge {
    /// With another value, or none, in its claims.
    fn claim(&self, key: &str, value: Option<Value>, label: &'static str, told: &str) -> Case {
        let mut claims = self.claims.clone();
        let object = claims.as_object_mut().expect("claims");
        match value {
            Some(value) => object.insert(key.to_owned(), value),
            None => object.remove(key),
        };
        case(self.key.token(&claims), label, told)
    }

    /// Under another header.
    fn header(&self, header: &Value, label: &'static str, told: &str) -> Case {
        let token = self.key.token_with(header, &self.claims);
        case(token, label, told)
    }

    fn malformed(&self) -> Vec<Case> {
        let good = self.key.token(&self.claims);
        let (signed, signature) = good.rsplit_once('.').expect("parts");
        let (header, claims) = signed.split_once('.').expect("parts");
        let text = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let malformed = [
            unknown_secret(),
            String::new(),
            "..".to_owned(),
            signed.to_owned(),
            format!("{good}.{signature}"),
            format!("{header}.{claims}.{signature}="),
            format!("{header}.{claims}.!"),
            format!("{}.{claims}.{signature}", text("no JSON")),
            format!("{}.{claims}.{signature}", text("{\"kid\":\"one\"}")),
            format!(
                "{}.{claims}.{signature}",
                text("{\"alg\":[\"ES256\"],\"kid\":\"one\"}")
            ),
            format!(
                "{}.{claims}.{signature}",
                text("{\"alg\":\"none\",\"alg\":\"ES256\",\"kid\":\"one\"}")
            ),
            format!("{header}.{}.{signature}", text("[]")),
            format!("{header}.{}.{signature}", text("{\"iss\":\"x\"}")),
            self.claim("sub", Some(json!(7)), "", "").0,
            self.claim("exp", Some(json!("tomorrow")), "", "").0,
            self.claim("aud", Some(json!({"is": AUDIENCE})), "", "").0,
            self.claim("sub", None, "", "").0,
            self.claim("iss", None, "", "").0,
        ];
        let cases = malformed
            .into_iter()
            .map(|token| case(token, "MALFORMED", MALFORMED));
        cases.collect()
    }

    fn signatures(&self) -> Vec<Case> {
        let good = self.key.token(&self.claims);
        let (signed, signature) = good.rsplit_once('.').expect("parts");
        let mut claims = self.claims.clone();
        claims["sub"] = json!("system:serviceaccount:shop:platform");
        let altered = format!("{}.{signature}", unsigned(&self.key.header(), &claims));
        let told = "its signature is not that of the key that it names";
        let half = &signature[..40];
        let others = SigningKey::p256(&self.key.id).token(&self.claims);
        [
            altered,
            format!("{signed}."),
            format!("{signed}.{half}"),
            others,
        ]
        .into_iter()
        .map(|token| case(token, "SIGNATURE_INVALID", told))
        .collect()
    }

    fn algorithms(&self) -> Vec<Case> {
        let unknown = |name: &str| format!("its algorithm is {name:?}, which is not accepted");
        let none = |name: &str| {
            let header = json!({"alg": name, "kid": self.key.id});
            let token = format!("{}.", unsigned(&header, &self.claims));
            case(token, "ALGORITHM_UNKNOWN", &unknown(name))
        };
        // What is public would be the secret.
        let public = self.rsa.public()["n"]
            .as_str()
            .expect("a number")
            .to_owned();
        let header = json!({"alg": "HS256", "kid": self.rsa.id});
        let signed = unsigned(&header, &self.claims);
        let secret = hmac::Key::new(hmac::HMAC_SHA256, public.as_bytes());
        let tag = URL_SAFE_NO_PAD.encode(hmac::sign(&secret, signed.as_bytes()));
        let hmac = format!("{signed}.{tag}");
        let unfit = |name: &str| {
            format!("its algorithm is {name:?}, which does not fit the key that it names")
        };
        let mut cases = vec![
            none("none"),
            none("None"),
            none(""),
            case(hmac, "ALGORITHM_UNKNOWN", &unknown("HS256")),
            self.header(
                &json!({"alg": "ES256K", "kid": "one"}),
                "ALGORITHM_UNKNOWN",
                &unknown("ES256K"),
            ),
        ];
        for (algorithm, kid) in [
            ("RS256", "one"),
            ("ES384", "one"),
            ("EdDSA", "one"),
            ("ES256", "rsa"),
            // The key says what it is for.
            ("RS512", "rsa"),
            ("PS256", "rsa"),
        ] {
            let header = json!({"alg": algorithm, "kid": kid});
            let key = if kid == "one" { &self.key } else { &self.rsa };
            let token = key.token_with(&header, &self.claims);
            cases.push(case(token, "ALGORITHM_UNFIT", &unfit(algorithm)));
        }
        let crit = json!({"alg": "ES256", "kid": "one", "crit": ["b64"], "b64": false});
        cases.push(self.header(&crit, "MALFORMED", "it has a header `crit`"));
        cases
    }

    fn claimed(&self, issuer: &str) -> Vec<Case> {
        let slash = format!("{issuer}/");
        let audience = |told: &str| format!("its audience is {told}, not \"{AUDIENCE}\"");
        let subject = |of: &str| format!("it names {of:?} of {issuer:?}, which is no caller");
        let unknown =
            |name: &str| format!("its issuer is {name:?}, which is not among `[[issuers]]`");
        let other = "system:serviceaccount:shop:other";
        vec![
            self.claim(
                "iss",
                Some(json!(slash)),
                "ISSUER_UNKNOWN",
                &unknown(&slash),
            ),
            self.claim(
                "iss",
                Some(json!("x".repeat(300))),
                "ISSUER_UNKNOWN",
                &unknown(&("x".repeat(200) + "…")),
            ),
            self.claim(
                "aud",
                Some(json!("elsewhere")),
                "AUDIENCE_WRONG",
                &audience("[\"elsewhere\"]"),
            ),
            self.claim("aud", Some(json!([])), "AUDIENCE_WRONG", &audience("[]")),
            self.claim("aud", None, "AUDIENCE_WRONG", &audience("[]")),
            self.claim(
                "aud",
                Some(json!([format!("{AUDIENCE}/")])),
                "AUDIENCE_WRONG",
                "its audience is",
            ),
            self.claim("exp", None, "NO_EXPIRY", "it does not say when it expires"),
            self.claim(
                "exp",
                Some(json!(null)),
                "NO_EXPIRY",
                "it does not say when it expires",
            ),
            self.claim("exp", Some(json!(now() - 100)), "EXPIRED", "it expired 10"),
            self.claim("exp", Some(json!(now() - 1)), "EXPIRED", "it expired "),
            self.claim("exp", Some(json!(-4e18)), "EXPIRED", "it expired "),
            self.claim(
                "nbf",
                Some(json!(now() + 100)),
                "NOT_YET_VALID",
                "it is not valid for another ",
            ),
            self.claim(
                "iat",
                Some(json!(now() + 100)),
                "NOT_YET_VALID",
                "it is not valid for another ",
            ),
            self.claim(
                "sub",
                Some(json!(other)),
                "SUBJECT_UNKNOWN",
                &subject(other),
            ),
            self.claim("sub", Some(json!("")), "SUBJECT_UNKNOWN", &subject("")),
            self.claim(
                "sub",
                Some(json!("reader")),
                "SUBJECT_UNKNOWN",
                &subject("reader"),
            ),
            self.claim(
                "sub",
                Some(json!(format!("{SUBJECT}\n"))),
                "SUBJECT_UNKNOWN",
                "which is no caller",
            ),
            self.header(
                &json!({"alg": "ES256"}),
                "KEY_UNKNOWN",
                "it does not say by which key it is signed",
            ),
            self.header(
                &json!({"alg": "ES256", "kid": "two"}),
                "KEY_UNKNOWN",
                "it says that it is signed by the key \"two\", which its issuer does not publish",
            ),
            self.claim(
                "pad",
                Some(json!("x".repeat(8192))),
                "TOO_LONG",
                "it is longer than 8192 bytes",
            ),
        ]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_no_good_are_refused_alike_and_the_log_says_why() {
    let forge_keys = (SigningKey::p256("one"), SigningKey::rsa("rsa"));
    let issuer = TestIssuer::start(&[&forge_keys.0], None).await;
    let mut rsa = forge_keys.1.public();
    rsa["alg"] = json!("RS256");
    issuer.manner().keys.push(rsa);
    let forge = Forge {
        claims: issuer.claims(AUDIENCE, SUBJECT),
        key: forge_keys.0,
        rsa: forge_keys.1,
    };
    let text = configuration(&issuer, "", "");
    let world = World::start_under(issuer, SigningKey::p256("unused"), &text, &[]);
    let cases = [
        forge.malformed(),
        forge.signatures(),
        forge.algorithms(),
        forge.claimed(&world.issuer.name()),
    ]
    .concat();
    for (number, (token, label, told)) in cases.iter().enumerate() {
        let series = format!("countersign_identity_token_failures_total{{reason=\"{label}\"}}");
        let before = world.get(&series).await;
        let refused = patiently(&world.channel, &bearer(token)).await;
        let refused = refused.expect_err(told);
        assert_status(&refused, Code::Unauthenticated, INVALID, None);
        assert_eq!(refused.message(), "the credential is not valid");
        assert!(world.get(&series).await > before, "{label}");
        let lines = world.lines(FAILED, number + 1).await;
        assert_eq!(lines.len(), number + 1);
        let line = &lines[number];
        assert_eq!(
            (&line["level"], &line["reason"]),
            (&json!("WARN"), &json!(INVALID))
        );
        let said = line["identity_token"].as_str().unwrap_or_default();
        assert!(said.contains(told.as_str()), "{told}: {line}");
        assert!(token.len() < 20 || !world.process.log().contains(token.as_str()));
    }
    let good = forge.key.token(&forge.claims);
    patiently(&world.channel, &bearer(&good))
        .await
        .expect("it is good");
    // What is remembered is this token and no other that begins so.
    let longer = format!("{good}.");
    patiently(&world.channel, &bearer(&longer))
        .await
        .expect_err("it is another one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_a_credential_beside_which_there_is_no_other() {
    let world = World::start("").await;
    let good = format!("Bearer {}", world.token(SUBJECT));
    let other = format!("Bearer {}", unknown_secret());
    for pairs in [
        &[
            ("authorization", &good),
            ("x-countersign-key", &key_of(PLATFORM)),
        ][..],
        &[
            ("x-countersign-key", &"nobody".to_owned()),
            ("authorization", &good),
        ],
        &[("authorization", &good), ("authorization", &good)],
        &[("authorization", &good), ("authorization", &other)],
    ] {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
            .collect();
        let refused = patiently(&world.channel, &credentials(&pairs)).await;
        let refused = refused.expect_err("there are two");
        assert_status(
            &refused,
            Code::Unauthenticated,
            "CREDENTIAL_AMBIGUOUS",
            None,
        );
    }
    patiently(&world.channel, &world.reader())
        .await
        .expect("one is enough");
}
