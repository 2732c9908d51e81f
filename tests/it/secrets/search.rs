//! The search for secrets: each in every form that a leak could give it, wherever it begins in what surrounds it.

use std::collections::BTreeSet;

use base64::{
    Engine,
    prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD},
};
use countersign::domain::secret::{Secret, TokenFormat};

/// The characters of a token's secret and its checksum: what is left without the prefix.
const BODY: usize = 49;
const SECRET: usize = 43;

/// What is searched for.
#[derive(Default)]
pub(super) struct Search(Vec<Needle>);

struct Needle {
    /// What would have leaked.
    name: String,
    form: &'static str,
    /// Each byte as the character of that number.
    text: String,
}

impl Search {
    /// A token: its printed form, even without prefix and checksum, and the 32 bytes it stands for.
    pub(super) fn token(&mut self, token: &str) {
        let digits = &token[token.len() - BODY..][..SECRET];
        self.text("a token", digits);
        let secret = TokenFormat::default().parse(token).expect("it is a token");
        self.bytes("a token", secret.expose());
    }

    /// A pepper, `id:` and base64.
    pub(super) fn pepper(&mut self, pepper: &str) {
        let (_, key) = pepper.trim().split_once(':').expect("an id and a key");
        let key = key.trim_end_matches('=');
        let bytes = BASE64_STANDARD_NO_PAD.decode(key).expect("it is base64");
        self.text("a pepper", key);
        self.bytes("a pepper", &bytes);
    }

    /// A text, as it is and encoded.
    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.needle(name, "text", text.as_bytes());
        self.encoded(name, text.as_bytes(), &TEXT_FORMS);
    }

    fn bytes(&mut self, name: &str, bytes: &[u8]) {
        self.needle(name, "bytes", bytes);
        self.needle(
            name,
            "escaped bytes",
            bytes.escape_ascii().to_string().as_bytes(),
        );
        self.encoded(name, bytes, &BYTE_FORMS);
    }

    fn encoded(&mut self, name: &str, bytes: &[u8], forms: &Forms) {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.needle(name, forms.hex, hex.as_bytes());
        self.needle(name, forms.upper_hex, hex.to_uppercase().as_bytes());
        let list = format!("{bytes:?}");
        self.needle(name, forms.list, list.trim_matches(['[', ']']).as_bytes());
        for offset in 0..3 {
            let [standard, url] = base64_within(bytes, offset);
            self.needle(name, forms.base64, standard.as_bytes());
            self.needle(name, forms.url_base64, url.as_bytes());
        }
    }

    fn needle(&mut self, name: &str, form: &'static str, bytes: &[u8]) {
        let text = characters(bytes);
        if self.0.iter().all(|needle| needle.text != text) {
            let name = name.to_owned();
            self.0.push(Needle { name, form, text });
        }
    }

    /// What is found, and in which form.
    pub(super) fn find(&self, haystack: &[u8]) -> Vec<(String, &'static str)> {
        let haystack = characters(haystack);
        let found = self
            .0
            .iter()
            .filter(|needle| haystack.contains(&needle.text));
        found
            .map(|needle| (needle.name.clone(), needle.form))
            .collect()
    }
}

/// What the encodings are called: those of the 32 bytes, and those of their printed form.
struct Forms {
    hex: &'static str,
    upper_hex: &'static str,
    list: &'static str,
    base64: &'static str,
    url_base64: &'static str,
}

const BYTE_FORMS: Forms = Forms {
    hex: "hexadecimal of the bytes",
    upper_hex: "upper-case hexadecimal of the bytes",
    list: "list of the bytes",
    base64: "base64 of the bytes",
    url_base64: "URL base64 of the bytes",
};
const TEXT_FORMS: Forms = Forms {
    hex: "hexadecimal of the text",
    upper_hex: "upper-case hexadecimal of the text",
    list: "list of the text's bytes",
    base64: "base64 of the text",
    url_base64: "URL base64 of the text",
};

/// In both alphabets, what base64 makes of these bytes and of nothing beside them, where they begin at this offset in a
/// group of three.
fn base64_within(bytes: &[u8], offset: usize) -> [String; 2] {
    let padded = [&[0; 2][..offset], bytes].concat();
    // A character that is made of a neighbour's bits as well is left out, at either end.
    let (start, end) = ((offset * 8).div_ceil(6), padded.len() * 8 / 6);
    [
        BASE64_STANDARD_NO_PAD.encode(&padded)[start..end].to_owned(),
        BASE64_URL_SAFE_NO_PAD.encode(&padded)[start..end].to_owned(),
    ]
}

fn characters(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

/// A token whose 32 bytes look different in the two alphabets of base64, at every offset.
pub(super) fn example() -> String {
    let random = || Secret::random().expect("random bytes");
    let differs = |secret: &Secret| {
        (0..3).all(|offset| {
            let [standard, url] = base64_within(secret.expose(), offset);
            standard != url
        })
    };
    let secret = std::iter::repeat_with(random)
        .find(differs)
        .expect("one of them");
    TokenFormat::default().print(&secret).expose().to_owned()
}

#[test]
fn a_leak_is_found_in_every_form_and_nothing_where_there_is_none() {
    let token = example();
    let mut search = Search::default();
    search.token(&token);
    let secret = TokenFormat::default().parse(&token).expect("it is a token");
    let bytes = secret.expose();
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    let around = |bytes: &[u8], offset: usize| [&b"xy"[..offset], bytes, b"trail"].concat();
    let mut leaks = vec![
        ("text", token.clone().into_bytes()),
        ("text", format!("Bearer {token}").into_bytes()),
        ("text", token[token.len() - BODY..].into()),
        ("text", token[token.len() - BODY..][..SECRET].into()),
        ("bytes", bytes.to_vec()),
        (
            "escaped bytes",
            format!("b\"{}\"", bytes.escape_ascii()).into_bytes(),
        ),
        (BYTE_FORMS.hex, hex(bytes).into_bytes()),
        (BYTE_FORMS.upper_hex, hex(bytes).to_uppercase().into_bytes()),
        (BYTE_FORMS.list, format!("{bytes:?}").into_bytes()),
        (TEXT_FORMS.hex, hex(token.as_bytes()).into_bytes()),
        (
            TEXT_FORMS.upper_hex,
            hex(token.as_bytes()).to_uppercase().into_bytes(),
        ),
        (
            TEXT_FORMS.list,
            format!("{:?}", token.as_bytes()).into_bytes(),
        ),
    ];
    for offset in 0..3 {
        let encode = |bytes: &[u8]| BASE64_STANDARD_NO_PAD.encode(around(bytes, offset));
        leaks.push((BYTE_FORMS.base64, encode(bytes).into_bytes()));
        leaks.push((TEXT_FORMS.base64, encode(token.as_bytes()).into_bytes()));
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(around(bytes, offset));
        leaks.push((BYTE_FORMS.url_base64, encode(bytes).into_bytes()));
    }
    let noise: Vec<u8> = (0..20_000_u32).map(|i| ((i * i) >> 3) as u8).collect();
    for (form, leak) in leaks {
        let planted = [&noise[..7_001], &leak, &noise[7_001..]].concat();
        assert_eq!(search.find(&planted), [("a token".to_owned(), form)]);
    }
    assert_eq!(search.find(&noise), []);
    assert_eq!(search.find(example().as_bytes()), [], "another token");
}

#[test]
fn peppers_and_other_texts_are_found_too() {
    let mut search = Search::default();
    search.pepper(crate::support::server::PEPPER);
    search.text("a password", "correct horse");
    let names = |haystack: &[u8]| -> BTreeSet<String> {
        search
            .find(haystack)
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    };
    let only = |name: &str| BTreeSet::from([name.to_owned()]);
    let pepper = crate::support::server::PEPPER;
    assert_eq!(names(pepper.as_bytes()), only("a pepper"));
    assert_eq!(names(b"0123456789abcdef0123456789abcdef"), only("a pepper"));
    assert_eq!(names(b"://me:correct horse@host"), only("a password"));
    assert!(names(b"p1 postgres://me@host").is_empty());
}
